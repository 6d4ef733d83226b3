import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from predictions import services
from predictions.models import Prediction
from predictions.predictor import Failure, LoadedModel, State
from predictions.services import (
    explain,
    predict,
    serving_model,
    suggest,
    suggest_in_chunks,
    suggest_pending,
    unsuggested,
)
from predictions.validation import validate_many
from tests.factories import AnomalyFactory, ApprovedFactory, VersionFactory
from tests.predictions.published import publish_version
from training import artifacts, frames
from training.errors import ModelNotLoadedError
from training.ml.records import TARGETS
from training.ml.scorer import AnomalyScorer
from training.models import Anomaly, ModelVersion

pytestmark = pytest.mark.django_db

Status = Anomaly.Status


def leak() -> Anomaly:
    anomaly: Anomaly = AnomalyFactory.create(description="fuite vapeur")
    return anomaly


def test_a_suggestion_is_what_the_model_says(version: ModelVersion) -> None:
    anomaly = leak()
    said = artifacts.load_scorer(version).predict(frames.anomalies_frame([anomaly]))
    assert suggest(anomalies=[anomaly]) == 1
    stored = Prediction.objects.get()
    assert stored.anomaly == anomaly
    assert stored.model_version == version
    assert (stored.availability_score, stored.fiability_score, stored.process_safety_score) == (1, 1, 5)
    assert stored.distributions == {
        target: [round(share, 4) for share in said[target].distribution[0].tolist()] for target in TARGETS
    }
    assert stored.needs_attention is True
    assert stored.confidence == round(min(said[target].confidence[0].item() for target in TARGETS), 4)


def test_what_is_harmless_needs_no_attention(version: ModelVersion) -> None:
    suggest(anomalies=[AnomalyFactory.create(description="bruit anormal")])
    assert Prediction.objects.get().needs_attention is False


def test_attention_goes_by_the_direction_of_the_scale(version: ModelVersion, settings: Settings) -> None:
    settings.SCORE_DIRECTION = "1_is_most_critical"
    (scores,) = predict(
        reports=validate_many([{"description": "fuite vapeur", "equipment_id": "eq-1"}]),
        model=serving_model(),
    )
    assert [(s.score, s.needs_attention) for s in scores] == [(1, True), (1, True), (5, False)]


def test_the_reviewed_columns_stay_as_they_are(version: ModelVersion) -> None:
    pending, approved = leak(), ApprovedFactory.create(description="fuite vapeur")
    before = list(Anomaly.objects.order_by("pk").values())
    assert suggest(anomalies=[pending, approved]) == 2
    assert list(Anomaly.objects.order_by("pk").values()) == before


def test_an_anomaly_keeps_the_first_suggestion_of_a_version(version: ModelVersion) -> None:
    anomaly = leak()
    suggest(anomalies=[anomaly])
    first = Prediction.objects.get()
    Anomaly.objects.filter(pk=anomaly.pk).update(description="vibration palier")
    anomaly.refresh_from_db()
    assert suggest(anomalies=[anomaly, leak()]) == 1
    assert Prediction.objects.get(anomaly=anomaly) == first
    assert Prediction.objects.get(anomaly=anomaly).process_safety_score == 5


def test_each_version_has_its_own_suggestion(version: ModelVersion) -> None:
    anomaly = leak()
    suggest(anomalies=[anomaly])
    newer = publish_version(is_active=True)
    assert suggest(anomalies=[anomaly]) == 1
    versions = anomaly.predictions.order_by("pk").values_list("model_version", flat=True)
    assert list(versions) == [version.pk, newer.pk]


