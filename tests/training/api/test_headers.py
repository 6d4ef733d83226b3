"""Every answer carries the locks of the browser, whoever made it and whatever it says."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.factories import UserFactory
from tests.training.admin.people import superuser

pytestmark = pytest.mark.django_db

LOCKS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), "
    "microphone=(), payment=(), usb=()",
    "Strict-Transport-Security": "max-age=60; includeSubDomains; preload",
    "Content-Security-Policy": "base-uri 'self'; default-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; frame-src 'none'; img-src 'self' data:; object-src 'none'; "
    "script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'",
}
ANSWERS = [
    ("/health", 200),
    ("/train/status", 401),
    ("/predict", 401),
    ("/api/v1/anomalies/", 401),
    ("/nowhere", 404),
    ("/admin/", 302),
    ("/admin/login/", 200),
    ("/static/training/admin.css", 200),
    ("/static/nothing.css", 404),
]


@pytest.fixture(autouse=True)
def plant(settings: Settings) -> None:
    settings.OPEN_DEVELOPMENT_MODE = settings.ANONYMOUS_READ = False
    settings.WHITENOISE_USE_FINDERS = True
    settings.SECURE_HSTS_SECONDS = 60
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True


def locks_of(response: object) -> dict[str, str | None]:
    headers = response.headers  # type: ignore[attr-defined]  # Django's test responses are untyped
    policy = "; ".join(sorted(headers.get("Content-Security-Policy", "").split("; ")))
    return {name: headers.get(name) for name in LOCKS} | {"Content-Security-Policy": policy}


@pytest.mark.parametrize(("path", "status"), ANSWERS)
def test_answers_are_locked(path: str, status: int) -> None:
    response = Client().get(path, secure=True)
    if response.streaming:
        list(response)  # the file is closed with its last piece
    assert (response.status_code, locks_of(response)) == (status, LOCKS)
    assert "Server" not in response.headers
    assert "X-Powered-By" not in response.headers


def test_a_bad_host_is_answered_with_the_locks() -> None:
    response = Client().get("/health", secure=True, headers={"host": "evil.example"})
    assert (response.status_code, locks_of(response)) == (400, LOCKS)


def test_a_bug_is_answered_with_the_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictions.api._health", lambda: 1 / 0)
    response = Client(raise_request_exception=False).get("/health", secure=True)
    assert (response.status_code, locks_of(response)) == (500, LOCKS)


def test_pages_are_locked() -> None:
    response = superuser().get(reverse("admin:index"), secure=True)
    assert (response.status_code, locks_of(response)) == (200, LOCKS)
    assert "no-store" in response["Cache-Control"]


def test_data_are_not_kept_by_anybody_on_the_way() -> None:
    client = Client()
    client.force_login(UserFactory.create(is_superuser=True))
    for path in ("/api/v1/anomalies/", "/train/status", "/models/info"):
        assert client.get(path, secure=True)["Cache-Control"] == "no-store"


def test_plain_http_is_sent_to_tls(settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    response = Client().get("/train/status")
    assert (response.status_code, response["Location"]) == (301, "https://testserver/train/status")


def test_cookies_are_locked() -> None:
    user = UserFactory.create(username="ines", is_staff=True)
    user.set_password("vapeur-42-haute")
    user.save()
    right = {"username": "ines", "password": "vapeur-42-haute"}
    cookies = Client().post(reverse("admin:login"), right, secure=True).cookies
    session, csrf = cookies["sessionid"], cookies["csrftoken"]
    assert (session["secure"], session["httponly"], session["samesite"]) == (True, True, "Lax")
    assert (csrf["secure"], csrf["samesite"]) == (True, "Lax")
