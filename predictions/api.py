"""The older service's routes, with its paths, fields and types: its clients keep working unchanged."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.db import Error as AnyDatabaseError
from rest_framework.exceptions import ParseError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from predictions import metrics, predictor, responses
from predictions.explanations import Reasons, explain_reports
from predictions.model_report import info_of, metrics_of
from predictions.predictor import LoadedModel
from predictions.renderers import FastJSONRenderer
from predictions.services import explain, predict, serving_model
from predictions.validation import Report, characters_of, validate_many, validate_one
from training import troubles
from training.api.guide import body_of
from training.api.permissions import MayRead, requires
from training.api.throttles import charge
from training.findings import Code, Trouble
from training.models import ModelVersion

ReasonsOf = Callable[..., list[Reasons]]
REASONS_COST = 60  # suggestions that take as long as one with its reasons: 100 of these as 6,000 of those
# Similar anomalies are the plant's data, not the caller's.
MayViewAnomalies = requires("training.view_anomaly", open_in_development=True)


class OlderView(APIView):
    """A route of the older service: its form of errors, and open to who may read."""

    error_form = "older"
    permission_classes = [MayRead]


class PredictView(OlderView):
    """Score one anomaly, or a list of them, with reasons if asked for. Nothing is stored."""

    throttle_scope = "predict"
    renderer_classes = [FastJSONRenderer]

    def post(self, request: Request) -> Response:
        begin = time.perf_counter()
        body, reasons_of = body_of(request), self._reasons_for(request)
        reports = validate_many(body) if isinstance(body, list) else [validate_one(body)]
        _charge(request, reports, with_reasons=reasons_of is not None)
        kind, predict_all = ("list", _predict_many) if isinstance(body, list) else ("one", _predict_one)
        answer = predict_all(reports, begin, reasons_of)
        metrics.predicted(kind=kind, reports=len(reports), seconds=time.perf_counter() - begin)
        return Response(answer)

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

    permission_classes = [AllowAny]
    throttle_classes = []

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
    (report,), model = reports, serving_model()
    (reasons,) = reasons_of(reports=[report], model=model) if reasons_of else (None,)
    (scores,) = predict(reports=[report], model=model)
    return responses.single(
        report=report,
        scores=scores,
        reasons=reasons,
        version_id=model.version_id,
        seconds=time.perf_counter() - begin,
    )


def _predict_many(reports: list[Report], begin: float, reasons_of: ReasonsOf | None) -> dict[str, Any]:
    model = serving_model()
    reasons = reasons_of(reports=reports, model=model) if reasons_of else None
    scores = predict(reports=reports, model=model)
    return responses.batch(
        reports=reports,
        scores=scores,
        reasons=reasons,
        version_id=model.version_id,
        seconds=time.perf_counter() - begin,
    )


def _health() -> dict[str, Any]:
    try:
        state, problems = predictor.current(), troubles.current()
    except AnyDatabaseError:
        state, problems = predictor.last_known(), [Trouble(code=Code.DATABASE_SILENT)]
        message = "The database does not answer."
        return _status(loaded=state.loaded, serves=False, message=message, problems=problems)
    if state.failure is not None:
        facts = {"reason": state.failure.reason}
        problems = [Trouble(code=Code.VERSION_NOT_LOADED, facts=facts), *problems]
    serves = state.loaded is not None and state.failure is None
    message = " ".join(filter(None, (explain(state), _cache_problem())))
    return _status(loaded=state.loaded, serves=serves, message=message, problems=problems)


def _cache_problem() -> str:
    """Why throttles are not shared although they should be; predictions do not need them."""
    if settings.CACHES["default"]["BACKEND"] != "anomalyproject.shared_cache.SharedCache":
        return ""
    from anomalyproject import shared_cache  # noqa: PLC0415  # redis loads for who uses it

    return shared_cache.problem()


def _is_known(request: Request) -> bool:
    try:
        return request.user.is_authenticated
    except AnyDatabaseError:
        return False


def _in_short(health: dict[str, Any]) -> dict[str, Any]:
    message = "A model serves." if health["models_loaded"] else "No model serves."
    return {"status": health["status"], "models_loaded": health["models_loaded"], "message": message}


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
