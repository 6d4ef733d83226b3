from collections.abc import Hashable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.training.datafiles.files import FAN, PUMP, TEXTS, TITLES, write_customer, write_single
from training.datafiles import (
    DataFileError,
    FileRecords,
    read_customer_directory,
    read_files,
    reading,
    tables,
)
from training.datafiles.checks import Fault, find_faults
from training.datafiles.reading import _read_plainly, _read_quickly
from training.datafiles.spool import Piece, Spool
from training.ml.records import COLUMNS, SCORE_COLUMNS


def said(records: FileRecords) -> list[tuple[str, int, str]]:
    return [
        (Path(row.file).name, row.line, row.message) for row in [*records.problems(), *records.duplicates()]
    ]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_customers_files_are_read_together_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)
    records = read_files([paths[position] for position in order])
    assert (records.rows_read, records.rows_refused, records.unstated) == (2, 0, ())
    assert (list(records.problems()), list(records.duplicates())) == ([], [])
    assert list(records.frame.columns) == list(COLUMNS)
    assert records.frame.dtypes.astype(str).unique().tolist() == ["str", "datetime64[us]", "float64"]
    assert records.frame.drop(columns="anomaly_id").to_numpy().tolist() == [
        ["Fuite garniture", "Pompe", "p-1", "Eau", "MEC", pd.Timestamp("2024-01-02 03:04:05"), 1.0, 2.0, 3.0],
        ["Vibration palier", "  ", "f-1", "Air", "MEC", pd.Timestamp("2024-01-03 03:04:05"), 5.0, 1.0, 2.5],
    ]
    assert records.frame["anomaly_id"].str.fullmatch("imp-[0-9a-f]{20}").all()


def test_other_spellings_of_the_titles_are_read(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP, titles=("Disponibilité", "FIABILITE INTEGRITE", "process safety"))
    assert read_files(paths).frame[list(SCORE_COLUMNS)].to_numpy().tolist() == [[1.0, 2.0, 3.0]]


def test_one_file_with_all_three_scores(tmp_path: Path) -> None:
    path = write_single(
        tmp_path / "x.csv",
        "A-1,Fuite,Pompe,p-1,Eau,MEC,2024-01-02 03:04:05,1,2,3",
        ",Fuite,Pompe,p-1,Eau,MEC,,1,2,3",
    )
    frame = read_files([path]).frame
    assert frame["anomaly_id"].str.fullmatch("A-1|imp-[0-9a-f]{20}").tolist() == [True, True]
    assert frame["anomaly_id"][0] == "A-1"
    assert frame["detected_at"].isna().tolist() == [False, True]


def test_one_file_under_the_customers_titles_with_a_column_of_its_own(tmp_path: Path) -> None:
    texts, scores = PUMP.rsplit(" ", 1)
    path = write_single(
        tmp_path / "x.csv",
        f"{texts},{scores.replace('/', ',')},6".replace(",", ";"),
        header=";".join([TEXTS.replace(",", ";"), *TITLES, "Criticité"]),
    )
    assert read_files([path]).frame.equals(read_files(write_customer(tmp_path, PUMP)).frame)


def test_columns_that_are_left_out_are_named(tmp_path: Path) -> None:
    header = ",".join(["description", "equipment_name", "equipment_id", "section", *SCORE_COLUMNS])
    records = read_files([write_single(tmp_path / "x.csv", "Fuite,Pompe,p-1,MEC,1,2,3", header=header)])
    assert records.unstated == ("system", "detected_at")
    assert records.frame["system"].tolist() == [""]
    assert records.frame["detected_at"].isna().tolist() == [True]


def test_an_excel_workbook_gives_what_the_csv_gives(tmp_path: Path) -> None:
    csv = write_single(tmp_path / "x.csv", "A-1,Fuite,  ,p-1,Eau,MEC,2024-01-02 03:04:05,1,2.5,3")
    frame = read_files([csv]).frame
    frame.to_excel(tmp_path / "x.xlsx", index=False)
    assert read_files([tmp_path / "x.xlsx"]).frame.equals(frame)


def test_ids_do_not_depend_on_what_stands_beside(tmp_path: Path) -> None:
    alone = read_files(write_customer(tmp_path, FAN)).frame["anomaly_id"][0]
    assert read_files(write_customer(tmp_path, PUMP, FAN)).frame["anomaly_id"][1] == alone
    rescored = FAN.replace("5/1/2.5", "1/1/1").replace("MEC", "ELEC")
    assert read_files(write_customer(tmp_path, rescored)).frame["anomaly_id"][0] == alone


