"""Sending recorded requests to the product, each to the same state of it; what is wrong with the answers."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.db import transaction
from django.test import Client
from rest_framework.authtoken.models import Token

from tests.factories import UserFactory
from tests.fuzzing.recording import Recorded
from tests.test_openapi import promised

# HTTP's own refusals, which any route may answer, in the form of every error.
ANYWHERE = {404, 405, 406, 413, 415, 429}
SAFE = {"GET", "HEAD", "OPTIONS"}


class Replay:
    """Keeps the files of the state, so that a request that changed some is followed by another start."""

    def __init__(self, *, rows: Mapping[str, Any], media: Path, kept: Path) -> None:
        self.rows, self.media, self.kept = rows, media, kept
        shutil.copytree(media, kept)
        owner = UserFactory.create(username="fuzzer", is_superuser=True)
        token = Token.objects.create(user=owner).key
        self.owner = Client(raise_request_exception=False, headers={"authorization": f"Token {token}"})
        self.stranger = Client(raise_request_exception=False)

    def send(self, recorded: Recorded) -> Any:
        """The answer; nothing of the request stays."""
        client = self.stranger if recorded.stranger else self.owner
        path, _, query = address_of(recorded, self.rows).partition("?")
        headers = {name.lower(): value for name, value in recorded.headers.items()}
        content_type = headers.pop("content-type", "application/json" if recorded.content else "")
        with transaction.atomic():
            response = client.generic(
                recorded.method,
                path,
                recorded.content,
                content_type,
                query_params=None,
                QUERY_STRING=query,
                headers=headers,
            )
            transaction.set_rollback(True)
        if recorded.method not in SAFE and response.status_code < 300:
            shutil.rmtree(self.media)
            shutil.copytree(self.kept, self.media)
        return response


def address_of(recorded: Recorded, rows: Mapping[str, Any]) -> str:
    """Path and query, with a row that is there where the request is to name one."""
    if not recorded.known or "{" not in recorded.template:
        return recorded.url
    query = recorded.url.partition("?")[2]
    kind = recorded.template.removeprefix("/api/v1").split("/")[1 if "/api/v1" in recorded.template else 2]
    path = re.sub(r"{\w+}", str(rows[kind]), recorded.template)
    return f"{path}?{query}" if query else path


def problems(recorded: Recorded, response: Any, document: Mapping[str, Any]) -> Iterator[str]:
    """What the answer breaks of the description."""
    status = response.status_code
    described = document["paths"][recorded.template][recorded.method.lower()]["responses"]
    if status >= 500:
        yield f"answers {status}"
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    if kind not in described.get(str(status), {}).get("content", {"application/json": {}}):
        yield f"answers {kind!r}"
    if kind != "application/json":
        return
    body = response.json()
    if str(status) not in described:
        if status not in ANYWHERE:
            yield f"answers {status}, which is not described"
        if not {"error"} <= body.keys() or not body.keys() & {"success", "message"}:
            yield f"answers {status} in another form: {str(body)[:200]}"
        return
    validator = promised(dict(document), recorded.method.lower(), recorded.template, status)
    for error in validator.iter_errors(body):
        yield f"answers {status} with {error.json_path}: {error.message[:200]}"
        return
