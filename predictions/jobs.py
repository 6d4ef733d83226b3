"""Prediction jobs: a file comes in, its pieces are scored side by side, the result goes out.

Any number of processes on any number of nodes take pieces by compare-and-set, each under a lease. A process
that dies loses its piece to another one when the lease runs out; a piece that was done stays done.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from predictions.job_rows import HEADER, lines_of, pack, score_rows, unpack
from predictions.models import PredictionChunk, PredictionJob
from predictions.predictor import LoadedModel
from predictions.services import serving_model
from predictions.validation import REQUIRED
from training import artifacts, nodes
from training.database import database_now
from training.datafiles import DataFileError
from training.datafiles.tables import Table, read_tables
from training.datafiles.workbooks import is_workbook
from training.errors import (
    IncompatibleVersionError,
    InvalidRecordsError,
    NotAllowedNowError,
    StorageError,
    UnservableVersionError,
)
from training.idempotency import RequestKey, begin_once, columns_of, is_repeat
from training.models import ModelVersion

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)  # of one piece, which takes a second or two
MOST_ATTEMPTS = 3
MOST_ACTIVE = 20  # jobs that wait or run at a time
MOST_WORKBOOK_ROWS = 500_000  # the caller waits while they are read, which takes ten times as long as a CSV
CANDIDATES = 20  # pieces tried at a time: as many processes may ask at once before one asks again
ABANDONED = timedelta(hours=1)  # an upload that nobody goes on with

Status = PredictionJob.Status
Piece = PredictionChunk.Status


def receive_job(
    *, file: TemporaryUploadedFile, user: User | None, request: RequestKey | None = None
) -> PredictionJob:
    """Store the file's rows in pieces, to be scored by the version that serves now.

    A `request` that came before gets its job of then. Raises InvalidRecordsError when it is no such file, or
    holds no row or too many; NotAllowedNowError when too many jobs wait; ModelNotLoadedError; KeyReusedError.
    Nothing is stored then. A wrong row does not stop the others: the result says what is wrong with it.
    """
    return begin_once(
        rows=PredictionJob.objects.all(),
        request=request,
        user=user,
        begin=lambda: _receive(file, user, request),
    )


def _receive(file: TemporaryUploadedFile, user: User | None, request: RequestKey | None) -> PredictionJob:
    if PredictionJob.objects.active().count() >= MOST_ACTIVE:
        raise NotAllowedNowError(f"{MOST_ACTIVE} prediction jobs wait or run: try again when one has ended.")
    job = PredictionJob.objects.create(
        file_name=(file.name or "")[:255],
        model_version_id=serving_model().version_id,
        requested_by=user,
    )
    try:
        rows = _store_pieces(job, Path(file.temporary_file_path()))
    except BaseException as error:
        job.delete()  # with its pieces; of a process that is killed here, `prune_jobs` takes them away
        if isinstance(error, DataFileError):
            said = str(error).replace(file.temporary_file_path(), job.file_name)
            raise InvalidRecordsError([said]) from error
        raise
    return _received(job, rows, request)


def _received(job: PredictionJob, rows: int, request: RequestKey | None) -> PredictionJob:
    """The job waits from now on. Raises NotAllowedNowError when the same request was faster."""
    try:
        with transaction.atomic():
            whole = PredictionJob.objects.filter(pk=job.pk)
            whole.update(status=Status.QUEUED, rows=rows, **columns_of(request))
    except IntegrityError as error:
        if not is_repeat(error):
            raise
        job.delete()
        raise NotAllowedNowError("The same request was sent at the same time: send it again.") from error
    job.refresh_from_db()
    return job


def cancel_job(*, job: PredictionJob, user: User | None) -> None:
    """Nobody takes a piece of it any more. Raises NotAllowedNowError when it has ended already."""
    reason = f"Cancelled by {user.get_username()}." if user else "Cancelled."
    if not _end(job.pk, Status.CANCELLED, reason=reason):
        raise NotAllowedNowError("The prediction job has already ended.")
    job.refresh_from_db()


def result_of(job: PredictionJob) -> Iterator[bytes]:
    """The result as CSV, a piece at a time, in the order of the file. Raises NotAllowedNowError."""
    if not job.has_result:
        raise NotAllowedNowError(_why_no_result(job))
    return _lines(job)


def seconds_left(job: PredictionJob) -> int | None:
    """At the pace so far; None while nothing tells."""
    if job.started_at is None or not job.rows_done or not job.is_active:
        return None
    taken = (database_now() - job.started_at).total_seconds()
    return round(taken / job.rows_done * (job.rows - job.rows_done))


# --- For who scores ----------------------------------------------------------------------------


def somebody_waits() -> bool:
    """Whether there is a piece to take."""
    return _free().exists()


def pieces_waiting() -> int:
    return _free().count()


def score_pieces(*, is_stopped: Callable[[], bool]) -> int:
    """Take one piece after the other until none waits, or somebody asks to stop; how many were done.

    Raises StorageError when the model's files cannot be read now, and IncompatibleVersionError when this
    node's libraries cannot read them and another node's can: the piece waits as if nobody had tried.
    """
    done, model = 0, None
    while not is_stopped() and (chunk := claim()) is not None:
        try:
            model = _pinned(chunk.job.model_version, model)
        except IncompatibleVersionError as error:
            if nodes.somebody_else_has(chunk.job.model_version.libraries):
                give_back(chunk)
                raise
            _end(chunk.job_id, Status.FAILED, reason=str(error))
            continue
        except UnservableVersionError as error:
            _end(chunk.job_id, Status.FAILED, reason=str(error))
            continue
        except StorageError:
            give_back(chunk)
            raise
        result, refused = score_rows(unpack(bytes(chunk.reports)), model)
        done += complete(chunk, result=result, refused=refused)
    return done


def claim() -> PredictionChunk | None:
    """The next piece, which is this process's for the length of a lease; None when none waits."""
    for key, attempts in _free().values_list("pk", "attempts")[:CANDIDATES]:
        taken = PredictionChunk.objects.filter(_waits(), pk=key, attempts=attempts)
        if attempts >= MOST_ATTEMPTS:
            _give_up(key)
        elif taken.update(status=Piece.RUNNING, attempts=attempts + 1, lease_until=database_now() + LEASE):
            chunk = PredictionChunk.objects.select_related("job__model_version").get(pk=key)
            queued = PredictionJob.objects.filter(pk=chunk.job_id, status=Status.QUEUED)
            queued.update(status=Status.RUNNING, started_at=database_now())
            return chunk
    return None


