from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from predictions import explanations
from predictions.explanations import Reasons, explain_prediction, explain_reports
from predictions.models import Prediction
from predictions.services import predict, serving_model, suggest
from predictions.validation import validate_many
from tests.factories import AnomalyFactory, ApprovedFactory, VersionFactory
from tests.predictions.published import publish_version, training_frame
from training import artifacts
from training.errors import (
    InvalidRecordsError,
    ModelNotLoadedError,
    NotAllowedNowError,
    UnservableVersionError,
)
from training.ml.records import SCORE_COLUMNS, TARGETS
from training.models import Anomaly, ModelVersion

pytestmark = pytest.mark.django_db

LEAK = {
    "anomaly_id": "A-1",
    "description": "Fuite vapeur n3",
    "equipment_id": "eq-0",
    "equipment_name": "Vanne",
}
SHAKE = {"description": "vibration palier", "equipment_id": "eq-2"}


def approve_what_was_learned(texts: str = "fuite vapeur") -> list[Anomaly]:
    """The rows of the version's training set that begin so, approved with other scores than it learned."""
    frame = training_frame()
    return [
        ApprovedFactory.create(anomaly_id=report["anomaly_id"], description=report["description"])
        for _, report in frame[frame["description"].str.startswith(texts)].iterrows()
    ]


def explained(*records: dict[str, str], with_similar: bool = True) -> list[Reasons]:
    return explain_reports(
        reports=validate_many(list(records)), model=serving_model(), with_similar=with_similar
    )


def suggested(anomaly: Anomaly) -> Prediction:
    suggest(anomalies=[anomaly])
    return Prediction.objects.select_related("anomaly").get(anomaly=anomaly)


def ids(reasons: Reasons) -> list[str]:
    assert reasons.similar is not None
    return [found.anomaly.anomaly_id for found in reasons.similar]


def test_the_reasons_are_those_of_what_is_suggested(version: ModelVersion) -> None:
    reports = validate_many([LEAK, SHAKE])
    reasons = explain_reports(reports=reports, model=serving_model(), with_similar=False)
    scores = predict(reports=reports, model=serving_model())
    for why, suggestions in zip(reasons, scores, strict=True):
        for target, suggestion in zip(TARGETS, suggestions, strict=True):
            explanation = why.explanations[target]
            total = explanation.base + sum(found.value for found in explanation.contributions)
            assert total == pytest.approx(explanation.expected, abs=1e-9)
            assert round(explanation.expected, 4) == suggestion.expected
    safety = reasons[0].explanations["process_safety"].contributions
    assert {found.text for found in safety[:2]} == {"Fuite", "vapeur"}
    assert safety[0].value > 0


def test_similar_are_those_that_are_approved_with_the_scores_of_today(version: ModelVersion) -> None:
    approve_what_was_learned()
    Anomaly.objects.filter(anomaly_id="fuite vapeur-3").update(availability_score=4.5)
    (reasons,) = explained(LEAK)
    assert reasons.similar is not None
    first = reasons.similar[0]
    assert (first.anomaly.anomaly_id, first.similarity) == ("fuite vapeur-3", 1.0)
    assert first.anomaly.availability_score == 4.5
    assert len(reasons.similar) == 5
    assert [found.similarity for found in reasons.similar] == sorted(
        [found.similarity for found in reasons.similar], reverse=True
    )
    Anomaly.objects.exclude(anomaly_id="fuite vapeur-7").update(status=Anomaly.Status.REJECTED)
    assert ids(explained(LEAK)[0]) == ["fuite vapeur-7"]


def test_an_anomaly_is_not_similar_to_itself(version: ModelVersion) -> None:
    approve_what_was_learned()
    (reasons,) = explained(LEAK | {"anomaly_id": "fuite vapeur-3"})
    assert "fuite vapeur-3" not in ids(reasons)
    prediction = suggested(Anomaly.objects.get(anomaly_id="fuite vapeur-5"))
    assert "fuite vapeur-5" not in ids(explain_prediction(prediction=prediction))


def test_none_is_similar_when_it_was_not_asked(version: ModelVersion) -> None:
    approve_what_was_learned()
    assert explained(LEAK, with_similar=False)[0].similar is None


