"""Bodies in chunks are read, encoded ones refused, and one where none is expected is refused too."""

import json
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from django.test import Client, RequestFactory
from django.urls import reverse
from gunicorn.http.errors import InvalidHeader
from pytest_django import Settings
from rest_framework.authtoken.models import Token

from anomalyproject.wsgi import application
from tests.factories import AnomalyFactory, BackupFactory, SessionFactory, VersionFactory, user_with
from tests.web_server import web_server
from training.api.parsers import MAX_VALUES
from training.models import Anomaly

pytestmark = pytest.mark.django_db
REPORT = b'{"anomaly_id": "A-1", "description": "fuite", "equipment_id": "p"}'


@pytest.fixture
def client() -> Client:
    user = user_with("training.add_anomaly", "training.view_anomaly")
    return Client(headers={"authorization": f"Token {Token.objects.create(user=user).key}"})


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


def report(client: Client, **how: Any) -> Any:
    return client.post("/api/v1/anomalies/", REPORT, content_type="application/json", **how)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "x-gzip, identity", "é"])
def test_an_encoded_body_is_refused(client: Client, encoding: str) -> None:
    response = report(client, HTTP_CONTENT_ENCODING=encoding)
    sentence = f"Content-Encoding {encoding!r} is not supported: send the body as it is."
    assert refusal(response) == (415, sentence)
    assert response["Accept-Encoding"] == "identity"
    assert Anomaly.objects.count() == 0


@pytest.mark.parametrize("codings", ["gzip, chunked", "deflate,chunked", "Chunked, gzip"])
def test_a_body_that_was_encoded_on_the_way_is_refused(client: Client, codings: str) -> None:
    response = report(client, HTTP_TRANSFER_ENCODING=codings)
    assert refusal(response) == (
        415,
        f"Transfer-Encoding {codings!r} is not supported: send the body as it is.",
    )
    assert report(client, HTTP_TRANSFER_ENCODING="Chunked").status_code == 201


def test_the_older_routes_refuse_it_in_their_form() -> None:
    response = Client().post("/predict", b"{}", content_type="application/json", HTTP_CONTENT_ENCODING="gzip")
    assert (response.status_code, response.json()["error"]) == (415, "Unsupported Media Type")


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_a_body_that_says_it_is_not_encoded_is_read(client: Client, encoding: str) -> None:
    assert report(client, HTTP_CONTENT_ENCODING=encoding).status_code == 201


def answered(method: str, url: str, *, content_type: str, body: bytes = b"", **how: Any) -> tuple[int, Any]:
    """What the web application answers to a request as gunicorn hands it over."""
    request = RequestFactory().generic(method, url, body, "application/octet-stream", **how)
    environ = request.environ | {"CONTENT_TYPE": content_type}
    statuses: list[str] = []

    def start(status: str, *_: Any) -> Callable[[bytes], object]:
        statuses.append(status)
        return statuses.append  # type: ignore[return-value]  # nobody writes

    response = application(environ, start)
    return int(statuses[0].split()[0]), json.loads(b"".join(response))


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "rot13", "hex", "none", "\xe9"])
@pytest.mark.parametrize("url", ["/api/v1/anomalies/", "/admin/login/"])
def test_another_charset_is_refused(url: str, charset: str) -> None:
    status, body = answered("POST", url, body=REPORT, content_type=f"application/json; charset={charset}")
    assert (status, body["error"]) == (415, f"The charset {charset!r} is not supported: send UTF-8.")


@pytest.mark.parametrize("charset", ["UTF-8", "utf8", '"utf-8"', "us-ascii"])
def test_utf_8_by_any_name_is_read(client: Client, charset: str) -> None:
    response = client.post("/api/v1/anomalies/", REPORT, content_type=f"application/json; charset={charset}")
    assert response.status_code == 201


@pytest.mark.django_db(transaction=True)  # a request of the web server's own closes old connections
@pytest.mark.parametrize("charset", ["rot13", "hex", "utf-16"])
def test_a_charset_without_a_body_decodes_no_query(client: Client, charset: str) -> None:
    AnomalyFactory.create(anomaly_id="é")
    url, key = "/api/v1/anomalies/?anomaly_id=%C3%A9", client.defaults["HTTP_AUTHORIZATION"]
    content_type = f"application/json; charset={charset}"
    status, body = answered("GET", url, content_type=content_type, HTTP_AUTHORIZATION=key)
    assert (status, body["count"]) == (200, 1)


def test_a_long_query_is_refused_whatever_the_charset() -> None:
    url = "/api/v1/anomalies/?" + "a&" * 1_001
    status, _ = answered("GET", url, content_type="application/json; charset=utf-8")
    assert status in {400, 401}


# --- Chunks --------------------------------------------------------------------------------------


def chunked(body: Any) -> dict[str, Any]:
    """The environment in which gunicorn hands over such a body."""
    return {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
        "wsgi.input_terminated": True,
        "wsgi.input": body,
    }


def test_a_body_in_chunks_is_read(client: Client) -> None:
    assert report(client, **chunked(BytesIO(REPORT))).status_code == 201
    assert Anomaly.objects.get().anomaly_id == "A-1"


def test_a_body_in_chunks_is_bounded(client: Client, settings: Settings) -> None:
    settings.REQUEST_BODY_LIMIT = len(REPORT) - 1
    sentence = f"A request body without Content-Length is too large: at most {len(REPORT) - 1} bytes."
    assert refusal(report(client, **chunked(BytesIO(REPORT)))) == (413, sentence)


