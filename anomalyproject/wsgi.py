"""The web application that gunicorn serves."""

import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "anomalyproject.settings")


class Request(WSGIRequest):
    """A request whose query and form are UTF-8, whatever charset the Content-Type names.

    Django decodes the query by it while it makes the request: `rot13`, or a long query, then fails where
    nothing answers it. Bodies in another charset are refused: see training.api.bodies.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class Handler(WSGIHandler):
    request_class = Request


django.setup(set_prefix=False)
application = Handler()
