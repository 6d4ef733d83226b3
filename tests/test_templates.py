"""The pages that say no: plain, in the reader's language, without a script."""

import re
from pathlib import Path

import pytest
from django.conf import settings as project
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
TEMPLATES = sorted(Path(project.BASE_DIR, "templates").rglob("*.html"))


@pytest.fixture
def staff() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(UserFactory.create(is_staff=True))
    return client


def test_forbidden(staff: Client) -> None:
    response = staff.get(reverse("admin:training_backup_changelist"))
    assert response.status_code == 403
    assert "<h1>You may not do this</h1>" in response.content.decode()


def test_not_found(staff: Client) -> None:
    response = staff.get("/admin/nothing/", headers={"accept-language": "fr"})
    assert response.status_code == 404
    assert "<h1>Il n'y a rien à cette adresse</h1>" in response.content.decode()


def test_a_bug(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictions.start_page.cards", lambda _version, _drift: 1 / 0)
    response = staff.get(reverse("admin:index"))
    assert response.status_code == 500
    assert "<h1>Something went wrong</h1>" in response.content.decode()


def test_a_form_of_an_earlier_login(staff: Client) -> None:
    staff.handler.enforce_csrf_checks = True
    response = staff.post(reverse("admin:logout"))
    assert response.status_code == 403
    assert "<h1>This form is too old</h1>" in response.content.decode()


def test_the_lock_after_too_many_failed_logins(settings: Settings) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    user = UserFactory.create(is_staff=True)
    user.set_password("vapeur-42-haute")
    user.save()
    client, wrong = Client(), {"username": user.username, "password": "x"}
    assert client.post(reverse("admin:login"), wrong).status_code == 200
    response = client.post(reverse("admin:login"), wrong)
    assert response.status_code == 429
    assert "<h1>Too many failed logins</h1>" in response.content.decode()
    assert client.post(reverse("admin:login"), wrong | {"password": "vapeur-42-haute"}).status_code == 429


def test_a_login_without_a_goal_leads_to_the_start_page() -> None:
    user = UserFactory.create(is_staff=True)
    user.set_password("vapeur-42-haute")
    user.save()
    right = {"username": user.username, "password": "vapeur-42-haute"}
    response = Client().post(reverse("admin:login"), right)
    assert (response.status_code, response["Location"]) == (302, reverse("admin:index"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_a_script_or_fetches_from_elsewhere(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"<script(?! src=)", source)
    assert "http://" not in source
    assert "https://" not in source
    assert not any(f" {event}=" in source for event in ("onclick", "onchange", "onsubmit", "onload"))


def test_a_bug_page_needs_no_context() -> None:
    assert "Back to the start page" in render_to_string("500.html")
