"""A report of a bug shows where it is, and no value that was sent or computed."""

import sys

from django.test import RequestFactory
from django.views.debug import ExceptionReporter, get_exception_reporter_filter

from training.api.bug_reports import Discreet

SECRET = "-".join(["5ecret"] * 2)  # not a line of source that a traceback shows


def _fail(*, token: str) -> None:
    len(token) / 0


def report(**headers: str) -> str:
    request = RequestFactory().post("/admin/login/", {"password": SECRET, "note": SECRET}, **headers)  # type: ignore[arg-type]  # META takes any name
    try:
        _fail(token=SECRET)
    except ZeroDivisionError:
        reporter = ExceptionReporter(request, *sys.exc_info())
    return reporter.get_traceback_html() + reporter.get_traceback_text()


def test_the_reporter_is_ours() -> None:
    assert isinstance(get_exception_reporter_filter(RequestFactory().get("/")), Discreet)


def test_nothing_sent_and_no_variable_is_shown() -> None:
    shown = report(
        HTTP_AUTHORIZATION=f"Token {SECRET}",
        HTTP_COOKIE=f"sessionid={SECRET}",
        HTTP_X_CSRFTOKEN=SECRET,
    )
    assert "ZeroDivisionError" in shown
    assert "len(token) / 0" in shown
    assert SECRET not in shown


def test_settings_that_speak_of_secrets_are_hidden() -> None:
    cleanse = Discreet().cleanse_setting
    for name in ("DATABASE_URL", "ARTIFACT_SIGNING_KEYS", "SECRET_KEY_FALLBACKS", "EMAIL_HOST_PASSWORD"):
        assert cleanse(name, SECRET) == Discreet.cleansed_substitute
    assert cleanse("DATABASES", {"default": {"PASSWORD": SECRET}}) == {
        "default": {"PASSWORD": Discreet.cleansed_substitute}
    }
    assert cleanse("APP_NAME", "shown") == "shown"
