"""The older service's routes, with its paths, fields and types: its clients keep working unchanged."""

import os
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import ParseError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from predictions import metrics, predictor, responses
from predictions.explanations import Reasons, explain_reports
from predictions.model_report import info_of, metrics_of
from predictions.predictor import Failure, LoadedModel, State
from predictions.probes import migrations_are_applied
from predictions.renderers import FastJSONRenderer
from predictions.services import explain, last_known_model, predict, serving_model
from predictions.validation import Report, characters_of, validate_many, validate_one
from training import nodes, outages, troubles
from training.api.authentication import LastKnownSessionAuthentication, LastKnownTokenAuthentication
from training.api.guide import body_of
from training.api.permissions import MayRead, requires
from training.api.throttles import charge
from training.findings import Code, Trouble
from training.models import ModelVersion
from training.outages import DatabaseUnavailableError

ReasonsOf = Callable[..., list[Reasons]]
LAST_KNOWN = {"X-Model-State": "last-known", "Warning": '110 - "The model is the last one known"'}
NOT_MIGRATED = "The database is not prepared for this release: python manage.py migrate."
# What everybody may know to be away: no more than that.
AWAY = {
    Code.DATABASE_SILENT.value: "The database does not answer.",
    Code.DATABASE_READ_ONLY.value: "The database cannot be written.",
    Code.DATABASE_LOCKED.value: "The database cannot be written.",
    Code.STORAGE_UNREACHABLE.value: "The storage cannot be reached.",
    Code.STORAGE_READ_ONLY.value: "The storage cannot be written.",
    Code.CACHE_UNREACHABLE.value: "The cache cannot be reached.",
}
REASONS_COST = 60  # suggestions that take as long as one with its reasons: 100 of these as 6,000 of those
# Similar anomalies are the plant's data, not the caller's.
MayViewAnomalies = requires("training.view_anomaly", open_in_development=True)


class OlderView(APIView):
    """A route of the older service: its form of errors, and open to who may read."""

    error_form = "older"
    permission_classes = [MayRead]


class PredictView(OlderView):
    """Score one anomaly, or a list of them, with reasons if asked for. Nothing is stored.

    While the database does not answer, callers whom it confirmed a short while ago are answered by the model
    that was active then; the answer says so.
    """

    answers_without_database = True
    authentication_classes = [LastKnownTokenAuthentication, LastKnownSessionAuthentication]
    throttle_scope = "predict"
    renderer_classes = [FastJSONRenderer]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with outages.answering_within(predictor.PATIENCE):
            return super().dispatch(request, *args, **kwargs)

    def post(self, request: Request) -> Response:
        begin = time.perf_counter()
        body, reasons_of = body_of(request), self._reasons_for(request)
        reports = validate_many(body) if isinstance(body, list) else [validate_one(body)]
        _charge(request, reports, with_reasons=reasons_of is not None)
        kind, predict_all = ("list", _predict_many) if isinstance(body, list) else ("one", _predict_one)
        answer = predict_all(reports, begin, reasons_of)
        metrics.predicted(kind=kind, reports=len(reports), seconds=time.perf_counter() - begin)
        return Response(answer, headers=LAST_KNOWN if "model_state" in answer else None)

    def _reasons_for(self, request: Request) -> ReasonsOf | None:
        """How reasons are given to this caller; None when they were not asked for."""
        asked = request.query_params.get("explain", "false")
        if asked not in {"true", "false"}:
            raise ParseError(f"explain must be true or false, got {asked[:100]!r}")
        if asked == "false":
            return None
        return partial(explain_reports, with_similar=MayViewAnomalies().has_permission(request, self))


