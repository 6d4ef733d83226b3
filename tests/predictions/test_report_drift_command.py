import json
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from tests.factories import ApprovedFactory
from tests.training.ml.worlds import plant, with_prefix
from training.ml.drift import drift_report
from training.models import QualityReport


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err, code = StringIO(), StringIO(), 0
    try:
        call_command("report_drift", *map(str, arguments), stdout=out, stderr=err, no_color=True)
    except SystemExit as end:
        code = int(str(end.code))
    return code, out.getvalue(), err.getvalue()


def file_of(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "reports.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def drifting() -> pd.DataFrame:
    return with_prefix(plant(), "URGENT", since="2023-12-01")


@pytest.fixture
def file(drifting: pd.DataFrame, tmp_path: Path) -> Path:
    return file_of(drifting, tmp_path)


def test_files_are_looked_at_without_a_database(file: Path, drifting: pd.DataFrame) -> None:
    code, out, err = run(file, "--json")
    assert (code, err) == (3, "")
    assert json.loads(out) == drift_report(drifting).as_json()


def test_the_exit_code_is_the_newest_verdict(tmp_path: Path) -> None:
    assert run(file_of(plant(), tmp_path))[0] == 0
    look = with_prefix(plant(), "NOTA", since="2023-12-01", process_safety=None)
    assert run(file_of(look, tmp_path))[0] == 2
    assert run(file_of(plant()[:1], tmp_path))[0] == 0


def test_the_table_has_a_line_a_period_and_the_reasons(file: Path) -> None:
    lines = run(file, "--since", "2023-11-15")[1].splitlines()
    assert lines[0].split()[:2] == ["reports", "reviewed"]
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["2023-11", "ok", "40"],
        ["2023-12", "retrain", "40"],
    ]
    assert lines[3:5] == ["", "2023-12: retrain"]
    assert lines[5].startswith(
        '  retrain: New: "urgent", "urgent …", in 25.0% of the reports; in 0.0% before.'
    )
    assert lines[-2:] == ["", "Verdict: retrain"]


def test_what_a_model_of_that_day_has_not_learned(file: Path) -> None:
    code, out, _ = run(file, "--learned-before", "2023-11-01", "--json")
    since = json.loads(out)["since_version"]
    assert (code, since["label"], since["reports"]) == (3, "a model of all before 2023-11-01", 80)
    assert "Not learned by a model of all before 2023-11-01, 80 reports: retrain" in (
        run(file, "--learned-before", "2023-11-01")[1].splitlines()
    )


def test_a_backtest_tells_its_progress_and_adds_the_errors(tmp_path: Path) -> None:
    code, out, err = run(file_of(plant(6), tmp_path), "--backtest")
    assert code == 0
    assert err.splitlines()[-1] == "[4/4] 2023-06: process_safety"
    assert out.splitlines()[0].split()[-2:] == ["process_safety", "error"]


def test_refused_rows_are_named(drifting: pd.DataFrame, tmp_path: Path) -> None:
    path = file_of(
        drifting.assign(description=drifting["description"].where(drifting.index > 0, "")), tmp_path
    )
    assert run(path)[2] == f"left out: {path}:2: description must not be blank\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--since", "soon"], "--since must be a time like \"2023-05-07 08:35:51\", not 'soon'."),
        (
            ["--learned-before", "2023-01-01"],
            "--learned-before belongs to files: the database knows what its version learned.",
        ),
        (["nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    assert reason in str(raised.value)


@pytest.mark.django_db
def test_the_database_is_read_and_the_report_stored() -> None:
    ApprovedFactory.create()
    code, out, _ = run("--json")
    stored = QualityReport.objects.get()
    assert (code, stored.kind, stored.created_by) == (0, "drift", None)
    assert json.loads(out) == stored.content
    assert run()[1] == "\nVerdict: too few\n"
