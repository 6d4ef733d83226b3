import json
from itertools import product
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, UnreadablePostError
from django.test import Client, RequestFactory
from pytest_django import Settings
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.factories import UserFactory
from training import errors
from training.api.parsers import BodyTooLarge

NOWHERE = {"success": False, "error": "There is nothing at this address."}


class Raises(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]
    error: Exception = Exception()
    error_form = "guide"

    def get(self, request: Request) -> Response:
        raise self.error


def answer(error: Exception, form: str = "guide") -> tuple[int, Any]:
    response = Raises.as_view(error=error, error_form=form)(RequestFactory().get("/"))
    response.render()
    return response.status_code, json.loads(response.content)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (errors.NothingApprovedError("Nothing."), 409, "Nothing."),
        (errors.NotAllowedNowError("Not now."), 409, "Not now."),
        (errors.LeaseLostError("Lost."), 409, "Lost."),
        (errors.NoWorkerError("Start one."), 503, "Start one."),
        (errors.UnservableVersionError("Broken."), 500, "Broken."),
        (errors.BackupError("Broken."), 500, "Broken."),
        (errors.UnwritableBackupError("Full."), 503, "Full."),
        (errors.TrainingError("Anything else."), 500, "Anything else."),
        (errors.ModelNotLoadedError("Train first."), 503, "Train first."),
        (BodyTooLarge("Too large."), 413, "Too large."),
        (Http404("There is no x."), 404, "There is no x."),
        (Http404(), 404, "Not found."),
        (PermissionDenied(), 403, "You do not have permission to perform this action."),
        (exceptions.NotAcceptable(), 406, "Could not satisfy the request Accept header."),
        (exceptions.ParseError("Broken JSON."), 400, "Broken JSON."),
        (RequestDataTooBig("Too big."), 413, "Too big."),
        (SuspiciousOperation("Suspicious."), 400, "Suspicious."),
        (UnreadablePostError("Gone."), 400, "Gone."),
    ],
)
def test_each_error_has_its_status_in_both_forms(error: Exception, status: int, sentence: str) -> None:
    assert answer(error) == (status, {"success": False, "error": sentence})
    older_status, older_body = answer(error, "older")
    assert older_status == status
    assert older_body["message"] == sentence
    assert set(older_body) == {"error", "message"}


@pytest.mark.parametrize("error", [errors.NoWorkerError("Start one."), errors.ModelNotLoadedError("Train.")])
def test_who_is_refused_for_a_while_is_told_for_how_long(error: Exception) -> None:
    response = Raises.as_view(error=error, error_form="guide")(RequestFactory().get("/"))
    assert (response.status_code, response["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    ("status", "title"), [(400, "Bad Request"), (404, "Not Found"), (503, "Service Unavailable")]
)
def test_the_older_form_is_titled_by_the_status(status: int, title: str) -> None:
    error = exceptions.APIException("What happened.")
    error.status_code = status
    assert answer(error, "older") == (status, {"error": title, "message": "What happened."})


def test_an_active_session_is_told_apart() -> None:
    sentence = "Training already in progress. Please wait and try again."
    assert answer(errors.SessionActiveError()) == (
        409,
        {"success": False, "error": sentence, "is_training": True},
    )


def test_a_refused_batch_names_every_error() -> None:
    error = errors.InvalidRecordsError(["Record 1: a", "Record 2: b"])
    told = {"validation_errors": ["Record 1: a", "Record 2: b"]}
    assert answer(error) == (400, {"success": False, "error": "Data validation failed", **told})
    assert answer(error, "older") == (
        400,
        {"error": "Bad Request", "message": "Data validation failed", **told},
    )


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("wrong", ["wrong"]),
        (["one", "two"], ["one", "two"]),
        ({"name": ["is long", "is odd"]}, ["name: is long", "name: is odd"]),
        ({"non_field_errors": ["clash"]}, ["clash"]),
        ({"scores": {"fiability": ["is 6"]}}, ["scores: fiability: is 6"]),
        ([{}, {"name": ["is long"]}], ["Record 2: name: is long"]),
        ({"tags": {1: ["is odd"]}}, ["tags: 1: is odd"]),
    ],
)
def test_a_nested_validation_error_becomes_sentences(detail: Any, told: list[str]) -> None:
    body = {"success": False, "error": "Data validation failed", "validation_errors": told}
    assert answer(exceptions.ValidationError(detail)) == (400, body)


