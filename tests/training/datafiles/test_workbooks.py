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
from training.datafiles import DataFileError, read_files, sheets, unpacking, workbooks
from training.datafiles.plain_items import PlainItems
from training.datafiles.tables import read_tables
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


def with_shared_text(path: Path, text: str, rows: int) -> Path:
    """Rows whose descriptions are one string."""
    shared = '<c t="s"><v>0</v></c>'
    cells = [*map(text_cell, VALUES[2:])]
    lines = (row([text_cell(f"A-{number}"), shared, *cells]) for number in range(2, rows + 2))
    return write_sheet(
        path, "".join(lines), parts={"xl/sharedStrings.xml": f"<sst><si><t>{text}</t></si></sst>"}
    )


def test_a_text_that_all_rows_share_is_read(tmp_path: Path) -> None:
    path = with_shared_text(tmp_path / "a.xlsx", "é" * 300, 5_000)
    assert read_files([path]).rows_kept == 5_001


def test_what_cells_refer_to_is_counted_as_if_they_held_it(tmp_path: Path) -> None:
    path = with_shared_text(tmp_path / "a.xlsx", "é" * 30_000, 200)
    assert path.stat().st_size < 10_000
    read: list[int] = []
    most = unpacking.SPARE + unpacking.MOST_RATIO * path.stat().st_size
    with pytest.raises(DataFileError, match="too large once unpacked"):
        read.extend(line for line, _ in read_workbook(path))
    assert len(read) == pytest.approx(most / 30_000, abs=2)


def test_elements_are_bounded_by_the_packed_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sheet(tmp_path / "a.xlsx", row(["<c/>"]), repeat=1_000)
    monkeypatch.setattr(unpacking, "ELEMENTS_RATIO", 0)
    monkeypatch.setattr(unpacking, "SPARE_ELEMENTS", 2_200)  # two for each row, and the rest of the workbook
    assert len(read(path)) == 2
    monkeypatch.setattr(unpacking, "SPARE_ELEMENTS", 2_000)
    with pytest.raises(DataFileError, match="too large once unpacked"):
        read(path)


def test_rows_of_blanks_are_none_and_are_not_refused(tmp_path: Path) -> None:
    path = write_sheet(
        tmp_path / "a.xlsx",
        row([text_cell(" ", "B3")], 3),
        row(['<c r="A4" s="0"/>', '<c r="B4" s="0" />'], 4),
        row([text_cell("A-5"), *map(text_cell, VALUES[1:])], 5),
    )
    (table,) = read_tables(path)
    assert table.lines.tolist() == [2, 5]


UNUSUAL = {
    "pretty": '<row r="3">\n <c r="A3" t="str"><v>A-3</v></c>\n <c r="B3" t="str"><v>x</v>\n</c></row>',
    "an entity": row([text_cell("A-3"), text_cell("x")], 3).replace("A-3", "&#65;-3"),
    "a prefix": '<x:row r="3" xmlns:x="m"><x:c><x:v>A-3</x:v></x:c><x:c t="str"><x:v>x</x:v></x:c></x:row>',
    "a formula": '<row r="3"><c t="str"><f>A2</f><v>A-3</v></c><c t="str"><v>x</v></c></row>',
    "rich text": '<row r="3"><c t="inlineStr"><is><r><t>A-</t></r><r><t>3</t></r></is></c>'
    + text_cell("x")
    + "</row>",
    "attributes": '<row spans="1:2" r="3"><c t="str" r="A3"><v>A-3</v></c><c t="str"><v>x</v></c></row>',
    "CDATA": '<row r="3"><c t="str"><v><![CDATA[A-3]]></v></c><c t="str"><v>x</v></c></row>',
    "a comment": f"<!-- {row([text_cell('A-9')], 3)} -->" + row([text_cell("A-3"), text_cell("x")], 3),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_rows_of_another_form_are_read_in_their_place(tmp_path: Path, name: str) -> None:
    after = row([text_cell("A-4"), text_cell("y", "B4")])
    rows = read(write_sheet(tmp_path / "a.xlsx", UNUSUAL[name], after))
    assert [(line, texts[:2]) for line, texts in rows[2:]] == [(3, ["A-3", "x"]), (4, ["A-4", "y"])]


def test_both_ways_of_reading_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in honest(tmp_path):
        path = tmp_path / "a.xlsx"
        path.write_bytes(content)
        by_pattern = read(path)
        with monkeypatch.context() as patch:
            patch.setattr(PlainItems, "set_apart", lambda _, chunk: iter([chunk]))
            assert read(path) == by_pattern
            assert len(by_pattern) > 1


def test_the_usual_form_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (row([text_cell(f"A-{number}"), '<c s="0"><v>1.50</v></c>', "<c/>"]) for number in range(1_000))
    path = write_sheet(tmp_path / "a.xlsx", "".join(lines))
    parsed: list[str] = []
    end = sheets.Sheet.end

    def note(sheet: sheets.Sheet, name: str) -> None:
        parsed.append(name)
        end(sheet, name)

    monkeypatch.setattr(sheets.Sheet, "end", note)
    assert len(read(path)) == 1_002
    assert parsed.count("row") == 1  # the first, which has the sheet's beginning before it


@pytest.mark.parametrize("damage", [b"", b"XXXX", b"\0\0\0\0", b"\xff\xfe\x00\x01"])
def test_a_workbook_whose_first_bytes_are_damaged_is_called_one(tmp_path: Path, damage: bytes) -> None:
    path = write_sheet(tmp_path / "a.xlsx")
    path.write_bytes(damage + path.read_bytes()[4:])
    with pytest.raises(DataFileError, match=r"a\.xlsx is not a readable Excel workbook \(\.xlsx\)\.$"):
        next(read_tables(path))


def test_a_table_of_text_under_a_workbooks_name_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_text("description\n" + "é" * 2_100 + "\nFuite\n", encoding="utf-8")
    assert next(read_tables(path)).lines.tolist() == [2, 3]


def test_a_chart_alone_is_said_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chart = relations(("rId1", "chartsheet", "chartsheets/sheet1.xml"))
    parts = {**BOOK, "xl/_rels/workbook.xml.rels": chart, "xl/chartsheets/sheet1.xml": "<chartsheet/>"}
    with pytest.raises(DataFileError, match="is not a readable Excel workbook"):
        read(write_archive(tmp_path / "a.xlsx", parts))
    assert "ValueError('there is no worksheet, perhaps a chart alone')" in caplog.text


def test_columns_with_titles_are_bounded(tmp_path: Path) -> None:
    titles = row([text_cell(f"title {number}") for number in range(501)])
    sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{titles}</sheetData></worksheet>'
    path = write_archive(tmp_path / "a.xlsx", {**BOOK, SHEET: sheet})
    with pytest.raises(DataFileError, match="has more than 500 columns: keep those that count"):
        next(read_tables(path))


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