def give_back(chunk: PredictionChunk) -> None:
    """Nothing was tried: the piece waits again, with the attempts that it had."""
    held = PredictionChunk.objects.filter(pk=chunk.pk, status=Piece.RUNNING, attempts=chunk.attempts)
    held.update(status=Piece.QUEUED, attempts=chunk.attempts - 1, lease_until=None)


def complete(chunk: PredictionChunk, *, result: bytes, refused: int) -> bool:
    """Keep the result, unless another process holds the piece by now; the last one closes the job."""
    with transaction.atomic():
        mine = PredictionChunk.objects.filter(pk=chunk.pk, status=Piece.RUNNING, attempts=chunk.attempts)
        if not mine.update(status=Piece.DONE, result=result, reports=b"", lease_until=None):
            logger.warning("Part %s was done by another process", chunk)
            return False
        job = PredictionJob.objects.filter(pk=chunk.job_id)
        job.update(rows_done=F("rows_done") + chunk.rows, rows_refused=F("rows_refused") + refused)
        whole = job.filter(status=Status.RUNNING, rows_done=F("rows"))
        whole.update(status=Status.SUCCEEDED, finished_at=database_now())
    return True


def prune_jobs() -> int:
    """Take away the files of old jobs, and uploads that were abandoned; how many."""
    now = database_now()
    abandoned = PredictionJob.objects.filter(status=Status.RECEIVING, created_at__lt=now - ABANDONED)
    old = PredictionJob.objects.exclude(status__in=[Status.RECEIVING, *PredictionJob.ACTIVE]).filter(
        pruned_at=None, finished_at__lt=now - timedelta(days=settings.KEEP_PREDICTION_JOBS)
    )
    keys = list(old.values_list("pk", flat=True))
    PredictionChunk.objects.filter(job__in=keys).delete()
    return PredictionJob.objects.filter(pk__in=keys).update(pruned_at=now) + abandoned.delete()[0]


