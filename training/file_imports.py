"""Files come in through the admin: looked at when they arrive, stored once somebody has confirmed it.

Between the two they wait in a private drawer that all web nodes share (`shelves`), no longer than KEPT.
"""

import csv
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path, PurePath
from typing import TypeAlias
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.base import File
from django.db import transaction
from django.utils import timezone

from training.database import database_now
from training.datafiles import DataFileError, FileRecords, neutralise, read_files
from training.datafiles.cells import format_times
from training.errors import NotAllowedNowError, StorageError
from training.importing import import_records
from training.ml.failpoints import failpoint
from training.models import Anomaly, FileImport
from training.records import RecordCounts, ScoredReport
from training.shelves import Drawer, drawer_of

logger = logging.getLogger(__name__)

MOST_FILES = 3
MOST_WAITING = 20  # imports at a time: with the limit of one, what the disk must hold
KEPT = timedelta(hours=24)
FIRST_ROWS, FIRST_PROBLEMS = 5, 50
PROGRESS = "progress"  # the file that tells how many rows are stored

DECIDED = "This import does not wait to be confirmed any more."
Upload: TypeAlias = "File[bytes]"
WAITING, STORED, DISCARDED = FileImport.Status.WAITING, FileImport.Status.STORED, FileImport.Status.DISCARDED


def receive_files(*, files: Sequence[Upload], status: Anomaly.Status, user: User | None) -> FileImport:
    """Keep the files, look at every row, and count what storing them with that status would change.

    Raises DataFileError when they are too large or cannot be used at all, NotAllowedNowError when too many
    imports wait or the storage does not answer; then nothing is kept.
    """
    with _storage_answers():
        sweep_imports()
    _require_room(files)
    received = FileImport(
        directory=uuid4().hex,
        anomaly_status=status,
        file_names=[_safe_name(file.name or "") for file in files],
        created_by=user,
    )
    received.place.mkdir(mode=0o700, parents=True)
    try:
        _keep(files, received)
        failpoint("import.kept")
        _look(received)
        failpoint("import.looked")
        with _storage_answers():
            _drawer().keep(received.directory)
        received.save(force_insert=True)
    except BaseException as error:
        shutil.rmtree(received.place, ignore_errors=True)
        if isinstance(error, DataFileError):
            raise _without_places(error, received) from error
        raise
    failpoint("import.received")
    return received


def store_import(*, waiting: FileImport, user: User | None) -> FileImport:
    """Store the good rows, all or none, and close the import in the same transaction; the fresh row.

    Raises NotAllowedNowError when it does not wait any more or the storage does not answer, DataFileError
    when its files are gone.
    """
    _require_waiting(waiting)
    try:
        _bring(waiting)
        records = read_files(waiting.paths, most_rows=settings.IMPORT_ROWS)
        with transaction.atomic():
            _decide(waiting, STORED, user)  # first: it locks the row, so that of two who confirm one stores
            failpoint("import.decided")
            counts = import_records(
                records=records,
                user=user,
                status=Anomaly.Status(waiting.anomaly_status),
                reason=f"Imported from {waiting}",
                track=_tracked(waiting),
            )
            FileImport.objects.filter(pk=waiting.pk).update(**_counts(records, counts))
            failpoint("import.stored")
        failpoint("import.committed")
    except DataFileError as error:
        _require_waiting(waiting)  # or a colleague was quicker, and the files are gone
        raise _without_places(error, waiting) from error
    _drawer().remove(waiting.directory, waiting.files)  # the refused rows stay a while
    waiting.refresh_from_db()
    return waiting


def discard_import(*, waiting: FileImport, user: User | None) -> None:
    """Raises NotAllowedNowError when it does not wait any more."""
    _decide(waiting, DISCARDED, user)
    _drawer().remove(waiting.directory)


def sweep_imports() -> list[str]:
    """Discard what nobody confirmed in time, and remove all files older than KEPT; the directories' names."""
    now = database_now()
    old = FileImport.objects.filter(status=WAITING, created_at__lt=now - KEPT)
    old.update(status=DISCARDED, decided_at=now)
    return _drawer().sweep(KEPT.total_seconds())


def refused_file(row: FileImport) -> Path | None:
    """The refused rows with their reasons; None when there are none (any more), or nobody can tell now."""
    try:
        return _drawer().bring(row.directory, row.REFUSED) if row.rows_refused else None
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("The refused rows of import %d are out of reach: %s", row.pk, error)
        return None


def rows_stored(waiting: FileImport) -> int:
    """How many rows an import that runs has passed on so far; 0 where none runs."""
    with suppress(OSError, ValueError):
        return int(_drawer().noted(waiting.directory, PROGRESS))
    return 0


def _drawer() -> Drawer:
    return drawer_of(FileImport.DIRECTORY)


