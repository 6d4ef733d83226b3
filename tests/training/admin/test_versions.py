from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.factories import UserFactory, VersionFactory
from tests.trained import approved_records, trained_version
from tests.training.admin.people import said, staff, superuser, user_of
from training import artifacts, frames
from training.ml.fitting import fit_and_measure
from training.models import Activation, ModelVersion
from training.policy import freeze

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
    assert shown == {champion: [], candidate: ["Activate", "Keep the champion"], pruned: []}


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
        comparison=comparison(passed=False)
        | {"champion_version": 7, "champion_metrics": trained.metrics["dummy"]},
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
    assert words == ["MAE", "recall ≥ 4"]
    assert (str(figures["version"]), figures["champion"]) == (f"version {version.pk}", "version 7")
    assert [
        [int(cell.text) for cell in cells] for _score, cells in figures["targets"][0]["confusion"]
    ] == availability["confusion_matrix"]
    html = response.content.decode()
    assert html.count("<details>") == 3
    assert html.count('class="tp-confusion"') == 3


def test_each_score_has_its_recall_precision_and_records() -> None:
    model = {"mae": 0.5, "confusion_matrix": [[3, 1, 0], [1, 1, 0], [0, 0, 0]]}
    champion = {"mae": 0.5, "confusion_matrix": [[4, 0, 0], [2, 0, 0], [0, 0, 0]]}
    version = VersionFactory.create(
        metrics={"rows": 6} | {name: dict.fromkeys(TARGETS, model) for name in ("model", "dummy")},
        comparison=comparison(passed=True) | {"champion_metrics": dict.fromkeys(TARGETS, champion)},
    )
    classes = superuser().get(page(version)).context["figures"]["targets"][0]["classes"]
    assert [(row["score"], row["rows"].text, row["values"]) for row in classes] == [
        (1, "4", ["0.75", "1.00", "0.75", "0.67"]),
        (2, "2", ["0.50", "0.00", "0.50", "–"]),
        (3, "0", ["–", "–", "–", "–"]),
    ]


# --- Against the gate, keep the champion, roll back, frozen ------------------------------------


@pytest.fixture
def refused(champion: ModelVersion) -> ModelVersion:
    approved_records()
    return trained_version(metrics=measured(0.75), comparison=comparison(passed=False))


def test_against_the_gate_a_reason_is_asked_for_and_kept(refused: ModelVersion) -> None:
    client = staff(*MAY_ACTIVATE)
    assert list(client.get(page(refused, "activate")).context["confirmation"].form.fields) == ["reason"]
    response = client.post(page(refused, "activate"), {"reason": " "})
    assert (response.status_code, response.context["confirmation"].form.errors) == (
        200,
        {"reason": ["This field is required."]},
    )
    assert not Activation.objects.exists()
    client.post(page(refused, "activate"), {"reason": "new unit in service"})
    entry = Activation.objects.get()
    assert (entry.version, entry.reason, entry.note, entry.activated_by) == (
        refused,
        "override",
        "new unit in service",
        user_of(client),
    )
    html = superuser().get(reverse("admin:training_activation_changelist")).content.decode()
    assert "new unit in service" in html
    assert "activated against the gate" in html


def test_the_verdict_names_the_score_that_decided(champion: ModelVersion) -> None:
    maes = dict.fromkeys(TARGETS, 0.25)
    worse = comparison(passed=False) | {"candidate": maes | {"fiability": 0.3}, "champion": maes}
    candidate = VersionFactory.create(metrics=measured(0.25), comparison=worse)
    figures = superuser().get(page(candidate)).context["figures"]
    assert figures["verdict"] == "Worse on fiability: MAE 0.300, the champion's 0.250."


def test_what_passed_the_gate_needs_no_reason(champion: ModelVersion) -> None:
    candidate = VersionFactory.create(comparison=comparison(passed=True))
    assert staff(*MAY_ACTIVATE).get(page(candidate, "activate")).context["confirmation"].form is None