def test_bad_rows_are_refused_by_file_and_line(tmp_path: Path) -> None:
    records = read_files(
        write_customer(
            tmp_path,
            PUMP,
            "p-1,Eau,,2024-01-02 03:04:05,Pompe,MEC 1/6/x",
            "p-1,Eau,Fuite,yesterday,Pompe,MEC 1/2/3",
            FAN,
        )
    )
    assert said(records) == [
        ("disponibilite.csv", 3, "description must not be blank"),
        ("fiabilite.csv", 3, "fiability_score must be between 1 and 5, got 6"),
        ("process_safty.csv", 3, "process_safety_score must be a finite number, got 'x'"),
        (
            "disponibilite.csv",
            4,
            "detected_at must be an ISO 8601 date and time between the years 1900 and 2199, got 'yesterday'",
        ),
    ]
    assert (records.rows_read, records.rows_refused) == (4, 2)
    assert records.frame["equipment_id"].tolist() == ["p-1", "f-1"]


def test_a_row_with_too_few_cells_is_refused_whatever_it_holds(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)
    paths[1].write_text(paths[1].read_text().replace("Pompe,MEC,2", "MEC,2"))
    records = read_files(paths)
    assert said(records) == [("fiabilite.csv", 2, "The row has 6 cells, the header 7")]
    assert (records.rows_refused, records.frame["equipment_id"].tolist()) == (1, ["f-1"])


def test_a_row_that_is_ragged_in_two_files_is_refused_once(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)
    for path in paths[1:]:
        path.write_text(path.read_text().replace("Pompe,MEC,", "MEC,"))
    assert said(read_files(paths)) == [("fiabilite.csv", 2, "The row has 6 cells, the header 7")]


def test_exact_duplicates_are_reported_and_left_out(tmp_path: Path) -> None:
    records = read_files(write_customer(tmp_path, PUMP, FAN, PUMP, PUMP.replace("MEC", "ELEC")))
    assert said(records) == [
        ("disponibilite.csv", 4, "The same report as line 2"),
        ("disponibilite.csv", 5, "The same report as line 2"),
    ]
    assert (records.rows_read, records.rows_duplicate, records.rows_refused) == (4, 2, 0)
    assert records.frame["section"].tolist() == ["MEC", "MEC"]


def test_the_same_report_with_other_scores_is_a_problem(tmp_path: Path) -> None:
    records = read_files(write_customer(tmp_path, PUMP, PUMP.replace("1/2/3", "4/2/5")))
    message = (
        "The same report as line 2, which is kept, with another availability_score, process_safety_score"
    )
    assert said(records) == [("disponibilite.csv", 3, message)]
    assert (records.problem_count, records.rows_refused) == (1, 1)
    assert records.frame["availability_score"].tolist() == [1.0]


def test_the_first_good_row_is_kept(tmp_path: Path) -> None:
    records = read_files(write_customer(tmp_path, PUMP.replace("1/2/3", "9/2/3"), PUMP, PUMP))
    assert said(records) == [
        ("disponibilite.csv", 2, "availability_score must be between 1 and 5, got 9"),
        ("disponibilite.csv", 4, "The same report as line 3"),
    ]


def test_a_given_id_may_come_again_only_with_the_same_content(tmp_path: Path) -> None:
    row = "A-1,Fuite,Pompe,p-1,Eau,MEC,,1,2,3"
    path = write_single(
        tmp_path / "x.csv",
        row,
        row,
        row.replace("MEC", "ELEC"),
        row.replace("Fuite", "Bruit"),
        row.replace("A-1", "A-2"),
    )
    records = read_files([path])
    assert said(records) == [
        ("x.csv", 4, "The same report as line 2, which is kept, with another section"),
        ("x.csv", 5, "The same report as line 2, which is kept, with another description"),
        ("x.csv", 3, "The same report as line 2"),
    ]
    assert records.frame["anomaly_id"].tolist() == ["A-1", "A-2"]  # the client's ids tell them apart


def test_a_neutralised_cell_is_read_as_what_it_stands_for(tmp_path: Path) -> None:
    path = write_single(tmp_path / "x.csv", "'=A,''=1+1,'Pompe',@x,,,,1,2,3")
    texts = read_files([path]).frame[["anomaly_id", "description", "equipment_name", "equipment_id"]]
    assert texts.to_numpy().tolist() == [["=A", "'=1+1", "'Pompe'", "@x"]]


