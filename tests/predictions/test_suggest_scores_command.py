from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from predictions.models import Prediction
from tests.factories import AnomalyFactory
from training.models import ModelVersion

pytestmark = pytest.mark.django_db


def suggest_scores() -> str:
    out = StringIO()
    call_command("suggest_scores", stdout=out, stderr=StringIO(), no_color=True)
    return out.getvalue()


def test_it_stores_suggestions_for_what_is_pending(version: ModelVersion) -> None:
    AnomalyFactory.create_batch(3)
    assert suggest_scores() == "Suggestions stored for 3 pending anomalies.\n"
    assert Prediction.objects.filter(model_version=version).count() == 3


def test_running_it_again_adds_nothing(version: ModelVersion) -> None:
    AnomalyFactory.create()
    suggest_scores()
    assert suggest_scores() == "Suggestions stored for 0 pending anomalies.\n"
    assert Prediction.objects.count() == 1


def test_without_a_model_it_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="train one with POST /train"):
        suggest_scores()