@contextmanager
def _storage_answers() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise NotAllowedNowError(f"{error}. Nothing was changed: try again later.") from error


def _bring(waiting: FileImport) -> None:
    """The files onto this machine; what is gone is missed by who reads them."""
    with _storage_answers(), suppress(FileNotFoundError):
        for file in waiting.files:
            _drawer().bring(waiting.directory, file)


def _require_room(files: Sequence[Upload]) -> None:
    if len(files) > MOST_FILES:
        raise DataFileError(f"Give one file, or the customer's three; these are {len(files)}.")
    if sum(file.size for file in files) > settings.IMPORT_LIMIT:
        raise DataFileError(
            f"The files hold more than {settings.IMPORT_LIMIT // 1024**2} MiB: divide them, "
            "or use manage.py import_anomalies on the server."
        )
    if FileImport.objects.filter(status=WAITING).count() >= MOST_WAITING:
        raise NotAllowedNowError(
            f"{MOST_WAITING} imports wait to be confirmed: confirm or discard one of them first."
        )


def _safe_name(name: str) -> str:
    """The file's own name, without what could lead elsewhere."""
    return re.sub(r"[^\w .()+,-]", "_", PurePath(name).name).lstrip(". ")[-100:] or "file"


def _keep(files: Sequence[Upload], received: FileImport) -> None:
    for file, path in zip(files, received.paths, strict=True):
        path.parent.mkdir(mode=0o700)
        with path.open("wb") as kept:
            for chunk in file.chunks():
                kept.write(chunk)
                failpoint("import.file")


def _look(received: FileImport) -> None:
    records = read_files(received.paths, most_rows=settings.IMPORT_ROWS)
    status = Anomaly.Status(received.anomaly_status)
    counts = import_records(records=records, user=None, status=status, dry_run=True)
    for name, count in _counts(records, counts).items():
        setattr(received, name, count)
    received.columns = [
        [path.name, [[title, field or ""] for title, field in titles]]
        for path, titles in zip(received.paths, records.titles, strict=True)
    ]
    received.first_rows = _first_rows(records)
    received.problems = [
        [Path(problem.file).name, problem.line, problem.message]
        for problem in islice(records.problems(), FIRST_PROBLEMS)
    ]
    if records.rows_refused:
        _write_refused(received.refused_path, records)


def _counts(records: FileRecords, counts: RecordCounts) -> dict[str, int]:
    return {
        "rows_read": records.rows_read,
        "rows_created": counts.created,
        "rows_updated": counts.updated,
        "rows_unchanged": counts.unchanged,
        "rows_duplicate": records.rows_duplicate,
        "rows_refused": records.rows_refused,
    }


def _first_rows(records: FileRecords) -> list[dict[str, object]]:
    for frame in records.frames():
        if len(frame):
            first = frame.head(FIRST_ROWS)
            texts = first.assign(detected_at=format_times(first["detected_at"]))
            return [
                dict(zip(texts.columns, row, strict=True)) for row in texts.astype(object).to_numpy().tolist()
            ]
    return []


def _write_refused(path: Path, records: FileRecords) -> None:
    """A file to mend and to import again: our columns, and beside them the line and the reason."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        for number, rows in enumerate(records.refused()):
            if not number:
                writer.writerow(rows.columns)
            writer.writerows(rows.astype("str").apply(neutralise).to_numpy().tolist())


def _require_waiting(waiting: FileImport) -> None:
    if not FileImport.objects.filter(pk=waiting.pk, status=WAITING).exists():
        raise NotAllowedNowError(DECIDED)


def _decide(waiting: FileImport, status: FileImport.Status, user: User | None) -> None:
    rows = FileImport.objects.filter(pk=waiting.pk, status=WAITING)
    if rows.update(status=status, decided_at=timezone.now(), decided_by=user) != 1:
        raise NotAllowedNowError(DECIDED)


def _tracked(waiting: FileImport) -> Callable[[Iterator[ScoredReport]], Iterator[ScoredReport]]:
    """Note every thousand rows in the drawer: the database shows nothing before the transaction ends."""
    drawer = _drawer()

    def track(reports: Iterator[ScoredReport]) -> Iterator[ScoredReport]:
        for number, report in enumerate(reports):
            if number % 1_000 == 0:
                _note_progress(drawer, waiting, number)
            yield report

    return track


def _note_progress(drawer: Drawer, waiting: FileImport, number: int) -> None:
    try:
        drawer.note(waiting.directory, PROGRESS, str(number))
    except StorageError as error:  # the import can do without
        logger.warning("The progress of import %d is not shown: %s", waiting.pk, error)


def _without_places(error: DataFileError, received: FileImport) -> DataFileError:
    """What is wrong, with the names that the files had where they came from."""
    return DataFileError(re.sub(re.escape(f"{received.place}/") + r"\d+/", "", str(error)))
