from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.factories import VersionFactory
from tests.trained import approved_records, trained_version
from tests.training.admin.people import said, staff, superuser, user_of
from training import artifacts, frames
from training.ml.fitting import fit_and_measure
from training.models import Activation, ModelVersion

pytestmark = pytest.mark.django_db
LIST = reverse("admin:training_modelversion_changelist")
MAY_ACTIVATE = ("training.view_modelversion", "training.activate_modelversion")
TARGETS = ("availability", "fiability", "process_safety")


def page(version: ModelVersion, name: str = "change") -> str:
    return reverse(f"admin:training_modelversion_{name}", args=[version.pk])


def measured(mae: float) -> dict[str, Any]:
    """As `training.ml.fitting` stores them, with the figures that a list shows."""
    figures = {target: {"mae": mae, "confusion_matrix": []} for target in TARGETS}
    return {"rows": 40, "model": figures, "dummy": figures}


def comparison(*, passed: bool) -> dict[str, Any]:
    return {
        "passed": passed,
        "candidate": dict.fromkeys(TARGETS, 0.25),
        "champion": dict.fromkeys(TARGETS, 0.5),
    }


@pytest.fixture
def champion() -> ModelVersion:
    version: ModelVersion = VersionFactory.create(is_active=True, metrics=measured(0.5))
    return version


def test_the_page_before_an_activation_sets_both_side_by_side(champion: ModelVersion) -> None:
    candidate = VersionFactory.create(metrics=measured(0.25), comparison=comparison(passed=True))
    confirmation = staff(*MAY_ACTIVATE).get(page(candidate, "activate")).context["confirmation"]
    assert confirmation.changes == [
        f"The model that serves changes: {champion} → {candidate}.",
        f"Held-out MAE (availability · fiability · safety) of {candidate}: 0.250 · 0.250 · 0.250",
        f"Held-out MAE (availability · fiability · safety) of {champion}: 0.500 · 0.500 · 0.500",
        "Not worse than the champion: MAE 0.250 · 0.250 · 0.250, the champion's 0.500 · 0.500 · 0.500.",
        "The files are verified first; a version that cannot be loaded never serves.",
    ]
    assert confirmation.way_back == f"{champion} stays stored and can be activated again."
    champion.refresh_from_db()
    assert champion.is_active


def test_activate_lets_the_version_serve(champion: ModelVersion) -> None:
    approved_records()
    candidate = trained_version()
    client = staff(*MAY_ACTIVATE)
    response = client.post(page(candidate, "activate"))
    assert said(response) == [f"{candidate} serves now, in every web process."]
    assert ModelVersion.objects.active() == candidate
    activation = Activation.objects.get()
    assert (activation.version, activation.reason, activation.activated_by) == (
        candidate,
        "request",
        user_of(client),
    )


def test_a_damaged_version_is_refused_in_a_message_and_the_champion_keeps_serving(
    champion: ModelVersion,
) -> None:
    approved_records()
    candidate = trained_version()
    (artifacts.directory_of(candidate) / "features.pkl").write_bytes(b"x")
    response = staff(*MAY_ACTIVATE).post(page(candidate, "activate"))
    candidate.refresh_from_db()
    assert said(response) == [candidate.verification_error]
    assert candidate.verification_error
    assert ModelVersion.objects.active() == champion


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_only_look_does_not_activate(method: str, champion: ModelVersion) -> None:
    candidate = VersionFactory.create()
    client = staff("training.view_modelversion")
    assert getattr(client, method)(page(candidate, "activate")).status_code == 403
    assert ModelVersion.objects.active() == champion
    assert client.get(page(candidate)).context["actions_detail"] == []


def test_the_button_is_there_when_it_can_do_something(champion: ModelVersion) -> None:
    client = staff(*MAY_ACTIVATE)
    candidate = VersionFactory.create()
    pruned = VersionFactory.create(pruned_at=timezone.now())
    shown = {
        version: [action["title"] for action in client.get(page(version)).context["actions_detail"]]
        for version in (champion, candidate, pruned)
    }
    assert shown == {champion: [], candidate: ["Activate"], pruned: []}


def test_the_state_is_a_word() -> None:
    VersionFactory.create(is_active=True)
    VersionFactory.create()
    VersionFactory.create(verification_error="features.pkl is truncated")
    VersionFactory.create(pruned_at=timezone.now())
    html = superuser().get(LIST).content.decode()
    for word in ("active", "stored", "damaged", "files removed"):
        assert f"\n{word}\n" in html


def test_the_figures_stand_side_by_side_and_the_rest_is_folded() -> None:
    approved_records(40)
    trained = fit_and_measure(frames.approved_frame())
    version = VersionFactory.create(
        metrics=trained.metrics,
        comparison=comparison(passed=False) | {"champion_metrics": trained.metrics["dummy"]},
    )
    response = superuser().get(page(version))
    figures = response.context["figures"]
    availability = trained.metrics["model"]["availability"]
    dummy = trained.metrics["dummy"]["availability"]
    assert figures["rows"] == trained.metrics["rows"]
    assert figures["verdict"].startswith("Worse than the champion: MAE 0.250")
    assert figures["targets"][0]["deciding"][0]["values"] == [
        f"{availability['mae']:.3f}",
        f"{dummy['mae']:.3f}",
        f"{dummy['mae']:.3f}",
    ]
    words = [str(row["word"]).replace("\xa0", " ") for row in figures["targets"][0]["deciding"]]
    assert words == [
        "MAE",
        "recall ≥ 4",
        "precision ≥ 4",
        "recall, needs attention",
        "precision, needs attention",
    ]
    assert figures["targets"][0]["confusion"] == availability["confusion_matrix"]
    html = response.content.decode()
    assert html.count("<details>") == 3
    assert html.count('class="tp-confusion"') == 3


def test_a_version_without_held_out_records_says_so() -> None:
    html = superuser().get(page(VersionFactory.create())).content.decode()
    assert "Too few records to hold some out: nothing was measured." in html


def test_the_time_line_says_when_nothing_served() -> None:
    Activation.objects.create(version=None, reason=Activation.Reason.RESTORE)
    html = superuser().get(reverse("admin:training_activation_changelist")).content.decode()
    assert "no model" in html
    assert "restored from a backup" in html


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("name", "queries"), [("modelversion", 5), ("activation", 5)], ids=["versions", "activations"]
)
def test_lists_cost_the_same_for_one_and_for_three(
    name: str, queries: int, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    for _ in range(count):
        version = VersionFactory.create(metrics=measured(0.5), comparison=comparison(passed=True))
        Activation.objects.create(version=version, reason="request", activated_by=user_of(client))
    with django_assert_num_queries(queries):
        client.get(reverse(f"admin:training_{name}_changelist"))
