"""Liveness and readiness: whether to restart this process, and whether to send it requests."""

import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from predictions import predictor


class Probe(APIView):
    """Open to everybody, never throttled, and says nothing about the installation."""

    error_form = "older"
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []


class LiveView(Probe):
    """The process answers. It asks neither database nor disk: a restart would not mend those."""

    def get(self, request: Request) -> Response:
        return Response({"status": "alive"})


class ReadyView(Probe):
    """Database, migrations, model and storage are there: requests may come."""

    def get(self, request: Request) -> Response:
        reasons = missing()
        if reasons:
            answer = {"status": "not ready", "reasons": reasons}
            return Response(answer, status=status.HTTP_503_SERVICE_UNAVAILABLE)
        return Response({"status": "ready", "reasons": []})


class Migrations:
    """What this process knows: migrations that were applied stay applied."""

    are_applied = False


def missing() -> list[str]:
    """What keeps this process from serving, a word each."""
    reasons = []
    try:
        if not migrations_are_applied():
            return ["migrations"]
        state = predictor.current()
        if state.loaded is None and state.failure is not None:
            reasons.append("model")
    except DatabaseError:
        reasons.append("database")
    return reasons if storage_works() else [*reasons, "storage"]


def migrations_are_applied() -> bool:
    if not Migrations.are_applied:
        executor = MigrationExecutor(connection)
        Migrations.are_applied = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return Migrations.are_applied


def storage_works() -> bool:
    """A file can be written under MEDIA_ROOT, and read."""
    try:
        with tempfile.TemporaryFile(dir=Path(settings.MEDIA_ROOT)) as file:
            file.write(b"ready")
            file.seek(0)
            return file.read() == b"ready"
    except OSError:
        return False