def test_keeping_the_champion_is_noted(champion: ModelVersion) -> None:
    candidate = VersionFactory.create()
    client = staff(*MAY_ACTIVATE)
    confirmation = client.get(page(candidate, "keep")).context["confirmation"]
    assert confirmation.title == f"Keep {champion}?"
    assert said(client.post(page(candidate, "keep"))) == [f"{champion} goes on serving."]
    candidate.refresh_from_db()
    assert candidate.declined_by == user_of(client)
    response = client.get(page(candidate))
    assert [action["title"] for action in response.context["actions_detail"]] == ["Activate"]
    assert "Champion kept by" in response.content.decode()
    assert "Champion kept by" not in client.get(page(champion)).content.decode()


@pytest.fixture
def earlier(champion: ModelVersion) -> ModelVersion:
    """What served before the champion."""
    approved_records()
    version = trained_version("version_0")
    Activation.objects.create(version=version, reason="first")
    Activation.objects.create(version=champion, reason="gate")
    return version


def test_one_button_rolls_back_to_what_served_before(champion: ModelVersion, earlier: ModelVersion) -> None:
    client = staff(*MAY_ACTIVATE)
    shown = client.get(LIST).context["actions_list"]
    assert [action["title"] for action in shown] == [f"Roll back to {earlier}"]
    response = client.get(reverse("admin:training_modelversion_roll_back_now"))
    assert response["Location"] == page(earlier, "roll_back")
    confirmation = client.get(page(earlier, "roll_back")).context["confirmation"]
    assert confirmation.changes[0] == f"The model that serves changes: {champion} → {earlier}."
    assert ModelVersion.objects.active() == champion
    response = client.post(page(earlier, "roll_back"))
    assert said(response) == [f"{earlier} serves again, in every web process."]
    assert ModelVersion.objects.active() == earlier
    entry = Activation.objects.latest("pk")
    assert (entry.reason, entry.activated_by) == ("rollback", user_of(client))


def test_without_an_earlier_one_there_is_no_way_back(champion: ModelVersion) -> None:
    client = staff(*MAY_ACTIVATE)
    assert client.get(LIST).context["actions_list"] == []
    response = client.get(reverse("admin:training_modelversion_roll_back_now"))
    assert (response["Location"], said(response)) == (LIST, ["No other version has served before."])
    response = client.get(page(champion, "roll_back"))
    assert response.context["confirmation"].is_possible is False
    client.post(page(champion, "roll_back"))
    assert not Activation.objects.exists()


def test_nothing_is_activated_while_frozen_but_the_way_back_is_open(
    champion: ModelVersion, earlier: ModelVersion
) -> None:
    freeze(user=UserFactory.create(username="ines"), reason="outage of unit 2")
    candidate = trained_version("version_2")
    client = staff(*MAY_ACTIVATE)
    confirmation = client.get(page(candidate, "activate")).context["confirmation"]
    assert confirmation.is_possible is False
    assert confirmation.changes[0].startswith("Frozen by ines since ")
    assert confirmation.changes[0].endswith("until somebody lifts it: outage of unit 2")
    assert said(client.post(page(candidate, "activate"))) == [
        "Nothing was changed: training and activation are frozen. Lift the freeze first."
    ]
    assert ModelVersion.objects.active() == champion
    client.post(page(earlier, "roll_back"))
    assert ModelVersion.objects.active() == earlier


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", ["keep", "roll_back"])
def test_who_may_only_look_decides_nothing(
    name: str, method: str, champion: ModelVersion, earlier: ModelVersion
) -> None:
    client = staff("training.view_modelversion")
    assert getattr(client, method)(page(earlier, name)).status_code == 403
    assert client.get(LIST).context["actions_list"] == []
    assert client.get(reverse("admin:training_modelversion_roll_back_now")).status_code == 403
    assert ModelVersion.objects.active() == champion


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
    ("name", "queries"), [("modelversion", 8), ("activation", 8)], ids=["versions", "activations"]
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
