"""The product under gunicorn, with production settings: what no client of Django's can send, and at once."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as product
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from tests.factories import ApprovedFactory
from tests.fuzzing.wire import RAW, Wire
from tests.queue_processes import database_url
from tests.serving import PRODUCTION, Server, served
from tests.training.api.test_guide import RECORD
from training.models import TrainingSession
from training.sessions import cancel_session

pytestmark = pytest.mark.django_db(transaction=True)

CORPUS = Path(__file__).parent / "corpus" / "wire"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "INVENTED")
PATHS = (
    "/",
    "/livez",
    "/train",
    "/api/v1/docs/",
    "/api/v1/anomalies/",
    "/admin/login/",
    "/admin",
    "/static/x",
)


@pytest.fixture
def token(transactional_db: None) -> str:
    ApprovedFactory.create()
    owner = User.objects.create_superuser("owner", password="o" * 20)
    return str(Token.objects.create(user=owner).key)


@pytest.fixture
def server(token: str, media_root: Path, tmp_path: Path) -> Iterator[Server]:
    environment = {**PRODUCTION, "DATABASE_URL": database_url(), "MEDIA_ROOT": str(media_root)}
    if not (product.STATIC_ROOT / "staticfiles.json").exists():
        command = [sys.executable, str(product.BASE_DIR / "manage.py"), "collectstatic", "--noinput", "-v0"]
        subprocess.run(command, env={**environment}, check=True)
    with served(environment | {"TRAINING_CLAIM_WAIT": "1"}, log=tmp_path / "gunicorn.log") as server:
        yield server


def test_no_bytes_make_it_fail(server: Server) -> None:
    for method in METHODS:
        for path in PATHS:
            answer = server.send(method, path)
            assert 200 <= answer.status < 500, (method, path, answer)
            assert method != "HEAD" or answer.body == b"", path
            assert method not in {"TRACE", "INVENTED"} or answer.status == 405, (method, path, answer)
    for content in RAW:
        answer = server.send_raw(content, seconds=3)
        assert answer.status < 500, (content[:60], answer)
    for file in CORPUS.glob("*.jsonl"):
        wire = Wire.from_json(file.read_text(encoding="utf-8"))
        assert server.send_raw(wire.content, method=wire.method, seconds=wire.patience).status < 500, (
            wire.label
        )
    for target in ("/admin", "/admin?next=/x", "/admin/training/anomaly?q=%C3%A9"):
        path, mark, query = target.partition("?")
        answer = server.send("GET", target)
        assert (answer.status, answer.headers["Location"]) == (301, f"{path}/{mark}{query}")
    log = server.log.read_text(encoding="utf-8")
    assert "Internal Server Error" not in log
    assert "Error handling request" not in log


def test_ten_at_once_get_the_answer_of_the_one(server: Server, token: str) -> None:
    """Two worker processes, ten connections, one key; and of one with other content all but that."""
    headers = {"Authorization": f"Token {token}", "Idempotency-Key": "monday"}
    train = json.dumps([RECORD]).encode()

    def send(_number: int) -> tuple[int, Any]:
        answer = server.send("POST", "/api/v1/training-sessions/", headers=headers)
        return answer.status, answer.body

    def send_batch(_number: int) -> tuple[int, Any]:
        given = headers | {"Idempotency-Key": "tuesday", "Content-Type": "application/json"}
        answer = server.send("POST", "/train", headers=given, body=train)
        return answer.status, answer.body

    with ThreadPoolExecutor(10) as pool:
        [(status, body)] = set(pool.map(send, range(10)))
        session = TrainingSession.objects.get()
        assert (status, json.loads(body)["id"]) == (202, session.pk)
        cancel_session(session=session)
        [(status, body)] = set(pool.map(send_batch, range(10)))
    session = TrainingSession.objects.get(request_key="tuesday")
    assert (status, json.loads(body)) == (503, {"success": False, "error": session.reason})
