"""Workbooks of every writer are read as tables, and what is none costs next to nothing."""

import random
import tracemalloc
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

from tests.training.datafiles.workbook_files import (
    BOMBS,
    BOOK,
    GOOD,
    MAIN,
    VALUES,
    mutated,
    relations,
    row,
    text_cell,
    write_archive,
    write_sheet,
)
from training.datafiles import DataFileError, read_files, workbooks
from training.datafiles.tables import read_tables, read_titles
from training.datafiles.workbooks import read_workbook
from training.ml.records import COLUMNS

SHEET = "xl/worksheets/sheet1.xml"


def read(path: Path) -> list[tuple[int, list[str]]]:
    return list(read_workbook(path))


def cells(path: Path, *inside: str, parts: dict[str, str] | None = None) -> list[str]:
    """The texts of one row of these cells."""
    titles = row(map(text_cell, COLUMNS[: len(inside)]))
    sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{titles}{row(inside)}</sheetData></worksheet>'
    _, (_, texts) = read(write_archive(path, {**BOOK, SHEET: sheet, **(parts or {})}))
    return texts


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_read_or_refused_and_holds_little(tmp_path: Path, name: str) -> None:
    write, rows = BOMBS[name]
    path = write(tmp_path / "a.xlsx")
    assert path.stat().st_size < 2 * 2**20 or name == "30,000 members"
    tracemalloc.start()
    try:
        if rows is None:
            with pytest.raises(DataFileError, match=r"a\.xlsx is (not a readable Excel|too large once unp)"):
                read_files([path])
        else:
            assert read_files([path]).rows_read == rows
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()


def test_rows_keep_their_numbers_and_columns_end_with_the_titles(tmp_path: Path) -> None:
    path = write_sheet(
        tmp_path / "a.xlsx",
        row([text_cell("A-2", "A7"), text_cell("stray", "K7"), text_cell("3", "J7")], 7),
        row([text_cell("far", "XFD8")], 8),
        row([text_cell("A-3")]),
    )
    assert read(path) == [
        (1, list(COLUMNS)),
        (2, list(VALUES)),
        (7, ["A-2", *[""] * 8, "3"]),
        (9, ["A-3", *[""] * 9]),
    ]


def test_shared_strings_come_without_how_they_are_pronounced(tmp_path: Path) -> None:
    strings = (
        "<sst><si><t>plain</t></si><si><r><t>rich </t></r><r><t>text</t></r></si>"
        "<si><t>課</t><rPh><t>カ</t></rPh></si><si/></sst>"
    )
    shared = [f'<c t="s"><v>{number}</v></c>' for number in range(4)]
    texts = cells(tmp_path / "a.xlsx", *shared, parts={"xl/sharedStrings.xml": strings})
    assert texts == ["plain", "rich text", "課", ""]


def test_shared_strings_leave_memory_once_they_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbooks, "IN_MEMORY", 10)
    strings = "<sst>" + "".join(f"<si><t>é{number}</t></si>" for number in range(100)) + "</sst>"
    shared = [f'<c t="s"><v>{number}</v></c>' for number in (99, 0, 50)]
    texts = cells(tmp_path / "a.xlsx", *shared, parts={"xl/sharedStrings.xml": strings})
    assert texts == ["é99", "é0", "é50"]


def test_values_are_written_as_in_a_csv(tmp_path: Path) -> None:
    styles = (
        '<styleSheet><numFmts><numFmt numFmtId="164" formatCode="dd/mm/yyyy hh:mm"/>'
        '<numFmt numFmtId="165" formatCode="[hh]:mm"/></numFmts><fills><x/></fills>'
        '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs>'
        '<xf/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/></cellXfs>'
        "</styleSheet>"
    )
    texts = cells(
        tmp_path / "a.xlsx",
        "<c><v>3</v></c>",
        "<c><v>2.5</v></c>",
        "<c><v>1E3</v></c>",
        "<c><v>12345678901234567890</v></c>",
        '<c t="b"><v>1</v></c>',
        '<c t="e"><v>#N/A</v></c>',
        '<c s="2"><v>45293.5</v></c>',
        '<c s="1"><v>99999999</v></c>',
        '<c s="3"><v>1.5</v></c>',
        '<c t="str"><f>A1</f><v>a formula\'s</v></c>',
        parts={"xl/styles.xml": styles},
    )
    assert texts == [
        *("3", "2.5", "1000", "12345678901234567890", "True", ""),
        *("2024-01-02 12:00:00", "99999999", "1 day, 12:00:00", "a formula's"),
    ]


def test_years_that_begin_in_1904(tmp_path: Path) -> None:
    book = BOOK["xl/workbook.xml"].replace("<sheets>", '<workbookPr date1904="1"/><sheets>')
    styles = '<styleSheet><cellXfs><xf numFmtId="22"/></cellXfs></styleSheet>'
    texts = cells(
        tmp_path / "a.xlsx",
        '<c s="0"><v>43831.25</v></c>',
        '<c t="d"><v>2024-01-02T03:04:05</v></c>',
        parts={"xl/workbook.xml": book, "xl/styles.xml": styles},
    )
    assert texts == ["2024-01-02 06:00:00", "2024-01-02 03:04:05"]