def test_files_without_rows_are_read(tmp_path: Path) -> None:
    records = read_files(write_customer(tmp_path))
    assert (records.rows_read, len(records.frame), list(records.problems())) == (0, 0, [])
    assert list(records.frame.columns) == list(COLUMNS)


@pytest.mark.parametrize("chosen", [[0], [0, 1], [0, 1, 1], [0, 0, 0], [0, 1, 2, 2], []])
def test_two_of_the_three_scores_are_not_enough(tmp_path: Path, chosen: list[int]) -> None:
    paths = write_customer(tmp_path, PUMP)
    with pytest.raises(DataFileError, match="Give the customer's three files together, or one file"):
        read_files([paths[position] for position in chosen])


def test_two_files_with_all_scores_are_not_read_together(tmp_path: Path) -> None:
    row = "A-1,Fuite,Pompe,p-1,Eau,MEC,,1,2,3"
    paths = [write_single(tmp_path / f"{name}.csv", row) for name in "abc"]
    with pytest.raises(
        DataFileError, match=r"a\.csv: availability_score, fiability_score, process_safety_score"
    ):
        read_files(paths)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = write_single(tmp_path / "x.csv", "1,2", header="description,b")
    with pytest.raises(DataFileError, match="it has no column for equipment_name, equipment_id"):
        read_files([path])


def test_files_of_different_lengths_are_refused(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)
    paths[2].write_text("".join(paths[2].read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataFileError, match=r"disponibilite.csv has 2 rows, .*process_safty.csv 1:"):
        read_files(paths)


def test_files_that_do_not_align_are_refused(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)
    paths[1].write_text(paths[1].read_text().replace("Vibration", "Bruit"))
    with pytest.raises(
        DataFileError, match=r"disponibilite.csv:3 and .*fiabilite.csv:3 are different reports"
    ):
        read_files(paths)


def test_files_with_different_columns_are_refused(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP)
    paths[1].write_text(paths[1].read_text().replace("Systeme", "Autre"))
    with pytest.raises(DataFileError, match="have different columns beside the score"):
        read_files(paths)


MIXED = (
    PUMP,
    FAN,
    PUMP.replace("1/2/3", "4/2/5"),
    "p-1,Eau,,2024-01-02 03:04:05,Pompe,MEC 1/6/x",
    FAN.replace("MEC", "ELEC"),
    FAN,
    PUMP.replace("Fuite", "Bruit"),
)


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_pieces_give_what_the_whole_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    paths = write_customer(tmp_path, *MIXED)
    paths[2].write_text(paths[2].read_text().replace("Bruit garniture,", "Bruit garniture,,"))
    whole = read_files(paths)
    frame = whole.frame
    monkeypatch.setattr(tables, "PIECE", piece)
    again = read_files(paths)
    assert said(again) == said(whole)
    assert (again.rows_read, again.rows_kept, again.problem_count) == (7, 2, whole.problem_count)
    assert max(map(len, again.frames())) <= piece
    assert whole.frame.equals(frame)
    assert said(whole) == [
        (
            "disponibilite.csv",
            4,
            "The same report as line 2, which is kept, with another availability_score, process_safety_score",
        ),
        ("disponibilite.csv", 5, "description must not be blank"),
        ("fiabilite.csv", 5, "fiability_score must be between 1 and 5, got 6"),
        ("process_safty.csv", 5, "process_safety_score must be a finite number, got 'x'"),
        ("process_safty.csv", 8, "The row has 8 cells, the header 7"),
        ("disponibilite.csv", 6, "The same report as line 3"),
        ("disponibilite.csv", 7, "The same report as line 3"),
    ]
    assert (whole.rows_read, whole.rows_kept, whole.rows_refused, len(frame)) == (7, 2, 3, 2)


@pytest.mark.parametrize(("rows", "piece"), [(3, 2), (4, 2), (3, 7)])
def test_lengths_are_told_of_whatever_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, piece: int
) -> None:
    monkeypatch.setattr(tables, "PIECE", piece)
    paths = write_customer(tmp_path, *(PUMP.replace("p-1", f"p-{row}") for row in range(rows)))
    lines = paths[1].read_text().splitlines(keepends=True)
    for kept in (lines[:-1], [lines[0], *lines[2:]]):
        paths[1].write_text("".join(kept))
        with pytest.raises(DataFileError, match=rf"has {rows} rows, .*fiabilite.csv {rows - 1}:"):
            read_files(paths)


