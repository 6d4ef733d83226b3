"""What opens a door is in no line of the log, whether the door opened or not."""

import ipaddress
import json
import logging
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from rest_framework.authtoken.models import Token

from anomalyproject.logs import JSONFormatter, LineFormatter
from tests.factories import UserFactory, WebhookFactory
from tests.receivers import receiver
from tests.test_settings import PLANT, run
from tests.trained import approved_records, trained_version
from training import artifacts, backups, notices
from training.deliveries import send_due
from training.errors import BackupError
from training.models import Backup, Delivery, Webhook

pytestmark = pytest.mark.django_db
PASSWORD = "Vapeur-42-haute-pression"
WRONG = "Vapeur-42-basse-pression"


class Everything(logging.Handler):
    """Every line that any logger writes, at any level, in both forms."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [JSONFormatter().format(record), LineFormatter().format(record)]


@pytest.fixture
def log() -> Iterator[Everything]:
    handler, level = Everything(), logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.DEBUG)
    yield handler
    logging.root.removeHandler(handler)
    logging.root.setLevel(level)


@pytest.fixture
def owner() -> User:
    user: User = UserFactory.create(username="owner", is_staff=True, is_superuser=True)
    user.set_password(PASSWORD)
    user.save()
    return user


def assert_none(log: Everything, *hidden: str) -> None:
    assert log.lines
    whole = "\n".join(log.lines)
    assert [secret for secret in hidden if secret in whole] == []


def test_tokens(log: Everything, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    token, wrong = Token.objects.create(user=owner).key, secrets.token_hex(20)
    client = Client(raise_request_exception=False)
    for key in (token, wrong):
        for path in ("/train/status", "/api/v1/anomalies/", "/nowhere", f"/health?token={key}"):
            client.get(path, headers={"authorization": f"Token {key}"})
            client.post(path, {"token": key}, content_type="application/json", headers={"x-api-key": key})
    monkeypatch.setattr("training.api.guide.recover_sessions", lambda: 1 / 0)
    assert client.get("/train/status", headers={"authorization": f"Token {token}"}).status_code == 500
    assert_none(log, token, wrong)


def test_passwords_and_sessions(log: Everything, owner: User) -> None:
    client = Client()
    url = reverse("admin:login")
    for password in (WRONG, PASSWORD):
        client.post(url, {"username": "owner", "password": password, "next": "/admin/"})
    assert AccessAttempt.objects.count() == 0  # the second one was right
    session = client.cookies["sessionid"].value
    new = secrets.token_urlsafe(12)
    change = reverse("admin:auth_user_password_change", args=[owner.pk])
    for second in ("other", new):
        client.post(change, {"password1": new, "password2": second, "usable_password": "true"})
    client.post(reverse("admin:auth_user_add"), {"username": "ines", "password1": new, "password2": "x"})
    owner.refresh_from_db()
    assert owner.check_password(new)
    assert_none(log, WRONG, PASSWORD, new, session, owner.password)


def test_tokens_that_are_made(log: Everything, owner: User) -> None:
    client = Client()
    client.force_login(owner)
    client.post(reverse("admin:authtoken_tokenproxy_add"), {"user": owner.pk})
    assert_none(log, Token.objects.get().key)


def test_webhook_secrets(log: Everything, owner: User, settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    key = secrets.token_urlsafe(12)
    with receiver() as listening:
        hook: Webhook = WebhookFactory.create(url=listening.url(f"/{key}?key={key}"))
        for status in (204, 500):
            listening.status = status
            notices.send_test(listener=hook, user=owner)
            assert send_due() == 1
    notices.send_test(listener=hook, user=owner)  # nobody listens any more
    assert send_due() == 1
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered", "failed"}
    first = hook.secret
    notices.renew_secret(webhook=hook)
    assert_none(log, first, hook.secret, first.partition("_")[2], key)


def test_signing_keys(log: Everything, settings: Settings) -> None:
    keys = [secrets.token_urlsafe(24) for _ in range(2)]
    settings.ARTIFACT_SIGNING_KEYS = keys
    approved_records()
    trained_version(is_active=True)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    manifest = artifacts.directory_of(backup) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"2", b"3"))
    with pytest.raises(BackupError):
        backups.verify_backup(backup=backup)
    logging.getLogger("training").warning("%s", Backup.objects.get().verification_error)
    assert_none(log, *keys)


def test_reports_and_what_is_asked(log: Everything, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the plant writes about itself is none of the log's business either."""
    client = Client(raise_request_exception=False)
    client.force_login(owner)
    text = "FUITE-VAPEUR-7711"
    report = {"anomaly_id": text, "description": text, "equipment_id": text}
    for body in (report, report, {**report, "scores": text}, text):
        client.post("/api/v1/anomalies/", json.dumps(body), content_type="application/json")
    client.get(f"/api/v1/anomalies/?search={text}&equipment_id={text}&page={text}")
    client.post("/predict", json.dumps(report), content_type="application/json")
    monkeypatch.setattr("predictions.api.serving_model", lambda: 1 / 0)
    sent = client.post("/predict", json.dumps(report), content_type="application/json")
    assert sent.status_code == 500
    assert_none(log, text)


@pytest.mark.parametrize("command", [["migrate"], ["check", "--deploy"], ["train"]], ids=str)
def test_a_database_that_does_not_answer(command: list[str], tmp_path: Path) -> None:
    secret = secrets.token_urlsafe(12)
    environment = PLANT | {
        "DATABASE_URL": f"postgres://postgres:{secret}@127.0.0.1:1/nothing",
        "EMAIL_HOST_PASSWORD": secret,
        "MEDIA_ROOT": str(tmp_path),
        "LOG_LEVEL": "DEBUG",
    }
    done = run("manage.py", *command, **environment)
    shown = done.stdout + done.stderr
    assert (done.returncode == 0) == (command[0] == "check")
    for hidden in (secret, PLANT["SECRET_KEY"], PLANT["ARTIFACT_SIGNING_KEYS"]):
        assert hidden not in shown


def test_the_time_is_no_secret(log: Everything) -> None:
    """The handler of these tests does see what is logged."""
    moment = f"{datetime.now(UTC):%Y%m%d%H%M%S%f}"
    logging.getLogger("x").debug("it is %s", moment)
    assert any(moment in line for line in log.lines)
