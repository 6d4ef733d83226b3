"""The guide's contract: its five routes, with its paths, fields and types."""

import re
import threading
import time
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import Error
from django.http import Http404
from django.urls import reverse
from rest_framework import serializers, status
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from training import outages
from training.api.parsers import refuse_body
from training.api.permissions import MayRead, requires
from training.api.request_keys import request_key_of
from training.api.throttles import charge_stored
from training.errors import NoWorkerError, UnservableVersionError
from training.ml.records import TARGETS
from training.models import Backup, TrainingSession
from training.outages import DatabaseUnavailableError
from training.restoring import restore_backup
from training.sessions import accept_batch, expire_unclaimed, recover_sessions, wait_for_claim, wait_for_end
from training.validation import validate_batch
from training.versions import reload_newest

Status = TrainingSession.Status
_places = threading.Semaphore(settings.TRAINING_WAITERS)
OUTCOMES = {
    Status.SUCCEEDED: status.HTTP_200_OK,
    Status.FAILED: status.HTTP_500_INTERNAL_SERVER_ERROR,
    Status.CANCELLED: status.HTTP_409_CONFLICT,
}


class TrainView(APIView):
    """Store a batch of scored records, train on everything approved, and answer with the result."""

    permission_classes = [requires("training.train_models", open_in_development=True)]

    def post(self, request: Request) -> Response:
        begin = time.monotonic()
        reports = validate_batch(body_of(request))
        charge_stored(request, [report.description for report in reports])
        key = request_key_of(request, lambda: request.data)
        session = accept_batch(reports=reports, user=user_of(request), request=key)
        patience, applied = preference_of(request)
        response = _outcome_within(session, begin, patience) or accepted(request, session)
        if applied:
            response["Preference-Applied"] = applied
        return response


class StatusQuery(serializers.Serializer[Any]):
    session = serializers.IntegerField(required=False, min_value=1)


class StatusView(APIView):
    """What goes on, and the last training; `?session=` adds one session and, once it ended, its result."""

    permission_classes = [MayRead]

    def get(self, request: Request) -> Response:
        query = StatusQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        recover_sessions()
        body = status_of_training()
        if "session" in query.validated_data:
            body["session"] = followed(query.validated_data["session"])
        return Response(body)


class ReloadView(APIView):
    """Let the newest model version serve, in every web process."""

    takes_records = False
    permission_classes = [requires("training.activate_modelversion", open_in_development=True)]

    def post(self, request: Request) -> Response:
        refuse_body(request)
        try:
            reload_newest(user=user_of(request))
        except UnservableVersionError as error:
            failure = {"success": False, "message": "Failed to reload models", "models_loaded": False}
            return Response(failure | {"error": str(error)}, status=status.HTTP_500_INTERNAL_SERVER_ERROR)
        return Response({"success": True, "message": "Models reloaded successfully", "models_loaded": True})


class BackupsView(APIView):
    """The backups that can be restored, newest first."""

    permission_classes = [MayRead]

    def get(self, request: Request) -> Response:
        backups = [
            {"name": backup.name, "created": f"{backup.created_at:%Y-%m-%d %H:%M:%S}", "path": backup.path}
            for backup in Backup.objects.restorable()
        ]
        return Response({"backups": backups, "count": len(backups)})


class RestoreView(APIView):
    """Bring back the models and the training set of a backup, after a backup of the present."""

    takes_records = False
    permission_classes = [requires("training.restore_backup", open_in_development=True)]

    def post(self, request: Request, backup_name: str) -> Response:
        refuse_body(request)
        backup = Backup.objects.available().filter(name=backup_name).first()
        if backup is None:
            raise Http404(f"There is no backup named {backup_name}.")
        result = restore_backup(backup=backup, user=user_of(request))
        return Response(
            {
                "success": True,
                "message": f"Successfully restored from backup {backup_name}",
                "models_reloaded": result.version is not None,  # a backup may be older than the first model
            }
        )


def _outcome_within(session: TrainingSession, begin: float, patience: float) -> Response | None:
    """The outcome of a session that was accepted at `begin`; None while it goes on, or nobody can tell.

    Whatever happens to the database now, the session is stored: nobody is told that it failed for that.
    Raises NoWorkerError. Where as many wait as may, nobody else does: predictions need threads too.
    """
    if not _places.acquire(blocking=False):
        return None
    try:
        if wait_for_claim(session, settings.TRAINING_CLAIM_WAIT) is False:
            expire_unclaimed(session)
        ended = wait_for_end(session, patience - (time.monotonic() - begin))
        return outcome(session) if ended else None
    except (Error, DatabaseUnavailableError) as error:
        if outages.report(error) is None:
            raise
        return None
    finally:
        _places.release()


