from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from predictions.admin import with_suggestions
from predictions.models import Prediction
from tests.factories import AnomalyFactory, ApprovedFactory, VersionFactory
from tests.training.admin.people import staff, superuser
from training.models import Anomaly, ModelVersion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_model")]
LIST = reverse("admin:training_anomaly_changelist")


def suggest(anomaly: Anomaly, version: ModelVersion, *scores: int) -> Prediction:
    availability, fiability, process_safety = scores
    prediction: Prediction = Prediction.objects.create(
        anomaly=anomaly,
        model_version=version,
        availability_score=availability,
        fiability_score=fiability,
        process_safety_score=process_safety,
        distributions={"availability": [0.1, 0.2, 0.5, 0.1, 0.1]},
        confidence=0.873,
    )
    return prediction


@pytest.fixture
def active() -> ModelVersion:
    version: ModelVersion = VersionFactory.create(is_active=True)
    return version


def test_known_is_what_was_reviewed_or_else_what_the_active_version_suggests(active: ModelVersion) -> None:
    old = VersionFactory.create()
    unscored, scored, unknown = AnomalyFactory.create(), ApprovedFactory.create(), AnomalyFactory.create()
    suggest(unscored, old, 1, 1, 1)
    suggest(unscored, active, 5, 1, 5)
    suggest(scored, active, 5, 5, 5)
    rows: Any = with_suggestions(Anomaly.objects.all())
    assert {(row.pk, row.suggested) for row in rows} == {
        (unscored.pk, 11.0),
        (scored.pk, 15.0),
        (unknown.pk, None),
    }
    client = staff("training.view_anomaly")
    for band, expected in {"normal": [scored], "high": [], "critical": [unscored]}.items():
        found = client.get(f"{LIST}?band={band}").context["cl"].result_list
        assert list(found) == expected


def test_the_list_shows_and_filters_what_is_suggested(active: ModelVersion) -> None:
    critical, normal = AnomalyFactory.create_batch(2)
    suggest(critical, active, 5, 1, 5)
    suggest(normal, active, 1, 1, 1)
    client = staff("training.view_anomaly")
    html = client.get(LIST).content.decode()
    assert "11 · critical" in html
    assert "3 · normal" in html
    found = client.get(f"{LIST}?status__exact=pending&band=critical").context["cl"].result_list
    assert list(found) == [critical]
    column = client.get(LIST).context["cl"].list_display.index("suggested_badge")
    ordered = client.get(f"{LIST}?o=-{column}").context["cl"].result_list
    assert list(ordered) == [normal, critical]  # no index has that order: the newest first, as always


def test_a_flag_stands_where_a_person_should_look(active: ModelVersion) -> None:
    flag, hidden = AnomalyFactory.create_batch(2)
    rare = suggest(flag, active, 1, 1, 1)
    suggest(flag, VersionFactory.create(), 1, 1, 1)
    suggest(hidden, active, 1, 1, 1)
    client = staff("training.view_anomaly", "training.review_anomaly", "predictions.view_prediction")
    predictions = reverse("admin:predictions_prediction_changelist")
    pages = [LIST, predictions, reverse("admin:training_anomaly_change", args=[flag.pk])]
    assert [client.get(page).content.decode().count("⚑") for page in pages] == [0, 0, 0]
    Prediction.objects.filter(anomaly=flag).update(needs_attention=True)
    html = client.get(LIST).content.decode()
    assert html.count("⚑") == 1
    assert 'title="Needs attention: the chance of a serious score is at least one in four."' in html
    assert [client.get(page).content.decode().count("⚑") for page in pages] == [1, 2, 1]
    found = client.get(f"{predictions}?needs_attention__exact=1&model_version={active.pk}")
    assert list(found.context["cl"].result_list) == [rare]


def test_the_bands_follow_the_direction_of_the_scale(active: ModelVersion, settings: Settings) -> None:
    settings.SCORE_DIRECTION = "1_is_most_critical"
    anomaly = AnomalyFactory.create()
    suggest(anomaly, active, 1, 1, 1)
    client = staff("training.view_anomaly")
    assert "3 · critical" in client.get(LIST).content.decode()
    assert client.get(f"{LIST}?band=critical").context["cl"].result_count == 1


def test_the_form_shows_the_newest_suggestion_above_the_scores(active: ModelVersion) -> None:
    anomaly = AnomalyFactory.create()
    page = reverse("admin:training_anomaly_change", args=[anomaly.pk])
    client = staff("training.view_anomaly", "training.review_anomaly")
    assert "none yet" in client.get(page).content.decode()
    suggest(anomaly, active, 5, 1, 3)
    html = client.get(page).content.decode()
    assert html.index("5 · 1 · 3") < html.index('name="availability_score"')
    assert f"confidence 87 %, {active}" in html


