"""`GET /metrics`, for Prometheus."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from predictions import metrics
from training import outages
from training.api.addresses import is_within
from training.api.permissions import PROXY_HEADERS

PATIENCE = 5.0  # seconds that the database has for each count


class MayScrape(BasePermission):
    """Whoever may see findings, and everybody in METRICS_ALLOWED_NETWORKS who comes through no proxy."""

    message = "This needs the permission training.view_finding, or a network of METRICS_ALLOWED_NETWORKS."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return is_near(request.META) or request.user.has_perm("training.view_finding")


def is_near(meta: Mapping[str, Any]) -> bool:
    """Behind a proxy everybody has the proxy's address: then nobody is near."""
    if any(name.startswith(PROXY_HEADERS) for name in meta):
        return False
    return is_within(meta.get("REMOTE_ADDR", ""), settings.METRICS_ALLOWED_NETWORKS)


class TextRenderer(BaseRenderer):
    media_type = "text/plain"
    format = "txt"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return data if isinstance(data, bytes) else str(data).encode()


class MetricsView(APIView):
    """Counters of the web processes and the states of the database, in Prometheus' text format."""

    answers_without_database = True
    permission_classes = [MayScrape]
    renderer_classes = [TextRenderer, JSONRenderer]
    throttle_classes: list[Any] = []

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with outages.answering_within(PATIENCE):
            return super().dispatch(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Not before it is needed: it asks the database."""

    def get(self, request: Request) -> Response:
        return Response(generate_latest(metrics.registry()), content_type=CONTENT_TYPE_PLAIN_0_0_4)