def test_a_throttled_client_is_told_when_to_come_back() -> None:
    response = Raises.as_view(error=exceptions.Throttled(wait=3))(RequestFactory().get("/"))
    assert response.status_code == 429
    assert response["Retry-After"] == "3"
    assert response.data["success"] is False


def test_a_lone_surrogate_is_echoed_as_its_escape() -> None:
    _, body = answer(exceptions.ValidationError(['"\ud800" is not a valid choice.']))
    assert body["validation_errors"] == ['"\\ud800" is not a valid choice.']
    assert answer(Http404("no \udcff"))[1]["error"] == "no \\udcff"


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        answer(ZeroDivisionError())


# --- What Django itself answers ----------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["debug", "production"])
def _debug(request: pytest.FixtureRequest, settings: Settings) -> None:
    settings.DEBUG = request.param


@pytest.mark.usefixtures("_debug")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *product(["get", "post", "put", "delete"], ["/nowhere", "/train/", "/train/nothing", "/api/nothing"]),
        ("get", "/static/nothing.css"),
    ],
)
def test_unknown_addresses_answer_in_the_form(client: Client, path: str, method: str) -> None:
    response = getattr(client, method)(path)
    assert (response.status_code, response.json()) == (404, NOWHERE)
    assert response["Content-Type"] == "application/json"
    assert int(response["Content-Length"]) == len(response.content)


@pytest.mark.usefixtures("_debug")
def test_a_bad_host_answers_in_the_form(client: Client) -> None:
    response = client.get("/train/status", headers={"host": "evil.example"})
    sentence = "The request is not acceptable: its Host header, address or body is malformed."
    assert (response.status_code, response.json()) == (400, {"success": False, "error": sentence})


@pytest.mark.usefixtures("_debug")
@pytest.mark.django_db
def test_a_bug_answers_in_the_form_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug() -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("training.api.guide.recover_sessions", bug)
    response = Client(raise_request_exception=False).get("/train/status")
    body = {"success": False, "error": "An unexpected error occurred. It was logged."}
    assert (response.status_code, response.json()) == (500, body)
    assert "a secret" in caplog.text


def test_a_failed_csrf_check_answers_in_the_form() -> None:
    response = Client(enforce_csrf_checks=True).post("/i18n/setlang/", {"language": "fr"})
    assert (response.status_code, response.json()) == (403, {"success": False, "error": "Forbidden."})


@pytest.mark.django_db
def test_a_session_without_csrf_token_is_refused_in_the_form() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory.create(is_superuser=True))
    response = client.post("/train/reload")
    body = {"success": False, "error": "CSRF Failed: CSRF cookie not set."}
    assert (response.status_code, response.json()) == (403, body)


@pytest.mark.django_db
def test_the_admin_answers_people(client: Client) -> None:
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    response = client.get("/admin/nothing/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_headers_of_the_refusal_survive(client: Client) -> None:
    response = client.get("/nowhere")
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_the_older_services_views_keep_their_form_for_bugs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.api.guide.StatusView.error_form", "older", raising=False)
    monkeypatch.setattr("training.api.guide.StatusView.get", lambda *_: 1 / 0)
    response = Client(raise_request_exception=False).get("/train/status")
    body = {"error": "Internal Server Error", "message": "An unexpected error occurred. It was logged."}
    assert (response.status_code, response.json()) == (500, body)
