"""Workbooks for tests as no library writes them: raw XML in an archive, and bombs of a few kilobytes."""

import random
import zipfile
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from itertools import chain
from pathlib import Path

import openpyxl

from training.ml.records import COLUMNS

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
VALUES = ("A-1", "Fuite garniture", "Pompe", "p-1", "Eau", "MEC", "2024-01-02 03:04:05", "1", "2", "3")


def relations(*entries: tuple[str, str, str]) -> str:
    inside = "".join(
        f'<Relationship Id="{key}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for key, kind, target in entries
    )
    return f'<Relationships xmlns="{PACKAGE}">{inside}</Relationships>'


BOOK = {
    "_rels/.rels": relations(("rId1", "officeDocument", "xl/workbook.xml")),
    "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
    '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": relations(
        ("rId1", "worksheet", "worksheets/sheet1.xml"),
        ("rId2", "sharedStrings", "sharedStrings.xml"),
        ("rId3", "styles", "styles.xml"),
    ),
}


def text_cell(text: str, reference: str = "") -> str:
    at = f' r="{reference}"' if reference else ""
    return f'<c{at} t="inlineStr"><is><t>{text}</t></is></c>'


def row(cells: Iterable[str], number: int | None = None) -> str:
    at = f' r="{number}"' if number else ""
    return f"<row{at}>{''.join(cells)}</row>"


TITLES = row(map(text_cell, COLUMNS))
GOOD = row(map(text_cell, VALUES))


