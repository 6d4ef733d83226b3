from importlib import import_module

import pytest
from django.apps import apps
from pytest_django import Settings

from predictions.models import Prediction
from tests.factories import AnomalyFactory, VersionFactory
from training.ml.records import TARGETS

pytestmark = pytest.mark.django_db

HARMLESS, SERIOUS = [1.0, 0.0, 0.0, 0.0, 0.0], [0.75, 0.0, 0.0, 0.125, 0.125]


@pytest.mark.parametrize(("direction", "expected"), [("5", [True, False]), ("1", [True, True])])
def test_what_was_suggested_before_is_looked_at(
    direction: str, expected: list[bool], settings: Settings
) -> None:
    settings.SCORE_DIRECTION = f"{direction}_is_most_critical"
    version = VersionFactory.create()
    for safety in (SERIOUS, HARMLESS):
        Prediction.objects.create(
            anomaly=AnomalyFactory.create(),
            model_version=version,
            distributions=dict.fromkeys(TARGETS, HARMLESS) | {"process_safety": safety},
            confidence=0.75,
            availability_score=1,
            fiability_score=1,
            process_safety_score=1,
        )
    migration = import_module("predictions.migrations.0002_needs_attention")
    migration.look_at_what_was_suggested(apps, None)
    found = Prediction.objects.order_by("pk").values_list("needs_attention", flat=True)
    assert list(found) == expected
