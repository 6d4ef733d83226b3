import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from tests.training.ml.frames import reports
from training.datafiles import write_customer_files
from training.ml.evaluate import evaluate

# None of these tests asks for a database: a query would fail it.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """150 reports, the first twenty again under other ids, then one without a text, in one file."""
    frame = reports()
    path = tmp_path / "reports.csv"
    again = frame[:20].assign(anomaly_id=frame["anomaly_id"][:20] + "-again")
    blank = frame[-1:].assign(anomaly_id="blank", description="")
    for number, part in enumerate((frame, again, blank)):
        part.to_csv(path, mode="a", header=number == 0, index=False)
    return path


def run(*arguments: object) -> tuple[str, str]:
    """What the command prints on standard output and on standard error."""
    out, err = StringIO(), StringIO()
    call_command("evaluate", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def refusal(*arguments: object) -> str:
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    return str(raised.value)


def test_json_is_the_evaluation_and_nothing_else(file: Path) -> None:
    out, err = run(file, "--protocol", "grouped", "--folds", "3", "--json")
    result = json.loads(out)
    assert (result.pop("rows_read"), result.pop("rows_refused")) == (171, 1)
    assert result == evaluate(reports(), protocol="grouped", folds=3) | {"duplicates_dropped": 20}
    assert err.splitlines()[0] == f"left out: {file}:172: description must not be blank"
    assert err.splitlines()[-1] == "[10/10] fold 3: process_safety"


def test_duplicates_within_the_files_are_counted_too(tmp_path: Path) -> None:
    frame = reports()
    path = tmp_path / "twice.csv"
    frame.to_csv(path, index=False)
    frame[:7].to_csv(path, mode="a", header=False, index=False)
    result = json.loads(run(path, "--protocol", "temporal", "--json")[0])
    assert (result["rows_read"], result["duplicates_dropped"], result["records"]) == (157, 7, 150)


def test_the_customer_s_three_files(tmp_path: Path) -> None:
    write_customer_files(tmp_path, lambda: [reports()])
    paths = sorted(tmp_path.glob("*.csv"), reverse=True)
    result = json.loads(run(*paths, "--protocol", "temporal", "--json")[0])
    assert len(paths) == 3
    assert result["model"] == evaluate(reports(), protocol="temporal")["model"]


@pytest.mark.parametrize(
    "given", ["2024-03-01 00:00:00", "2024-03-01", "2024-03-01T00:00:00Z", "2024-03-01 02:00:00+02:00"]
)
@pytest.mark.parametrize("protocol", ["temporal", "rolling"])
def test_cutoff(file: Path, given: str, protocol: str) -> None:
    result = json.loads(run(file, "--protocol", protocol, "--cutoff", given, "--json")[0])
    assert result["cutoff"] == "2024-03-01 00:00:00"
    assert result["rows"] == 43


def test_table_sets_the_dummy_beside_the_model(file: Path) -> None:
    out, _ = run(file, "--protocol", "rolling", "--cutoff", "2024-08-01")
    lines = out.splitlines()
    assert lines[:8] == [
        "protocol: rolling",
        "cutoff: 2024-08-01 00:00:00",
        "rows_read: 171",
        "rows_refused: 1",
        "duplicates_dropped: 20",
        "records: 150",
        "undated: 0",
        "rows: 5",
    ]
    result = evaluate(reports(), protocol="rolling", cutoff=reports()["detected_at"].iloc[145])
    figures = {line.split()[0]: line.split()[1:] for line in lines[9:] if line}
    assert figures["availability"] == ["fiability", "process_safety"]
    assert figures["model"] == ["dummy", "model", "dummy", "model", "dummy"]
    expected = [result[who][target]["mae"] for target in result["model"] for who in ("model", "dummy")]
    assert figures["mae"] == [f"{round(value, 4):g}" for value in expected]
    assert figures["recall_ge_4"][1] == "0"
    assert figures["2024-08"][0] == "5"


def test_what_is_not_defined_is_a_dash(tmp_path: Path) -> None:
    path = tmp_path / "calm.csv"
    reports().assign(fiability_score=1).to_csv(path, index=False)
    out, _ = run(path, "--protocol", "temporal")
    (recall,) = (line.split() for line in out.splitlines() if line.startswith("recall_ge_4"))
    assert recall[3:5] == ["-", "-"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--protocol", "grouped", "--folds", "1"], "At least two folds are needed."),
        (
            ["--protocol", "grouped", "--folds", "151"],
            "151 folds need as many different texts; there are 150.",
        ),
        (["--protocol", "temporal", "--folds", "5"], "--folds belongs to --protocol grouped, not temporal."),
        (
            ["--protocol", "grouped", "--cutoff", "2024-01-01"],
            "--cutoff belongs to --protocol temporal or rolling, not grouped.",
        ),
        (
            ["--protocol", "temporal", "--cutoff", "yesterday"],
            "--cutoff must be a time like \"2023-05-07 08:35:51\", not 'yesterday'.",
        ),
        (
            ["--protocol", "rolling", "--cutoff", "2031-01-01"],
            "There must be reports both before and after 2031-01-01 00:00:00.",
        ),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(file: Path, arguments: list[str], reason: str) -> None:
    assert refusal(file, *arguments) == reason


def test_unknown_protocol_is_refused(file: Path) -> None:
    assert "invalid choice: 'random'" in refusal(file, "--protocol", "random")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere.csv") in refusal(tmp_path / "nowhere.csv")


def test_needs_no_database(file: Path) -> None:
    """In a process of its own, as a user would: the database it names cannot exist."""
    printed = subprocess.run(
        [sys.executable, "manage.py", "evaluate", str(file), "--protocol", "temporal", "--json"],
        cwd=settings.BASE_DIR,
        env={"DATABASE_URL": "sqlite:////nowhere/db.sqlite3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(printed.stdout)["protocol"] == "temporal"
