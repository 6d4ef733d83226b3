from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import BackupFactory, VersionFactory
from tests.training.admin.people import staff

pytestmark = pytest.mark.django_db
THEN = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS: dict[str, dict[str, Any]] = {
    "active": {"is_active": True, "verification_error": "digest"},
    "stored": {},
    "damaged": {"verification_error": "digest"},
    "removed": {"pruned_at": THEN, "verification_error": "digest"},
}
BACKUPS: dict[str, dict[str, Any]] = {
    "verified": {"verified_at": THEN},
    "unverified": {},
    "damaged": {"verified_at": THEN, "verification_error": "digest"},
    "removed": {"verified_at": THEN, "pruned_at": THEN},
}


@pytest.fixture
def client() -> Client:
    return staff("training.view_modelversion", "training.view_backup")


def found(client: Client, model: str, state: str) -> list[Any]:
    response = client.get(reverse(f"admin:training_{model}_changelist"), {"state": state})
    return list(response.context["cl"].result_list)


def test_each_version_has_one_state(client: Client) -> None:
    versions = {state: VersionFactory.create(**fields) for state, fields in VERSIONS.items()}
    assert {state: found(client, "modelversion", state) for state in VERSIONS} == {
        state: [version] for state, version in versions.items()
    }
    assert len(found(client, "modelversion", "x")) == 4


def test_each_backup_has_one_state(client: Client) -> None:
    backups = {state: BackupFactory.create(**fields) for state, fields in BACKUPS.items()}
    assert {state: found(client, "backup", state) for state in BACKUPS} == {
        state: [backup] for state, backup in backups.items()
    }
