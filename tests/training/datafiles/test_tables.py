from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from tests.training.datafiles.files import write_single
from training.datafiles import DataFileError, tables
from training.datafiles.tables import Table, read_side_by_side, read_tables


def read_table(path: Path) -> Table:
    """Of a file of one piece."""
    (table,) = read_tables(path)
    return table


HEADER = "Num_equipement;Description;Criticité"


def test_rows_know_the_line_on_which_they_begin(tmp_path: Path) -> None:
    path = write_single(
        tmp_path / "x.csv",
        "p-1,one",
        "",
        '"p-2","two',
        'lines"',
        ",",
        "p-3,three",
        header="equipment_id,description",
    )
    table = read_table(path)
    assert table.lines.tolist() == [2, 4, 7]
    assert table.cells["description"].tolist() == ["one", "two\nlines", "three"]


@pytest.mark.parametrize(("rows", "sizes"), [(0, [0]), (1, [1]), (2, [2, 0]), (5, [2, 2, 1])])
def test_a_file_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(tables, "PIECE", 2)
    texts = [f"text {number}" for number in range(rows)]
    path = write_single(
        tmp_path / "x.csv", *(f"p,{text}\n" for text in texts), header="equipment_id,description"
    )
    pieces = list(read_tables(path))
    assert [len(piece.cells) for piece in pieces] == sizes
    whole = pd.concat([piece.cells for piece in pieces])
    assert (whole.index.tolist(), whole["description"].tolist()) == (list(range(rows)), texts)
    assert pd.concat([piece.lines for piece in pieces]).tolist() == [2 * row + 2 for row in range(rows)]


def test_semicolons_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(f"\ufeff{HEADER}\r\np-1;fuite, vapeur;3\r\np-2;;\r\n".encode())
    table = read_table(path)
    assert table.cells.to_dict("list") == {
        "equipment_id": ["p-1", "p-2"],
        "description": ["fuite, vapeur", ""],
    }
    assert table.lines.tolist() == [2, 3]


@pytest.mark.parametrize("blank", ["", " ", ",", ";;;", "\t ,", '" "', "\r"])
def test_lines_without_text_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    monkeypatch.setattr(tables, "MOST_BLANK", 3)
    header = HEADER if ";" in blank else HEADER.replace(";", ",")
    path = write_single(tmp_path / "x.csv", *[blank] * 3, "p-1", header=header)
    if blank != "\r":
        assert read_table(path).lines.tolist() == [5]
    path = write_single(tmp_path / "y.csv", *[blank] * 4, "p-1", header=header)
    with pytest.raises(DataFileError, match=r"y\.csv has more than 3 empty lines: delete them\.$"):
        read_table(path)


def test_lines_without_text_before_the_titles_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_BLANK", 3)
    with pytest.raises(DataFileError, match="has more than 3 empty lines"):
        read_table(write_single(tmp_path / "x.csv", ",", " ", "", HEADER, header=""))


def test_rows_of_another_width_are_marked(tmp_path: Path) -> None:
    table = read_table(write_single(tmp_path / "x.csv", "p-1;a", "p-2;b;3", "p-3;c;3;4", header=HEADER))
    assert table.cells["description"].tolist() == ["a", "b", "c"]
    assert table.ragged.tolist() == [True, False, True]
    assert (table.widths.tolist(), table.width) == ([2, 3, 4], 3)


def test_a_byte_that_is_not_utf8_costs_its_cell_only(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"equipment_id,description\np-1,d\xe9faut\np-2,fine\n")
    assert read_table(path).cells["description"].tolist() == ["d\udce9faut", "fine"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Num_equipement,Systeme,Description,D\xe9tection\n".encode("latin-1"), "is not UTF-8 text"),
        (b"equipment_id,Num_equipement\n", "has two columns for the same thing"),
        (b'equipment_id,description\np-1,"open\n', "line 2: unexpected end of data"),
        (b'equipment_id,description\np-1,x\np-2,"a"b\n', "line 3: ',' expected after '\"'"),
        (b"PK\x03\x04 but no workbook", "is not a readable Excel workbook"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataFileError) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_file_and_a_directory_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="No such file"):
        read_table(tmp_path / "x.csv")
    with pytest.raises(DataFileError, match="Is a directory"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"equipment_id,description\n" + b"x" * 1_000_002,
            "line 2: a row is longer than 1,000,000 characters",
        ),
        (b'equipment_id,description\np,x\np,"' + b"x\n" * 600_000, "line 3: a row is longer than 1,000,000"),
        (b"equipment_id,description\n" + b'"\n",' * 300_000, "line 2: a row is longer than 1,000,000"),
        (b",".join(b"t%d" % number for number in range(501)), "has more than 500 columns"),
        (
            b"description,description" + b"x" * 100_000 + b",Description\n",
            "for the same thing: description, Des",
        ),
    ],
)
def test_a_row_and_the_titles_are_bounded(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataFileError) as caught:
        read_table(path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_cell_longer_than_any_column_is_cut(tmp_path: Path) -> None:
    path = write_single(tmp_path / "x.csv", f"p,{'x' * 900_000}", "q,y", header="equipment_id,description")
    assert read_table(path).cells["description"].str.len().tolist() == [32_767, 1]


def test_a_piece_ends_early_where_texts_are_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PIECE_TEXT", 10)
    paths = [
        write_single(
            tmp_path / f"{name}.csv", *(f"p,{text * 9}" for text in texts), header="equipment_id,description"
        )
        for name, texts in {"a": "xyz", "b": "uvw", "c": "stu"}.items()
    ]
    pieces = list(read_side_by_side(paths))
    assert [[len(table.cells) for table in piece] for piece in pieces] == [[1, 1, 1]] * 3 + [[0, 0, 0]]
    assert [piece[2].cells["description"].item() for piece in pieces[:3]] == ["s" * 9, "t" * 9, "u" * 9]
    assert [piece[0].cells.index.tolist() for piece in pieces] == [[0], [1], [2], []]


def test_an_empty_file_is_a_table_without_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.touch()
    assert read_table(path).cells.shape == (0, 0)


def test_excel_cells_are_read_as_they_would_stand_in_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    rows = [
        ["equipment_id", "description", "detected_at", "availability_score", "equipment_name"],
        ["p-1", " NA ", datetime(2024, 1, 2, 3, 4, 5), 3, None],  # noqa: DTZ001  # Excel knows no zones
        [None, None, None, None, None],
        [17, "x", "2024-01-02", 2.5, True],
    ]
    pd.DataFrame(rows).to_excel(path, header=False, index=False)
    table = read_table(path)
    assert table.lines.tolist() == [2, 4]
    assert table.cells.to_numpy().tolist() == [
        ["p-1", " NA ", "2024-01-02 03:04:05", "3", ""],
        ["17", "x", "2024-01-02", "2.5", "True"],
    ]