class HealthView(OlderView):
    """Whether a model serves and what is wrong; it answers 200 whatever that is, also without a database.

    Never closed and never throttled: whoever watches over the processes asks it. Who may not read learns
    no more than that.
    """

    answers_without_database = True
    authentication_classes = [LastKnownTokenAuthentication, LastKnownSessionAuthentication]
    permission_classes = [AllowAny]
    throttle_classes = []

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with outages.answering_within(predictor.PATIENCE):
            return super().dispatch(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Not before it is needed: it asks the database."""

    def get(self, request: Request) -> Response:
        may_read = _is_known(request) or settings.ANONYMOUS_READ
        health = _health() if may_read else _in_short(_health())
        return Response({**health, "app_name": settings.APP_NAME, "version": settings.VERSION})


class ModelsInfoView(OlderView):
    """What the models are and how to ask them."""

    def get(self, request: Request) -> Response:
        return Response(info_of(predictor.current()))


class ModelsMetricsView(OlderView):
    """How good the serving version is on reports it had not seen, and what it learned from."""

    def get(self, request: Request) -> Response:
        version = ModelVersion.objects.get(pk=serving_model().version_id)
        return Response(metrics_of(version))


def _charge(request: Request, reports: list[Report], *, with_reasons: bool) -> None:
    """Count the records and their characters beside the call. Raises Throttled."""
    each = REASONS_COST if with_reasons else 1
    charge(request, predict_records=each * len(reports), predict_characters=each * characters_of(reports))


def _predict_one(reports: list[Report], begin: float, reasons_of: ReasonsOf | None) -> dict[str, Any]:
    (report,), (model, is_last_known) = reports, _answering_model()
    (reasons,) = _reasons(reasons_of, reports, model, is_last_known) or (None,)
    (scores,) = predict(reports=[report], model=model)
    answer = responses.single(
        report=report,
        scores=scores,
        reasons=reasons,
        version_id=model.version_id,
        seconds=time.perf_counter() - begin,
    )
    return answer | ({"model_state": "last_known"} if is_last_known else {})


def _predict_many(reports: list[Report], begin: float, reasons_of: ReasonsOf | None) -> dict[str, Any]:
    model, is_last_known = _answering_model()
    reasons = _reasons(reasons_of, reports, model, is_last_known)
    scores = predict(reports=reports, model=model)
    answer = responses.batch(
        reports=reports,
        scores=scores,
        reasons=reasons,
        version_id=model.version_id,
        seconds=time.perf_counter() - begin,
    )
    return answer | ({"model_state": "last_known"} if is_last_known else {})


def _answering_model() -> tuple[LoadedModel, bool]:
    """The model that answers now; and whether it is the last known one, for want of the database."""
    try:
        outages.require_database()
        return serving_model(), False
    except (AnyDatabaseError, DatabaseUnavailableError) as error:
        if outages.report(error) is None:
            raise
        return last_known_model(), True


def _reasons(
    reasons_of: ReasonsOf | None, reports: list[Report], model: LoadedModel, is_last_known: bool
) -> list[Reasons] | None:
    """Without similar anomalies while the database, which has them, does not answer."""
    if reasons_of is None:
        return None
    return reasons_of(reports=reports, model=model, **({"with_similar": False} if is_last_known else {}))


def _health() -> dict[str, Any]:
    if migrations_are_applied() is False:
        return _status(loaded=None, serves=False, message=NOT_MIGRATED, problems=[])
    state, problems = predictor.current_or_last_known(), _problems()
    if state.failure is not None:
        own = _not_loaded(state.failure)
        problems = [own, *(problem for problem in problems if problem.key != own.key)]
    serves = state.loaded is not None and state.failure is None and not state.is_last_known
    if any(problem.code == Code.DATABASE_SILENT for problem in problems):
        serves, message = False, _explain_outage(state)
    else:
        message = explain(state)
    message = " ".join(filter(None, (message, _cache_problem(), _static_problem())))
    marked = {"model_state": "last_known"} if state.is_last_known and state.loaded else {}
    return _status(loaded=state.loaded, serves=serves, message=message, problems=problems) | marked


def _problems() -> list[Trouble]:
    """What is wrong, as far as the database says; without it, what this process sees by itself."""
    try:
        outages.require_database()
        return troubles.current()
    except (AnyDatabaseError, DatabaseUnavailableError) as error:
        if outages.report(error) is None:
            raise
        return [Trouble(code=Code.DATABASE_SILENT), *troubles.live()]


def _explain_outage(state: State) -> str:
    silent = "The database does not answer."
    if state.loaded is None:
        return silent
    return f"{silent} Version {state.loaded.version_id} goes on serving as the last one known."


@cache
def _static_problem() -> str:
    """Why the admin's pages fail: what they name has not been collected. Predictions do not need it."""
    storage: Any = staticfiles_storage
    if not isinstance(storage, ManifestFilesMixin) or storage.hashed_files:
        return ""
    return "The admin's pages cannot be shown: python manage.py collectstatic, then restart."


def _not_loaded(failure: Failure) -> Trouble:
    """Damaged files are the version's trouble; other libraries are this node's."""
    if failure.is_incompatible:
        facts = {"node": f"{nodes.host()}:{os.getpid()}", "reason": failure.reason}
        return Trouble(code=Code.NODE_INCOMPATIBLE, subject=facts["node"], facts=facts)
    return Trouble(code=Code.VERSION_NOT_LOADED, facts={"reason": failure.reason})


def _cache_problem() -> str:
    """Why throttles are not shared although they should be; predictions do not need them."""
    if settings.CACHES["default"]["BACKEND"] != "anomalyproject.shared_cache.SharedCache":
        return ""
    from anomalyproject import shared_cache  # noqa: PLC0415  # redis loads for who uses it

    return shared_cache.problem()


def _is_known(request: Request) -> bool:
    try:
        return request.user.is_authenticated
    except (AnyDatabaseError, DatabaseUnavailableError):
        return False


def _in_short(health: dict[str, Any]) -> dict[str, Any]:
    """Whether a model serves, and which of the services around it are away; no reasons, no names."""
    away = [problem for problem in health["problems"] if problem["code"] in AWAY]
    message = "A model serves." if health["models_loaded"] else "No model serves."
    short = {
        "status": health["status"],
        "models_loaded": health["models_loaded"],
        "message": " ".join([message, *dict.fromkeys(AWAY[problem["code"]] for problem in away)]),
    }
    if away:
        short["problems"] = [{name: problem[name] for name in ("code", "severity")} for problem in away]
    return short


def _status(
    *, loaded: LoadedModel | None, serves: bool, message: str, problems: list[Trouble]
) -> dict[str, Any]:
    """The older clients predict while `status` is healthy: it tells of that alone, `problems` of the rest."""
    return {
        "status": "healthy" if serves else "degraded",
        "models_loaded": loaded is not None,
        "message": message,
        "model_version": loaded and loaded.version_id,
        "problems": [problem.as_json() for problem in problems],
    }
