import pytest
from django.core.management import CommandError, call_command

from tests.factories import AnomalyFactory
from training.models import Anomaly

pytestmark = pytest.mark.django_db


def test_the_sample_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("load_sample")
    assert capsys.readouterr().out == "Sample loaded: 720 approved anomalies, 30 to review.\n"
    assert (Anomaly.objects.approved().count(), Anomaly.objects.pending().count()) == (720, 30)


def test_a_database_in_use_is_left_alone() -> None:
    AnomalyFactory.create()
    with pytest.raises(CommandError, match=r"this one holds 1 anomalies. Nothing changed"):
        call_command("load_sample")
    assert Anomaly.objects.count() == 1
