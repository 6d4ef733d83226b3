"""What a report of a bug may show: Django's page with DEBUG, and whatever else is built from its reporter."""

import re
from collections.abc import ItemsView
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class Discreet(SafeExceptionReporterFilter):
    """Nothing that was sent, in development as in a plant, and no value whose name speaks of a secret."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern
        + "|DATABASE_URL|DSN|CREDENTIAL|COOKIE|SESSION|WEBHOOK",
        flags=re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        sent = request.POST if request is not None else {}
        return dict.fromkeys(sent, self.cleansed_substitute)

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: Any
    ) -> ItemsView[str, Any]:
        """By name only: the text of a value would tell what it holds."""
        return dict.fromkeys(tb_frame.f_locals, self.cleansed_substitute).items()
