"""Archives of XML, as workbooks are, unpacked within bounds: no size that a file states is trusted."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from xml.parsers.expat import ParserCreate
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from training.datafiles.errors import DataFileError
from training.datafiles.plain_items import PlainItems

MOST_UNPACKED = 1024**3  # bytes of all parts that are read
MOST_RATIO, SPARE = 100, 4 * 1024**2  # unpacked bytes for each packed one, and as many more
MOST_TEXTS = 512 * 1024**2  # characters that all cells make, a shared text once for each that refers to it
MOST_ELEMENTS = 40_000_000  # 1,048,576 rows of 12 columns are 26 million
ELEMENTS_RATIO, SPARE_ELEMENTS = 8, 500_000  # elements for each packed byte, and as many more

_MOST_DIRECTORY = 1024**2  # bytes of the archive's own directory: some 15,000 members
_CHUNK = 64 * 1024  # bytes of XML at a time
_MOST_TOKEN = 256 * 1024  # bytes of a tag with its attributes, of a comment
_MOST_NAMES = 10_000  # different tags and attributes
_MOST_DEPTH = 100


class Archive(io.BufferedReader):
    """A file that is never read in one piece: `ZipFile` asks for its whole directory, however long it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(_MOST_DIRECTORY + 1 if size is None or size < 0 else size)
        if len(content) > _MOST_DIRECTORY:
            raise ValueError("the archive's directory is too long")
        return content


class Handler(Protocol):
    def start(self, name: str, attributes: dict[str, str]) -> None: ...
    def end(self, name: str) -> None: ...
    def text(self, text: str) -> None: ...


@dataclass(kw_only=True, slots=True)
class Parts:
    """The members of an archive by name, unpacked piece by piece, no more of all than is allowed.

    What is allowed grows with the archive's size: bytes, elements, and the characters that cells make.
    """

    archive: ZipFile
    path: Path
    unpacked: int = 0
    elements: int = 0
    text: int = 0
    size: int = field(init=False)
    members: dict[str, ZipInfo] = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.path.stat().st_size
        self.members = {_normal(member.filename): member for member in self.archive.infolist()}

    def __contains__(self, name: str) -> bool:
        return _normal(name) in self.members

    def parse(self, name: str, handler: Handler, plain: PlainItems[Any] | None = None) -> Iterator[None]:
        """Give the handler the part's elements by their local names; stop after each piece of the part.

        Items that `plain` takes are not among them.
        """
        names: dict[str, str] = {}
        parser = ParserCreate(intern=names)
        parser.buffer_text, parser.buffer_size = True, _CHUNK
        parser.CharacterDataHandler = handler.text
        parser.StartDoctypeDeclHandler = _refuse_doctype  # no entities, so none that grow or lead elsewhere
        begin, finish = handler.start, handler.end
        depth = 0

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            begin(tag if ":" not in tag else tag.rpartition(":")[2], attributes)

        def end(tag: str) -> None:
            nonlocal depth
            depth -= 1
            finish(tag if ":" not in tag else tag.rpartition(":")[2])

        parser.StartElementHandler, parser.EndElementHandler = start, end
        fed = 0
        for chunk in self._unpack(name):
            for content in plain.set_apart(chunk) if plain else (chunk,):
                parser.Parse(content, False)
                fed += len(content)
                if fed - parser.CurrentByteIndex > _MOST_TOKEN or len(names) > _MOST_NAMES:
                    raise ValueError("a tag is too long, or too many are different")
                if depth > _MOST_DEPTH:
                    raise ValueError("tags are nested too deep")
            yield
        parser.Parse(plain.rest if plain else b"", True)
        yield

    def parse_whole(self, name: str, handler: Handler) -> None:
        for _ in self.parse(name, handler):
            pass

    def count_text(self, characters: int) -> None:
        """Raises DataFileError when cells make more text than an archive of that size may hold."""
        self.text += characters
        if self.text > min(MOST_TEXTS, SPARE + MOST_RATIO * self.size):
            raise self.too_large()

    def too_large(self) -> DataFileError:
        return DataFileError(f"{self.path} is too large once unpacked: save it as CSV UTF-8.")

    def _unpack(self, name: str) -> Iterator[bytes]:
        member = self.members[_normal(name)]
        if member.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
            raise ValueError("packed as no workbook is")  # bz2 and lzma unpack without a bound
        most = min(MOST_UNPACKED, SPARE + MOST_RATIO * self.size)
        most_elements = min(MOST_ELEMENTS, SPARE_ELEMENTS + ELEMENTS_RATIO * self.size)
        with self.archive.open(member) as content:
            while chunk := content.read(_CHUNK):
                self.unpacked += len(chunk)
                self.elements += chunk.count(b"<") - chunk.count(b"</")
                if self.unpacked > most or self.elements > most_elements:
                    raise self.too_large()
                yield chunk


def _normal(name: str) -> str:
    """Some exports write other slashes, or another case than where they refer to the part."""
    return name.replace("\\", "/").lstrip("/").lower()


def _refuse_doctype(*_: object) -> None:
    raise ValueError("a workbook has no DOCTYPE")