# --- Inside ------------------------------------------------------------------------------------


def _store_pieces(job: PredictionJob, path: Path) -> int:
    """Each in a transaction of its own: nobody who writes waits for a long file."""
    rows, most = 0, settings.PREDICTION_JOB_ROWS
    if is_workbook(path):
        most = min(most, MOST_WORKBOOK_ROWS)
    for number, table in enumerate(read_tables(path)):
        _require_columns(table)
        rows += len(table.cells)
        if rows > most:
            raise InvalidRecordsError([_too_many(most)])
        if len(table.cells):
            PredictionChunk.objects.create(job=job, number=number, rows=len(table.cells), reports=pack(table))
    if not rows:
        raise InvalidRecordsError(["The file holds no row"])
    return rows


def _too_many(most: int) -> str:
    if most < settings.PREDICTION_JOB_ROWS:
        return f"A workbook holds at most {most:,} rows: save it as CSV, of which a file holds more"
    return f"A file holds at most {most:,} rows"


def _require_columns(table: Table) -> None:
    if missing := [name for name in REQUIRED if name not in table.cells]:
        raise InvalidRecordsError([f"The file has no column for {', '.join(missing)}"])


def _free() -> "QuerySet[PredictionChunk]":
    """What can be taken: the oldest job first."""
    return PredictionChunk.objects.filter(_waits(), job__status__in=PredictionJob.ACTIVE)


def _waits() -> Q:
    """Nobody holds it, or its holder was too long about it. Of the row alone: what is compared and set."""
    return Q(status=Piece.QUEUED) | Q(status=Piece.RUNNING, lease_until__lt=database_now())


def _give_up(key: int) -> None:
    chunk = PredictionChunk.objects.only("job_id", "number").get(pk=key)
    reason = f"Part {chunk.number + 1} ended the process that scored it {MOST_ATTEMPTS} times."
    logger.error("Prediction job %d: %s", chunk.job_id, reason)
    _end(chunk.job_id, Status.FAILED, reason=reason)


def _end(job_id: int, status: PredictionJob.Status, *, reason: str) -> bool:
    active = PredictionJob.objects.active().filter(pk=job_id)
    return active.update(status=status, reason=reason, finished_at=database_now()) == 1


def _pinned(version: ModelVersion, loaded: LoadedModel | None) -> LoadedModel:
    """The job's version, whatever serves by now. Raises UnservableVersionError."""
    if loaded is not None and loaded.version_id == version.pk:
        return loaded
    return LoadedModel(version_id=version.pk, scorer=artifacts.load_scorer(version))


def _lines(job: PredictionJob) -> Iterator[bytes]:
    yield HEADER
    numbers = job.chunks.order_by("number").values_list("number", flat=True)
    for number in list(numbers):
        result = job.chunks.values_list("result", flat=True).get(number=number)
        yield lines_of(bytes(result or b""))


def _why_no_result(job: PredictionJob) -> str:
    if job.pruned_at is not None:
        return f"The result was removed on {job.pruned_at:%Y-%m-%d}."
    if job.is_active:
        return f"The result is not there yet: {job.progress} % of the rows are scored."
    return f"There is no result: the prediction job is {job.status}. {job.reason}".rstrip()
