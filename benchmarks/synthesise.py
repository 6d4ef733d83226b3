"""Make a plant's next million reports out of those it has: the customer's three CSVs, longer.

    python benchmarks/synthesise.py SOURCE_DIR --records 1000000 --out DIR --seed 0

SOURCE_DIR holds disponibilite.csv, fiabilite.csv and process_safty.csv (the sample's can be had with
`manage.py load_sample` and `manage.py export_training_data DIR`). Each record is a real report of about the
same time into which one to three words of another report of the same system are put: sentences stay
plausible, old words keep their frequencies, and drift stays where it was. Now and then a word gets a
variant (a typing error, another number in a code) whose rank follows Zipf's law, so the vocabulary goes on
growing as Heaps' law says. A score is that of the report, one time in twenty that of the other one, which
keeps the shares. The same seed gives the same files. Memory does not grow with the number of records.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

FILES = ("disponibilite.csv", "fiabilite.csv", "process_safty.csv")
EQUIPMENT, SYSTEM, TEXT, TIME, NAME, SECTION, SCORE = range(7)
CLOSE = 0.02  # how far from its place in the source, as a share of its length, a record's model may lie
OTHER_SCORE = 0.05  # probability of a score from the other report
VARIANT = 0.6  # probability that a record has a word in a variant
TAIL = 0.7  # of the variants' ranks: P(rank > r) = r ** -TAIL, so Heaps' exponent nears TAIL / (1 + TAIL)
FEW = 20  # a system with fewer reports borrows words from all systems of its section
MAX_TEXT = 2_000  # characters that a description may have


@dataclass(frozen=True, slots=True)
class Report:
    equipment: str
    system: str
    words: tuple[str, ...]
    time: datetime
    name: str
    section: str
    scores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The reports with a text, oldest first, and for each the reports that it may borrow words from."""

    header: tuple[list[str], ...]
    reports: list[Report]
    lenders: list[list[Report]]


def read_source(directory: Path) -> Source:
    tables = [_rows(directory / name) for name in FILES]
    reports = [
        Report(
            equipment=row[EQUIPMENT],
            system=row[SYSTEM],
            words=tuple(row[TEXT].split()),
            time=datetime.fromisoformat(row[TIME]),
            name=row[NAME],
            section=row[SECTION],
            scores=(row[SCORE], second[SCORE], third[SCORE]),
        )
        for row, second, third in zip(*(rows for _, rows in tables), strict=True)
        if row[TEXT].strip()
    ]
    reports.sort(key=lambda report: report.time)
    return Source(header=tuple(header for header, _ in tables), reports=reports, lenders=_lenders(reports))


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def _lenders(reports: list[Report]) -> list[list[Report]]:
    of_system, of_section = defaultdict(list), defaultdict(list)
    for report in reports:
        of_system[report.system].append(report)
        of_section[report.section].append(report)
    return [
        of_system[report.system] if len(of_system[report.system]) >= FEW else of_section[report.section]
        for report in reports
    ]


def synthesise(source: Source, records: int, random: Random) -> Iterator[tuple[Report, str]]:
    """The records, oldest first: a report with its own time and scores, and its text."""
    length = len(source.reports)
    for number in range(records):
        place = number / records * length
        index = min(max(int(place + random.gauss(0, CLOSE * length)), 0), length - 1)
        model, other = source.reports[index], random.choice(source.lenders[index])
        words = _mixed(model.words, other.words, random)
        if random.random() < VARIANT:
            at = random.randrange(len(words))
            words[at] = variant(words[at], _rank(random))
        scores = tuple(
            theirs if random.random() < OTHER_SCORE else ours
            for ours, theirs in zip(model.scores, other.scores, strict=True)
        )
        report = Report(
            equipment=model.equipment,
            system=model.system,
            words=model.words,
            time=_time(source.reports, place),
            name=model.name,
            section=model.section,
            scores=scores,
        )
        yield report, " ".join(words)[:MAX_TEXT]


def _mixed(ours: tuple[str, ...], theirs: tuple[str, ...], random: Random) -> list[str]:
    """Up to three words in a row are replaced; the opening word, which says much, stays."""
    taken = random.randint(1, 3)
    start, lent = random.randint(1, len(ours)), random.randint(min(1, len(theirs) - 1), len(theirs) - 1)
    return [*ours[:start], *theirs[lent : lent + taken], *ours[start + taken :]]


def _rank(random: Random) -> int:
    return int((1 - random.random()) ** (-1 / TAIL))


def variant(word: str, rank: int) -> str:
    """The word's variant of that rank: digits counted on, else a letter left out, doubled or moved.

    Each further digit of the rank (to the base 3 × letters) is a further slip of the pen.
    """
    digits = "".join(filter(str.isdigit, word))
    if digits:
        counted = iter(str((int(digits) + rank) % 10 ** len(digits)).zfill(len(digits)))
        return "".join(next(counted) if letter.isdigit() else letter for letter in word)
    while rank and len(word) > 2:
        rank, slip = divmod(rank, 3 * (len(word) - 1))
        kind, at = slip % 3, slip // 3 + 1
        letters = ("", word[at] * 2, word[at] + word[at - 1])[kind]
        word = word[: at - (kind == 2)] + letters + word[at + 1 :]
    return word


def _time(reports: list[Report], place: float) -> datetime:
    """Between the times of the reports to both sides of that place, to the second."""
    index = int(place)
    start = reports[index].time
    end = reports[min(index + 1, len(reports) - 1)].time
    return start + timedelta(seconds=int((end - start).total_seconds() * (place - index)))


def write(source: Source, out: Path, *, records: int, seed: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        writers = []
        for name, header in zip(FILES, source.header, strict=True):
            file = stack.enter_context((out / name).open("w", encoding="utf-8", newline=""))
            writers.append(csv.writer(file, lineterminator="\n"))
            writers[-1].writerow(header)
        for report, text in synthesise(source, records, Random(seed)):
            time = f"{report.time:%Y-%m-%d %H:%M:%S}"
            shared = (report.equipment, report.system, text, time, report.name, report.section)
            for writer, score in zip(writers, report.scores, strict=True):
                writer.writerow((*shared, score))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, metavar="SOURCE_DIR")
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(read_source(options.source), options.out, records=options.records, seed=options.seed)


if __name__ == "__main__":
    main()