# --- What comes in -----------------------------------------------------------------------------


def body_of(request: Request) -> object:
    """The decoded body. Raises ParseError when there is none."""
    if request.stream is None:
        raise ParseError("The request body is empty: send a JSON list of records, with its Content-Length.")
    return request.data


def user_of(request: Request) -> User | None:
    return request.user if request.user.is_authenticated else None


def preference_of(request: Request) -> tuple[int, str]:
    """Seconds to wait for the end, and the preferences of the Prefer header that say so (RFC 7240)."""
    preferences: dict[str, str] = {}
    for part in request.headers.get("Prefer", "").split(","):
        name, _, value = part.partition(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    applied = ["respond-async"] if "respond-async" in preferences else []
    seconds = 0 if applied else settings.TRAINING_WAIT
    if re.fullmatch("[0-9]{1,9}", wait := preferences.get("wait", "")):
        applied.append(f"wait={wait}")
        seconds = min(int(wait), settings.TRAINING_WAIT)
    return seconds, ", ".join(applied)


# --- What goes out -----------------------------------------------------------------------------


def outcome(session: TrainingSession) -> Response:
    """The answer to POST /train once the session ended. Raises NoWorkerError when no worker took it."""
    if session.cause == TrainingSession.Cause.NO_WORKER:
        raise NoWorkerError(session.reason)
    if session.cause == TrainingSession.Cause.DISK:
        headers = {"Retry-After": str(outages.RETRY_AFTER)}
        return Response(result_of(session), status=status.HTTP_503_SERVICE_UNAVAILABLE, headers=headers)
    return Response(result_of(session), status=OUTCOMES[Status(session.status)])


def result_of(session: TrainingSession) -> dict[str, Any]:
    numbers = {"training_session_id": session.pk, "is_training": False}
    if session.status != Status.SUCCEEDED:
        kept = " The records are kept." if session.cause == TrainingSession.Cause.DISK else ""
        return {"success": False, "error": f"{session.reason}{kept}", **numbers}
    return {
        "success": True,
        "message": "Incremental training completed successfully",
        "statistics": statistics_of(session),
        **numbers,
    }


def statistics_of(session: TrainingSession) -> dict[str, Any]:
    return {
        "total_records_added": session.records_created,
        "records_updated": session.records_updated,
        "records_unchanged": session.records_unchanged,
        "records_per_model": dict.fromkeys(TARGETS, session.records_created),
        "training_time_seconds": round(session.seconds, 2),
        "models_retrained": dict.fromkeys(TARGETS, True),
        "backup_location": path_of_backup(session),
    }


def accepted(request: Request, session: TrainingSession) -> Response:
    """The answer to POST /train while the session goes on: where to ask for its result."""
    url = request.build_absolute_uri(f"{reverse('train-status')}?session={session.pk}")
    body = {
        "success": True,
        "message": f"Training session {session.pk} is in progress. Ask {url} for its result.",
        "training_session_id": session.pk,
        "is_training": True,
        "status_url": url,
    }
    return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": url, "Retry-After": "1"})


def status_of_training() -> dict[str, Any]:
    active = TrainingSession.objects.active().first()
    ended = TrainingSession.objects.ended().exclude(status=Status.SKIPPED)
    last = ended.select_related("backup").first()
    return {
        "is_training": active is not None,
        "training_sessions_completed": TrainingSession.objects.succeeded().count(),
        "available_backups": Backup.objects.restorable().count(),
        "last_training": last and last_training(last),
        **(progress_of(active) if active else {}),
    }


def last_training(session: TrainingSession) -> dict[str, Any]:
    moment = session.finished_at or session.queued_at
    succeeded = session.status == Status.SUCCEEDED
    return {
        "timestamp": moment.replace(tzinfo=None).isoformat(timespec="microseconds"),
        "records_added": session.records_created,
        "training_time": round(session.seconds, 2),
        "models_retrained": len(TARGETS) if succeeded else 0,
        "backup_path": path_of_backup(session),
        "success": succeeded,
    }


def progress_of(session: TrainingSession) -> dict[str, Any]:
    return {"training_session_id": session.pk, "step": session.step, "progress": session.progress}


def followed(session_id: int) -> dict[str, Any]:
    """One session, as who was answered 202 asks for it; `result` is what waiting would have answered."""
    session = TrainingSession.objects.select_related("backup").filter(pk=session_id).first()
    if session is None:
        raise Http404(f"There is no training session {session_id}.")
    result = None if session.is_active else result_of(session)
    return {**progress_of(session), "status": session.status, "result": result}


def path_of_backup(session: TrainingSession) -> str | None:
    return session.backup.path if session.backup else None