def write_archive(path: Path, parts: Mapping[str, str | Iterable[bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in parts.items():
            with archive.open(name, "w") as member:
                for piece in [content.encode()] if isinstance(content, str) else content:
                    member.write(piece)
    return path


def write_sheet(
    path: Path, *rows: str, parts: Mapping[str, str | Iterable[bytes]] = {}, repeat: int = 1
) -> Path:
    """Titles, a good row, and then `rows`, the last of them `repeat` times."""

    def content() -> Iterable[bytes]:
        yield f'<worksheet xmlns="{MAIN}"><sheetData>{TITLES}{GOOD}{"".join(rows[:-1])}'.encode()
        block = rows[-1].encode() if rows else b""
        at_once = max(1, min(repeat, 2**20 // max(len(block), 1)))
        for _ in range(repeat // at_once):
            yield block * at_once
        yield block * (repeat % at_once)
        yield b"</sheetData></worksheet>"

    return write_archive(path, {**BOOK, "xl/worksheets/sheet1.xml": content(), **parts})


def strings(content: Iterable[bytes]) -> Iterable[bytes]:
    yield f'<sst xmlns="{MAIN}">'.encode()
    yield from content
    yield b"</sst>"


def in_last_column(path: Path, rows: int) -> Path:
    """As Excel leaves it: a space out in column XFD, on every row."""
    cells = [text_cell(value) for value in VALUES[1:]]
    lines = (
        row([text_cell(f"A-{number}"), *cells, text_cell(" ", f"XFD{number}")], number)
        for number in range(3, rows + 2)
    )
    return write_sheet(path, "".join(lines))


def in_last_row(path: Path) -> Path:
    """A stray space in row 1,048,576, written by openpyxl."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(list(COLUMNS))
    sheet.append(list(VALUES))
    sheet.cell(1_048_576, 12, " ")
    book.save(path)
    return path


def in_far_row(path: Path) -> Path:
    return write_sheet(path, row(["<c><v>1</v></c>"], 999_999_999))


def with_long_cell(path: Path) -> Path:
    """600 MB that pack to 600 kB."""
    pieces = (b"x" * 2**20 for _ in range(600))
    sheet = chain([f'<worksheet xmlns="{MAIN}"><sheetData>{TITLES}<row><c t="str"><v>'.encode()], pieces)
    return write_archive(path, {**BOOK, "xl/worksheets/sheet1.xml": sheet})


def with_long_string(path: Path) -> Path:
    """The same among the shared strings."""
    pieces = (b"x" * 2**20 for _ in range(600))
    return write_sheet(path, parts={"xl/sharedStrings.xml": strings(chain([b"<si><t>"], pieces))})


def with_long_attribute(path: Path) -> Path:
    return write_sheet(path, '<row x="', "y" * 2**24, '"/>')


def with_cells_of(path: Path, cell: str, times: int) -> Path:
    return write_sheet(path, row([], 3)[:-6], cell, repeat=times)


def with_names(path: Path) -> Path:
    return write_sheet(path, "".join(f"<a{number:x}/>" for number in range(300_000)))


def with_entities(path: Path) -> Path:
    """A billion laughs."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    strings = f"<!DOCTYPE sst [{entities}]><sst><si><t>&e9;</t></si></sst>"
    return write_sheet(path, parts={"xl/sharedStrings.xml": strings})


def with_members(path: Path) -> Path:
    """More members than any workbook has: `ZipFile` would hold an object for each."""
    write_sheet(path)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(30_000):
            archive.writestr(f"{number:x}", b"")
    return path


def packed_otherwise(path: Path) -> Path:
    """By bz2 4 kB unpack to megabytes at once."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in BOOK.items():
            archive.writestr(name, content)
        archive.writestr("xl/worksheets/sheet1.xml", "x" * 2**26)
    return path


def with_shared_string(path: Path) -> Path:
    """800 cells of 32,767 characters, which are one string."""
    shared = row(['<c t="s"><v>0</v></c>'] * 4)
    parts = {"xl/sharedStrings.xml": strings([f"<si><t>{'é' * 32_767}</t></si>".encode()])}
    return write_sheet(path, shared, parts=parts, repeat=200)


def with_strings(path: Path) -> Path:
    pieces = (b"<si><t>a</t></si>" * 1_000 for _ in range(600))
    return write_sheet(path, parts={"xl/sharedStrings.xml": strings(pieces)})


def with_formatted_column(path: Path) -> Path:
    """What formatting a column leaves: a cell without text on every row."""
    return write_sheet(path, "".join(row([f'<c r="A{n}" s="0"/>'], n) for n in range(3, 200_000)))


# By name, how to write each, and how many rows it holds; None where it is refused.
BOMBS: dict[str, tuple[Callable[[Path], Path], int | None]] = {
    "a cell in row 999,999,999": (in_far_row, 2),
    "a space in the last row": (in_last_row, 1),
    "a space in column XFD of 5,000 rows": (lambda path: in_last_column(path, 5_000), 5_000),
    "a cell of 600 MB": (with_long_cell, None),
    "a shared string of 600 MB": (with_long_string, None),
    "a tag of 16 MB": (with_long_attribute, None),
    "ten million cells": (lambda path: with_cells_of(path, "<c/>", 10_000_000), None),
    "tags within tags": (lambda path: with_cells_of(path, "<a>", 200_000), None),
    "many different tags": (with_names, None),
    "entities": (with_entities, None),
    "30,000 members": (with_members, None),
    "another packing": (packed_otherwise, None),
    "a long string that cells share": (with_shared_string, None),
    "600,000 strings": (with_strings, None),
    "a space in 100,000 rows": (lambda path: write_sheet(path, row([text_cell(" ")]), repeat=100_000), 1),
    "a formatted column": (with_formatted_column, 1),
}


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Bytes flipped, cut out or doubled; or a member of the archive replaced, emptied or damaged inside."""
    kind = chance.randrange(6)
    if kind < 3:
        at, length = chance.randrange(len(content)), chance.randrange(1, 60)
        middle = (
            bytes(chance.randrange(256) for _ in range(length)),
            b"",
            content[at : at + length] * chance.randrange(2, 50),
        )[kind]
        return content[:at] + middle + content[at + length :]
    with zipfile.ZipFile(BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(sorted(parts))
    if kind == 3:
        parts[name] = parts[chance.choice(sorted(parts))]
    elif kind == 4:
        del parts[name]
    else:
        parts[name] = _damaged(parts[name], chance)
    written = BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, inside in parts.items():
            archive.writestr(part, inside)
    return written.getvalue()


def _damaged(xml: bytes, chance: random.Random) -> bytes:
    """Still XML mostly: a value of an attribute, a tag's name or a number is another one."""
    words = [b"-1", b"999999999999", b"", b"x", b"\xc3\xa9", b"NaN", b"A1", b"true", b"&lt;", b"1e400"]
    at = chance.randrange(len(xml))
    quote = xml.find(b'"', at)
    bracket = xml.find(b">", at)
    begin = quote if chance.random() < 0.5 and quote >= 0 else bracket
    end = min(
        (found for found in (xml.find(b'"', begin + 1), xml.find(b"<", begin + 1)) if found > begin),
        default=begin,
    )
    return xml[: begin + 1] + chance.choice(words) + xml[end:]