def test_a_chart_before_the_table_is_passed_over(tmp_path: Path) -> None:
    sheets = '<sheet name="Chart" sheetId="1" r:id="rId8"/><sheet name="Table" sheetId="2" r:id="rId1"/>'
    start, _ = BOOK["xl/workbook.xml"].split("<sheets>")
    path = write_sheet(
        tmp_path / "a.xlsx",
        parts={
            "xl/workbook.xml": f"{start}<sheets>{sheets}</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": relations(
                ("rId8", "chartsheet", "chartsheets/sheet1.xml"),
                ("rId1", "worksheet", "worksheets/sheet1.xml"),
            ),
            "xl/chartsheets/sheet1.xml": "<chartsheet/>",
        },
    )
    assert read(path)[1] == (2, list(VALUES))


def test_names_with_prefixes_other_slashes_and_another_case(tmp_path: Path) -> None:
    sheet = (
        f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData><x:row><x:c t="str"><x:v>description</x:v></x:c></x:row>'
        '<x:row><x:c t="s"><x:v>0</x:v></x:c></x:row></x:sheetData></x:worksheet>'
    )
    parts = {
        "xl\\worksheets\\Sheet1.xml": sheet,
        "XL\\SharedStrings.xml": "<sst><si><t>Fuite</t></si></sst>",
        **{name.replace("/", "\\"): content for name, content in BOOK.items()},
    }
    assert read(write_archive(tmp_path / "a.xlsx", parts)) == [(1, ["description"]), (2, ["Fuite"])]


def test_a_cell_longer_than_any_column_costs_its_row(tmp_path: Path) -> None:
    long = [text_cell("A-2"), text_cell("x" * 100_000), *map(text_cell, VALUES[2:])]
    records = read_files([write_sheet(tmp_path / "a.xlsx", row(long))])
    assert [problem.message for problem in records.problems()] == [
        "description must be at most 2,000 characters, got 32,767"
    ]
    assert (records.rows_kept, records.rows_refused) == (1, 1)


def test_columns_with_titles_are_bounded(tmp_path: Path) -> None:
    titles = row([text_cell(f"title {number}") for number in range(501)])
    sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{titles}</sheetData></worksheet>'
    path = write_archive(tmp_path / "a.xlsx", {**BOOK, SHEET: sheet})
    with pytest.raises(DataFileError, match="has more than 500 columns: keep those that count"):
        read_titles(path)


@pytest.mark.parametrize(
    "inside",
    [
        '<row r="-1"/>',
        '<row r="99999999999"/>',
        '<row r="x"/>',
        row(['<c r="ZZZ1"><v>1</v></c>']),
        row(['<c r="7"><v>1</v></c>']),
        row(['<c t="s"><v>0</v></c>']),
        row(['<c t="s"><v>-1</v></c>']),
        row(['<c t="d"><v>yesterday</v></c>']),
        row(['<c s="x"><v>1</v></c>']),
        "<row>",
    ],
)
def test_a_sheet_that_is_none_is_told_in_one_sentence(tmp_path: Path, inside: str) -> None:
    path = write_sheet(tmp_path / "a.xlsx", inside)
    with pytest.raises(DataFileError, match=r"^\S+a\.xlsx is not a readable Excel workbook \(\.xlsx\)\.$"):
        list(read_tables(path))


def test_whatever_a_parser_raises_is_the_domains_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sheet(tmp_path / "a.xlsx")
    for error in (RecursionError, MemoryError, UnboundLocalError, OSError, NotImplementedError, KeyError):
        monkeypatch.setattr(workbooks, "_book", lambda _, error=error: (_ for _ in ()).throw(error("x")))
        with pytest.raises(DataFileError, match="is not a readable Excel workbook"):
            list(read_tables(path))


def honest(tmp_path: Path) -> list[bytes]:
    """As pandas, as openpyxl's shared strings, and as raw XML write it."""
    frame = pd.DataFrame([VALUES] * 5, columns=list(COLUMNS))
    written = BytesIO()
    frame.assign(detected_at=pd.Timestamp("2024-01-02")).to_excel(written, index=False)
    return [written.getvalue(), write_sheet(tmp_path / "raw.xlsx", GOOD).read_bytes()]


@pytest.mark.parametrize("seed", range(8))
def test_mutated_workbooks_give_rows_or_the_domains_error(tmp_path: Path, seed: int) -> None:
    chance, path, read_ones = random.Random(seed), tmp_path / "a.xlsx", 0
    sources = honest(tmp_path)
    for _ in range(60):
        path.write_bytes(mutated(chance.choice(sources), chance))
        try:
            records = read_files([path])
        except DataFileError:
            continue
        assert len(records.frame) == records.rows_kept
        assert len(list(records.problems())) == records.problem_count
        read_ones += 1
    assert read_ones