@pytest.mark.parametrize("error", [OSError("it ends in the middle"), InvalidHeader("a trailer")])
def test_broken_chunks_are_refused(client: Client, error: Exception) -> None:
    class Broken(BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise error

    assert refusal(report(client, **chunked(Broken()))) == (400, "The request body is not complete.")


def spoken(port: int, parts: Iterable[bytes]) -> bytes:
    """What the server answers on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    return answer


@pytest.mark.queue
def test_the_web_server_hands_chunks_over(queue_mark: str, tmp_path: Path) -> None:
    key = Token.objects.create(user=user_with("training.add_anomaly")).key
    headers = {"Authorization": f"Token {key}", "Content-Type": "application/json"}
    with web_server(tmp_path / "log") as web:
        url = f"{web.url}/api/v1/anomalies/"
        parts = (REPORT[n : n + 7] for n in range(0, len(REPORT), 7))
        assert requests.post(url, data=parts, headers=headers, timeout=30).status_code == HTTPStatus.CREATED
        too_long = (b" " * 1_000_000 for _ in range(12))
        head = f"POST /api/v1/anomalies/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token {key}\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        answer = requests.post(url, data=too_long, headers=headers, timeout=30)
        assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        broken = spoken(web.port, [head.encode(), b"5\r\n{}\r\nzz\r\n"])
        assert broken.startswith(b"HTTP/1.1 400 ")
        session = requests.Session()
        page = session.get(f"{web.url}/admin/login/", timeout=30)
        token = page.cookies["csrftoken"]
        form = f"csrfmiddlewaretoken={token}&username=a&password=b".encode()
        answer = session.post(
            f"{web.url}/admin/login/",
            data=iter([form[:20], form[20:]]),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=30,
        )
        assert (answer.status_code, "correct username" in answer.text) == (200, True)


# --- A body where none is expected ---------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/train/reload",
        "/train/restore/b-1",
        "/api/v1/backups/",
        "/api/v1/backups/b-1/verify/",
        "/api/v1/backups/b-1/restore/",
        "/api/v1/training-sessions/",
        "/api/v1/training-sessions/{session}/cancel/",
        "/api/v1/predictions/suggest/",
        "/api/v1/model-versions/{version}/roll-back/",
        "/api/v1/training-policy/lift/",
    ],
)
def test_a_body_that_nobody_would_read_is_refused(path: str) -> None:
    user = user_with(
        "training.activate_modelversion",
        "training.restore_backup",
        "training.add_backup",
        "training.train_models",
        "training.cancel_trainingsession",
        "training.review_anomaly",
        "django_q.change_schedule",
    )
    client = Client(headers={"authorization": f"Token {Token.objects.create(user=user).key}"})
    BackupFactory.create(name="b-1")
    names = {"session": SessionFactory.create().pk, "version": VersionFactory.create().pk}
    url = path.format(**names)
    response = client.post(url, b'{"records": 3}', content_type="application/json")
    assert refusal(response) == (400, "This request takes no body.")
    assert client.post(url, {"records": 3}).status_code in {400, 415}


def test_an_empty_object_says_nothing(client: Client) -> None:
    user = user_with("training.train_models")
    client = Client(headers={"authorization": f"Token {Token.objects.create(user=user).key}"})
    response = client.post("/api/v1/training-sessions/", b"{}", content_type="application/json")
    assert refusal(response)[1] != "This request takes no body."


# --- Bounds --------------------------------------------------------------------------------------


def test_a_route_of_one_small_object_takes_a_small_body(settings: Settings) -> None:
    user = user_with("training.review_anomaly", "training.view_anomaly")
    client = Client(headers={"authorization": f"Token {Token.objects.create(user=user).key}"})
    url = reverse("v1:anomaly-reject", args=[AnomalyFactory.create().pk])
    body = b'{"reason": "' + b"a" * settings.SMALL_BODY_LIMIT + b'"}'
    assert refusal(client.post(url, body, content_type="application/json")) == (
        413,
        f"The request body is too large: at most {settings.SMALL_BODY_LIMIT:,} bytes.",
    )


@pytest.mark.parametrize("part", ["{},", "[],", "0,", '"",', '"[",'])
def test_too_many_values_are_refused_before_they_are_made(client: Client, part: str) -> None:
    body = "[" + (part * MAX_VALUES).rstrip(",") + "]"
    response = client.post("/api/v1/anomalies/", body.encode(), content_type="application/json")
    assert refusal(response) == (413, f"The JSON holds too many values: at most {MAX_VALUES:,}.")


@pytest.mark.parametrize("text", ["[{,", '\\\\\\"[{,', "\\\\[,"])
def test_marks_within_texts_are_no_values(client: Client, text: str) -> None:
    body = '{"description": "' + text * MAX_VALUES + '"}'
    response = client.post("/api/v1/anomalies/", body.encode(), content_type="application/json")
    assert (response.status_code, len(response.json()["validation_errors"])) == (400, 3)


def test_errors_are_bounded_and_counted(settings: Settings) -> None:
    records = [{"description": 1, "equipment_id": 1, "system": 1}] * 6_000
    settings.ANONYMOUS_READ = True
    errors = Client().post("/predict", records, content_type="application/json").json()["validation_errors"]
    assert (len(errors), errors[0]) == (10_001, "Record 1: description must be a string, got int")
    assert errors[-2:] == ["Record 3334: description must be a string, got int", "… and 8,000 more errors."]


def test_a_name_that_is_echoed_is_cut(client: Client) -> None:
    body = '{"' + "a" * 1_000_000 + '": 1}'
    response = client.post("/api/v1/anomalies/", body.encode(), content_type="application/json")
    assert len(response.content) < 10_000
