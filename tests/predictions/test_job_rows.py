import csv
import io
from pathlib import Path
from typing import Any

import pytest

from predictions.job_rows import RESULT_COLUMNS, Rows, lines_of, pack, score_rows, unpack
from predictions.predictor import current
from tests.predictions.job_files import TITLES, csv_text
from training.datafiles.tables import read_tables
from training.models import ModelVersion


def rows_of(path: Path, content: str | bytes) -> Rows:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (table,) = read_tables(path)
    return unpack(pack(table))


def scored(rows: Rows) -> tuple[list[dict[str, str]], int]:
    model = current().loaded
    assert model is not None
    result, refused = score_rows(rows, model)
    text = io.StringIO(lines_of(result).decode(), newline="")
    return list(csv.DictReader(text, fieldnames=RESULT_COLUMNS)), refused


def test_rows_come_out_of_the_store_as_they_went_in(tmp_path: Path) -> None:
    content = "description;equipment_id;inconnu\n=1+1;eq-1;x\nfuite \u00e9t\u00e9;eq-2\n".encode()
    rows = rows_of(tmp_path / "a.csv", content + b"bruit \xff;eq-3;y\n")
    assert rows.lines == [2, 3, 4]
    assert rows.cells == {
        "description": ["=1+1", "fuite \u00e9t\u00e9", "bruit \udcff"],
        "equipment_id": ["eq-1", "eq-2", "eq-3"],
    }
    assert rows.ragged == {1}
    assert rows.record(0) == {"description": "=1+1", "equipment_id": "eq-1"}


def test_each_row_gets_the_scores_that_predict_gives(version: ModelVersion, tmp_path: Path) -> None:
    results, refused = scored(rows_of(tmp_path / "a.csv", csv_text()))
    assert refused == 0
    assert [(row["line"], row["anomaly_id"], row["equipment_id"]) for row in results] == [
        ("2", "A-1", "eq-1"),
        ("3", "A-2", "eq-2"),
        ("4", "A-3", "eq-0"),
    ]
    names = ("availability", "fiability", "process_safety", "criticality", "risk_level")
    assert [[row[name] for name in names] for row in results] == [
        ["1", "1", "5", "7", "high"],
        ["4", "2", "1", "7", "high"],
        ["2", "1", "1", "4", "normal"],
    ]
    assert {row["model_version"] for row in results} == {str(version.pk)}
    assert {row["problem"] for row in results} == {""}
    assert all(0 < float(row["confidence"]) <= 1 for row in results)
    assert [row["needs_attention"] for row in results] == ["yes", "yes", "no"]


def test_a_wrong_row_says_why_and_stops_no_other(version: ModelVersion, tmp_path: Path) -> None:
    content = csv_text(
        [
            ("A-1", "", "Vanne", "eq-1"),
            ("A-2", "x" * 2001, "Vanne", ""),
            ("A-3", "fuite vapeur n1", "Vanne", "eq-1"),
            ("A-4", "fuite"),
        ]
    )
    results, refused = scored(rows_of(tmp_path / "a.csv", content))
    assert refused == 3
    assert [row["problem"] for row in results] == [
        "Missing required fields: ['description']",
        "Missing required fields: ['equipment_id']; description must be at most 2,000 characters, got 2,001",
        "",
        "The row has another number of cells than the header",
    ]
    assert [row["availability"] for row in results] == ["", "", "1", ""]


def test_a_result_without_one_sound_row(version: ModelVersion, tmp_path: Path) -> None:
    results, refused = scored(rows_of(tmp_path / "a.csv", csv_text([("A-1", "", "", "")])))
    assert (len(results), refused, results[0]["availability"]) == (1, 1, "")


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\tx"])
def test_no_cell_of_the_result_is_a_formula(version: ModelVersion, tmp_path: Path, text: str) -> None:
    content = csv_text([(text, "fuite vapeur", "Vanne", f"{text}7")])
    (row,), _ = scored(rows_of(tmp_path / "a.csv", content))
    assert (row["anomaly_id"], row["equipment_id"]) == (f"'{text}", f"'{text}7")


def test_a_file_without_ids_is_scored_too(version: ModelVersion, tmp_path: Path) -> None:
    content = csv_text([("fuite vapeur n1", "eq-1")], titles=("description", "equipment_id"))
    (row,), refused = scored(rows_of(tmp_path / "a.csv", content))
    assert (row["anomaly_id"], row["availability"], refused) == ("", "1", 0)


def test_bytes_that_are_no_text_refuse_their_row(version: ModelVersion, tmp_path: Path) -> None:
    content: Any = csv_text([], titles=TITLES).encode() + b"A-\xff,fuite,Vanne,eq-1\r\n"
    (row,), refused = scored(rows_of(tmp_path / "a.csv", content))
    assert refused == 1
    assert row["anomaly_id"] == "A-\\udcff"
    assert row["problem"].startswith("anomaly_id ")