@pytest.mark.parametrize("count", [1, 3])
def test_similar_cost_one_query_however_many_ask(
    version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    approve_what_was_learned()
    model, reports = serving_model(), validate_many([LEAK] * count)
    explain_reports(reports=reports, model=model, with_similar=True)
    with django_assert_num_queries(1):
        reasons = explain_reports(reports=reports, model=model, with_similar=True)
    assert [len(ids(why)) for why in reasons] == [5] * count


def test_the_records_are_loaded_with_the_first_question_and_once(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[ModelVersion] = []
    load = artifacts.load_neighbours

    def counting(version: ModelVersion) -> Any:
        loaded.append(version)
        return load(version)

    monkeypatch.setattr(artifacts, "load_neighbours", counting)
    explained(LEAK, with_similar=False)
    assert loaded == []
    explained(LEAK)
    explained(SHAKE)
    assert loaded == [version]


def test_damaged_records_are_not_loaded_and_the_model_keeps_serving(version: ModelVersion) -> None:
    model = serving_model()
    (artifacts.directory_of(version) / "neighbours.pkl").write_bytes(b"damaged")
    with pytest.raises(UnservableVersionError, match=r"^'neighbours\.pkl' in published_1 is truncated"):
        explained(LEAK)
    assert serving_model() is model
    assert len(explained(LEAK, with_similar=False)) == 1


def test_a_hundred_at_a_time(version: ModelVersion) -> None:
    assert len(explained(*[SHAKE] * 100)) == 100
    with pytest.raises(InvalidRecordsError) as raised:
        explained(*[SHAKE] * 101)
    assert raised.value.errors == ["Reasons are given for up to 100 anomalies, got 101"]


def test_a_prediction_is_explained_by_the_version_that_made_it(version: ModelVersion) -> None:
    prediction = suggested(AnomalyFactory.create(description="fuite vapeur"))
    reasons = explain_prediction(prediction=prediction)
    for target, explanation in reasons.explanations.items():
        shares = prediction.distributions[target]
        mean = sum(score * share for score, share in enumerate(shares, start=1))
        assert explanation.expected == pytest.approx(mean, abs=0.001)
    newer = publish_version(is_active=True)
    with pytest.raises(NotAllowedNowError) as raised:
        explain_prediction(prediction=prediction)
    assert str(raised.value) == (
        f"Version {version.pk} made this suggestion, and version {newer.pk} serves:"
        " only the version that serves gives reasons."
    )


def test_a_report_that_has_changed_since_is_not_explained(version: ModelVersion) -> None:
    anomaly = AnomalyFactory.create(description="fuite vapeur")
    prediction = suggested(anomaly)
    Anomaly.objects.filter(pk=anomaly.pk).update(description="vibration palier")
    prediction.anomaly.refresh_from_db()
    with pytest.raises(NotAllowedNowError, match=r"^The report has changed since the suggestion was made: "):
        explain_prediction(prediction=prediction)


def test_rounded_distributions_are_close_enough(version: ModelVersion) -> None:
    """The most that rounding five shares to four decimals can do to their mean, and no more."""
    anomaly = AnomalyFactory.create(description="fuite vapeur")
    prediction = suggested(anomaly)
    safety = explain_prediction(prediction=prediction).explanations["process_safety"]
    assert pytest.approx(0.00075) == explanations.ROUNDING
    for excess, is_refused in ((0.0007, False), (0.0008, True)):
        prediction.distributions["process_safety"] = [safety.expected + excess, 0, 0, 0, 0]
        try:
            explain_prediction(prediction=prediction)
        except NotAllowedNowError:
            assert is_refused
        else:
            assert not is_refused


def test_before_the_first_model(db: None) -> None:
    prediction = Prediction.objects.create(
        anomaly=AnomalyFactory.create(),
        model_version=VersionFactory.create(),
        distributions={},
        confidence=1,
        **dict.fromkeys(SCORE_COLUMNS, 1),
    )
    with pytest.raises(ModelNotLoadedError):
        explain_prediction(prediction=prediction)