def test_saving_the_form_leaves_the_prediction_alone(active: ModelVersion) -> None:
    anomaly = AnomalyFactory.create()
    prediction = suggest(anomaly, active, 5, 1, 3)
    scores = {"availability_score": "1", "fiability_score": "1", "process_safety_score": "1"}
    client = staff("training.view_anomaly", "training.review_anomaly")
    client.post(reverse("admin:training_anomaly_change", args=[anomaly.pk]), scores | {"_approve": ""})
    anomaly.refresh_from_db()
    prediction.refresh_from_db()
    assert (anomaly.criticality, prediction.availability_score) == (3.0, 5)


def test_predictions_are_read_only(active: ModelVersion) -> None:
    prediction = suggest(AnomalyFactory.create(), active, 5, 1, 3)
    client = superuser()
    html = client.get(reverse("admin:predictions_prediction_changelist")).content.decode()
    assert "5 · 1 · 3" in html
    assert "9 · critical" in html
    assert "87 %" in html
    page = reverse("admin:predictions_prediction_change", args=[prediction.pk])
    assert client.post(page, {"availability_score": "1"}).status_code == 403


def test_predictions_are_filtered_by_band_and_by_what_was_reported(active: ModelVersion) -> None:
    pump = AnomalyFactory.create(equipment_id="pump-1", section="34MC")
    valve = ApprovedFactory.create(equipment_id="valve-7", section="34EL")
    critical, normal = suggest(pump, active, 5, 1, 5), suggest(valve, active, 1, 1, 1)
    client, page = superuser(), reverse("admin:predictions_prediction_changelist")
    for query, expected in {
        "band=critical": [critical],
        "band=normal": [normal],
        "band=high": [],
        "band=nonsense": [normal, critical],
        "equipment=pump-1": [critical],
        "equipment=nowhere": [],
        "anomaly__section=34EL": [normal],
        "anomaly__status__exact=pending": [critical],
        "anomaly__status__exact=pending&band=normal": [],
    }.items():
        assert list(client.get(f"{page}?{query}").context["cl"].result_list) == expected, query


def test_predictions_are_ordered_by_each_column(active: ModelVersion) -> None:
    old = VersionFactory.create()  # its number is the greater one
    rows = [suggest(AnomalyFactory.create(), version, 5, 1, 3) for version in (active, old, active)]
    for row, confidence in zip(rows, (0.9, 0.5, 0.7), strict=True):
        Prediction.objects.filter(pk=row.pk).update(confidence=confidence)
    client, page = superuser(), reverse("admin:predictions_prediction_changelist")
    columns = client.get(page).context["cl"].list_display
    first, second, third = rows
    orders = {
        "confidence_in_percent": [second, third, first],
        "version": [third, first, second],
        "created_at": [first, second, third],
    }
    for column, expected in orders.items():
        found = client.get(f"{page}?o={columns.index(column)}").context["cl"].result_list
        assert list(found) == expected
        found = client.get(f"{page}?o=-{columns.index(column)}").context["cl"].result_list
        assert list(found) == ([second, third, first] if column == "version" else expected[::-1])


def test_a_version_to_filter_by_is_searched_for(active: ModelVersion) -> None:
    """Rather than chosen from a list of all that there ever were."""
    old = VersionFactory.create()
    rare, _other = (
        suggest(AnomalyFactory.create(), old, 5, 1, 3),
        suggest(AnomalyFactory.create(), active, 5, 1, 3),
    )
    client, page = superuser(), reverse("admin:predictions_prediction_changelist")
    assert f'value="{old.pk}"' not in client.get(page).content.decode()
    of = {"app_label": "predictions", "model_name": "prediction", "field_name": "model_version"}
    found = client.get(reverse("admin:autocomplete"), of | {"term": str(old.pk)}).json()
    assert found["results"] == [{"id": str(old.pk), "text": str(old)}]
    chosen = client.get(page, {"model_version__id__exact": old.pk})
    assert list(chosen.context["cl"].result_list) == [rare]
    assert f'<option value="{old.pk}" selected>{old}</option>' in chosen.content.decode()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("path", "queries"), [("training_anomaly", 7), ("predictions_prediction", 9)])
def test_lists_cost_the_same_for_one_and_for_three(
    path: str,
    queries: int,
    count: int,
    active: ModelVersion,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client = superuser()
    for _ in range(count):
        suggest(AnomalyFactory.create(), active, 5, 1, 3)
    with django_assert_num_queries(queries):
        client.get(reverse(f"admin:{path}_changelist"))