def test_what_was_checked_is_what_is_given_whatever_becomes_of_the_files(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP, FAN, PUMP.replace("1/2/3", "9/2/3"))
    records = read_files(paths)
    for path in paths:
        path.unlink()
    assert records.frame["availability_score"].tolist() == [1, 5]
    assert [rows["line"].tolist() for rows in records.refused()] == [[4]]
    assert len(list(records.problems())) == 1


def test_files_that_change_while_they_are_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)

    def change_and_find(cells: pd.DataFrame) -> list[Fault]:
        paths[0].write_text(paths[0].read_text().replace(",5\n", ",4.5\n"))
        return find_faults(cells)

    monkeypatch.setattr(reading, "find_faults", change_and_find)
    with pytest.raises(DataFileError, match="A file was changed while it was read"):
        read_files(paths)


def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are opened as tables from now on."""
    paths: list[Path] = []
    rows = tables._rows

    def note(path: Path) -> Iterator[tuple[int, list[str]]]:
        paths.append(path)
        return rows(path)

    monkeypatch.setattr(tables, "_rows", note)
    return paths


def test_files_are_read_once_however_often_their_rows_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_customer(tmp_path, *MIXED)
    seen = opened(monkeypatch)
    monkeypatch.setattr(tables, "PIECE", 2)
    records = read_files(paths)
    for _ in range(2):
        assert len(records.frame) == records.rows_kept
        assert len(list(records.problems())) == records.problem_count
        assert sum(map(len, records.refused())) == records.rows_refused
    assert seen == paths


def test_pieces_without_refused_rows_are_not_looked_at_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PIECE", 1)
    records = read_files(write_customer(tmp_path, PUMP, FAN.replace("5/1/2.5", "9/1/2.5"), PUMP))
    taken: list[int] = []
    take = Spool.__getitem__

    def note(spool: Spool, number: int) -> Piece:
        taken.append(number)
        return take(spool, number)

    monkeypatch.setattr(Spool, "__getitem__", note)
    assert sum(map(len, records.refused())) == 1
    assert taken == [1]


def test_a_damaged_directory_is_not_restored_from(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)
    sound = paths[0].read_text()
    for damaged, message in (
        (sound.replace(",5\n", ",x\n"), "a score or the time on line 3 cannot be read"),
        (sound.replace(",5\n", "\n"), "csv:3: The row has 6 cells, the header 7"),
    ):
        paths[0].write_text(damaged)
        with pytest.raises(DataFileError, match=message):
            list(read_customer_directory(tmp_path))
    for path in paths:
        path.write_text(path.read_text().replace("2024-01-03", "some day"))
    paths[0].write_text(sound.replace("2024-01-03", "some day"))
    with pytest.raises(DataFileError, match="a score or the time on line 3 cannot be read"):
        list(read_customer_directory(tmp_path))


def outcome(pieces: Iterator[pd.DataFrame]) -> tuple[list[dict[Hashable, Any]], object]:
    """The pieces, and what came after them: an error, or what a generator returns."""
    given: list[dict[Hashable, Any]] = []
    while True:
        try:
            given.append(next(pieces).to_dict("index"))
        except StopIteration as end:
            return given, end.value
        except DataFileError as error:
            return given, str(error)


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("sound", "damaged"),
    [
        ("", ""),
        ("Bruit", "Fuite"),  # another report in one file
        (",2.5\n", ",x\n"),
        (",2.5\n", "\n"),
        (",2.5\n", ",2.5,\n"),
        (",2.5\n", ',"2\n'),
        (",2.5\n", ",2.5\n\n"),
        ("Process Safety", "process_safety_score"),
        ("Num_equipement", "Num"),
    ],
)
def test_a_directory_is_read_quickly_as_it_is_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, sound: str, damaged: str
) -> None:
    paths = write_customer(tmp_path, PUMP, FAN, FAN.replace("Vibration", "Bruit"))
    monkeypatch.setattr(tables, "PIECE", piece)
    paths[2].write_text(paths[2].read_text().replace(sound, damaged))

    given, end = outcome(read_customer_directory(tmp_path))

    assert (given, end) == outcome(_read_plainly(tmp_path))
    quickly, left = outcome(_read_quickly(tmp_path))
    assert quickly == given[: len(quickly)]
    assert left == (None if sound == damaged else sum(len(piece) for piece in quickly))


def test_a_missing_file_is_told_of(tmp_path: Path) -> None:
    write_customer(tmp_path, PUMP)[1].unlink()
    with pytest.raises(DataFileError, match=r"fiabilite\.csv cannot be read: No such file"):
        list(read_customer_directory(tmp_path))