def test_a_racer_that_stored_the_same_first_is_no_error(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    anomaly = leak()
    suggest(anomalies=[anomaly])
    first = Prediction.objects.get()
    # The racer's row was not there yet when this process looked.
    monkeypatch.setattr(services, "_without_suggestion", lambda anomalies, _: anomalies)
    suggest(anomalies=[anomaly])
    assert Prediction.objects.get() == first


def test_nothing_to_suggest(version: ModelVersion) -> None:
    assert suggest(anomalies=[]) == 0
    assert suggest_pending() == 0


def test_pending_anomalies_without_a_suggestion_get_one(version: ModelVersion) -> None:
    seen, fresh = leak(), leak()
    for status in (Status.APPROVED, Status.REJECTED):
        ApprovedFactory.create(status=status)
    suggest(anomalies=[seen])
    assert list(unsuggested(serving_model())) == [fresh]
    assert suggest_pending() == 1
    assert {prediction.anomaly for prediction in Prediction.objects.all()} == {seen, fresh}
    assert suggest_pending() == 0


def test_the_oldest_come_first_up_to_the_limit(version: ModelVersion) -> None:
    anomalies = AnomalyFactory.create_batch(5)
    assert suggest_pending(limit=3) == 3
    assert list(unsuggested(serving_model())) == anomalies[3:]
    assert suggest_pending(limit=0) == 0
    assert suggest_pending(limit=3) == 2


def test_a_long_queue_is_done_in_chunks(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CHUNK", 2)
    anomalies = AnomalyFactory.create_batch(8)
    assert list(suggest_in_chunks(limit=3)) == [2, 1]
    assert list(suggest_in_chunks()) == [2, 2, 1]
    assert [prediction.anomaly for prediction in Prediction.objects.order_by("pk")] == anomalies


@pytest.mark.parametrize("count", [1, 3])
def test_queries_do_not_grow_with_the_anomalies(
    version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    serving_model()
    AnomalyFactory.create_batch(count)
    # The pointer, a look for changed scores, a chunk of anomalies, one insert, and a look for the next chunk.
    with django_assert_num_queries(5):
        assert suggest_pending() == count


def test_without_a_model_nothing_is_suggested() -> None:
    anomaly = leak()
    with pytest.raises(ModelNotLoadedError, match="No model is active: train one"):
        suggest(anomalies=[anomaly])
    with pytest.raises(ModelNotLoadedError, match="No model is active: train one"):
        suggest_pending()


def test_what_serves_is_explained() -> None:
    loaded = LoadedModel(version_id=6, scorer=AnomalyScorer())
    failure = Failure(version_id=7, reason="features.pkl was altered.", failed_at=0)
    remedy = "Activate another version or restore a backup."
    broken = f"version 7 is active but cannot be loaded (features.pkl was altered). {remedy}"
    assert explain(State(loaded=loaded)) == "Version 6 serves."
    assert explain(State(loaded=loaded, failure=failure)) == f"Version 6 serves: {broken}"
    assert explain(State(failure=failure)) == f"No model serves: {broken}"
    assert explain(State()).startswith("No model is active: train one with POST /train")


def test_without_an_active_version_the_newest_that_could_serve_is_named(version: ModelVersion) -> None:
    ModelVersion.objects.update(is_active=False)
    assert explain(State()) == (
        f"No model is active: activate version {version.pk} in the admin or with POST /train/reload,"
        " or restore a backup."
    )
    VersionFactory.create(verification_error="damaged")  # which a reload would activate
    assert explain(State()) == (
        f"No model is active: activate version {version.pk} in the admin, or restore a backup."
    )
    ModelVersion.objects.update(pruned_at=timezone.now())
    assert explain(State()).startswith("No model is active: train one with POST /train")


def test_reports_are_answered_as_the_same_anomalies_in_a_frame(version: ModelVersion) -> None:
    leak = {"description": "fuite vapeur", "equipment_id": "eq-1", "section": "34MC"}
    noise = {"description": "bruit", "equipment_id": "eq-9", "equipment_name": "Pompe", "system": "eau"}
    frame = frames.anomalies_frame([Anomaly(**leak), Anomaly(**noise)])
    answered = predict(reports=validate_many([leak, noise]), model=serving_model())
    assert list(answered) == list(services._suggested(serving_model(), frame))
