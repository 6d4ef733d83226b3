"""Misconfiguration is reported before anything starts."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connection
from django_q.models import Schedule
from pytest_django import Settings

from tests.storing import TestBucket
from tests.training.test_artifacts import stored_version
from training import checks
from training.schedules import ensure_schedule


@pytest.fixture(autouse=True)
def _given_keys(settings: Settings) -> None:
    settings.GENERATED_SECRETS = []


def ids(*, deploy: bool = False) -> list[str]:
    """Of the product's own messages, among all that `manage.py check` would report."""
    found = run_checks(include_deployment_checks=deploy)
    return [message.id for message in found if message.id and message.id.startswith("training.")]


def test_nothing_to_say() -> None:
    assert ids() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"workers": 2}, ["training.E001"]),
        ({"timeout": 8000, "retry": 8000}, ["training.E002"]),
        ({"timeout": 7200, "retry": 7300}, ["training.E003"]),
    ],
)
def test_queue(changes: dict[str, Any], expected: list[str], settings: Settings) -> None:
    settings.TRAINING_TIMEOUT = 3600
    settings.Q_CLUSTER = {"workers": 1, "timeout": 7320, "retry": 7440} | changes
    assert ids() == expected


def test_schedule(settings: Settings) -> None:
    settings.TRAINING_SCHEDULE = "on sundays"
    assert ids() == ["training.E004"]


def test_media_root_that_is_a_file(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "file"
    settings.MEDIA_ROOT.write_text("")
    assert ids() == ["training.E005"]


def test_media_root_that_cannot_be_written(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: path != settings.MEDIA_ROOT)
    assert ids() == ["training.E005"]


def test_media_root_that_will_be_made(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "not" / "yet"
    assert ids() == []


@pytest.mark.parametrize(("keys", "expected"), [(["k" * 32], []), (["k" * 32, "k" * 31], ["training.W011"])])
def test_signing_keys(keys: list[str], expected: list[str], settings: Settings) -> None:
    settings.ARTIFACT_SIGNING_KEYS = keys
    assert [message.id for message in checks.check_signing_keys()] == expected


@pytest.mark.parametrize("below", ["", "media"])
def test_media_root_that_is_served(below: str, settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.MEDIA_ROOT = tmp_path / below
    assert ids() == ["training.E006"]


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ([], []),
        (["SECRET_KEY"], ["training.W008"]),
        (["SECRET_KEY", "ARTIFACT_SIGNING_KEYS"], ["training.W008", "training.W009"]),
    ],
)
def test_keys_that_no_other_node_has(generated: list[str], expected: list[str], settings: Settings) -> None:
    settings.GENERATED_SECRETS = generated
    assert ids() == (expected if connection.vendor == "postgresql" else [])


@pytest.mark.django_db
class TestActiveVersion:
    """What another node published is looked at, and never quarantined."""

    def test_it_is_read(self) -> None:
        assert ids(deploy=True) == []
        stored_version(is_active=True)
        assert ids(deploy=True) == []

    def test_another_node_s_disk(self, settings: Settings, tmp_path: Path) -> None:
        version = stored_version(is_active=True)
        settings.MEDIA_ROOT = tmp_path / "another"
        (found,) = (m for m in run_checks(include_deployment_checks=True) if m.id == "training.E010")
        assert found.msg == (
            f"The active version {version} cannot be read here: "
            "'manifest.json' in version_1 cannot be read: No such file or directory."
        )
        assert found.hint == "All nodes need the same MEDIA_ROOT and the same ARTIFACT_SIGNING_KEYS."
        version.refresh_from_db()
        assert version.is_usable is True

    def test_another_node_s_keys(self, bucket: TestBucket, settings: Settings) -> None:
        stored_version(is_active=True)
        settings.ARTIFACT_SIGNING_KEYS = ["another"]
        (found,) = (m for m in run_checks(include_deployment_checks=True) if m.id == "training.E010")
        assert found.msg.endswith("The signature of version_1 does not match.")
        assert found.hint == "All nodes need the same ARTIFACT_STORAGE and the same ARTIFACT_SIGNING_KEYS."


@pytest.mark.django_db
class TestScheduleRows:
    def test_ours(self) -> None:
        ensure_schedule()
        assert ids(deploy=True) == []

    def test_somebody_else_s(self) -> None:
        Schedule.objects.create(name="planted", func="os.system")
        [error] = checks.check_schedule_rows()
        assert (error.id, error.msg) == (
            "training.E007",
            "Schedule planted calls os.system, which is none of the product's scheduled functions.",
        )
        assert ids(deploy=True) == ["training.E007"]

    def test_switched_off(self) -> None:
        Schedule.objects.create(func="os.system", repeats=0)
        assert ids(deploy=True) == []


@pytest.mark.django_db(transaction=True)
def test_schedule_rows_before_the_first_migration() -> None:
    with connection.schema_editor() as editor:
        editor.alter_db_table(Schedule, "django_q_schedule", "elsewhere")
    try:
        assert checks.check_schedule_rows() == []
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Schedule, "elsewhere", "django_q_schedule")


def test_schedule_of_the_quality_reports(settings: Settings) -> None:
    settings.QUALITY_REPORT_SCHEDULE = "on sundays"
    assert ids() == ["training.E004"]
