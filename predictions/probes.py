"""Liveness and readiness: whether to restart this process, and whether to send it requests."""

from typing import Any

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponseBase
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from predictions import predictor
from predictions.predictor import State
from training import outages
from training.outages import DatabaseUnavailableError


class Probe(APIView):
    """Open to everybody, never throttled, and says nothing about the installation."""

    answers_without_database = True
    error_form = "older"
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with outages.answering_within(predictor.PATIENCE):
            return super().dispatch(request, *args, **kwargs)


class LiveView(Probe):
    """The process answers. It asks neither database nor disk: a restart would not mend those."""

    def get(self, request: Request) -> Response:
        return Response({"status": "alive"})


class ReadyView(Probe):
    """A model can answer predictions: requests may come.

    Without the database the last known model can; a disk that is full or read-only hinders no prediction.
    """

    def get(self, request: Request) -> Response:
        if migrations_are_applied() is False:
            return _not_ready("migrations")
        state = predictor.current_or_last_known()
        if state.loaded is None:
            return _not_ready(_reason(state))
        marked = {"model_state": "last_known"} if state.is_last_known else {}
        return Response({"status": "ready", "reasons": [], **marked})


class Migrations:
    """What this process knows: migrations that were applied stay applied."""

    are_applied = False


def _not_ready(reason: str) -> Response:
    answer = {"status": "not ready", "reasons": [reason]}
    headers = {"Retry-After": str(outages.RETRY_AFTER)}
    return Response(answer, status=status.HTTP_503_SERVICE_UNAVAILABLE, headers=headers)


def _reason(state: State) -> str:
    """Say why there is no model: it is not known, being loaded, could not be, or none is active."""
    if state.is_last_known:
        return "database"
    if state.is_loading:
        return "loading"
    return "model" if state.failure is not None else "no model"


def migrations_are_applied() -> bool | None:
    """Whether the database has all that this release's migrations make; None when it does not say."""
    if Migrations.are_applied:
        return True
    try:
        outages.require_database()
        executor = MigrationExecutor(connection)
        Migrations.are_applied = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (Error, DatabaseUnavailableError) as error:
        if outages.report(error) is None:
            raise
        return None
    return Migrations.are_applied
