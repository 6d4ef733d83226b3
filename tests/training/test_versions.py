import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from tests.factories import UserFactory, VersionFactory
from training import artifacts, versions
from training.errors import FrozenError, GateRefusedError, NotAllowedNowError, UnservableVersionError
from training.models import Activation, ModelVersion
from training.policy import change_policy, freeze, lift_freeze

pytestmark = pytest.mark.django_db


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of versions that cannot be loaded: the files are the artifacts' tests' matter."""
    broken: set[str] = set()

    def load(version: ModelVersion) -> None:
        if version.name in broken:
            raise UnservableVersionError(f"{version.name} is broken")

    monkeypatch.setattr(artifacts, "load_scorer", load)
    return broken


def test_one_version_serves_and_the_log_says_who(loads: set[str]) -> None:
    first, second = VersionFactory.create_batch(2)
    user = UserFactory.create()
    versions.activate_version(version=first)
    assert versions.activate_version(version=second, user=user).is_active
    assert ModelVersion.objects.active() == second
    log = Activation.objects.values_list("version", "reason", "activated_by")
    assert list(log) == [(second.pk, "request", user.pk), (first.pk, "request", None)]


def test_activating_the_active_version_logs_nothing(loads: set[str]) -> None:
    version = VersionFactory.create()
    versions.activate_version(version=version)
    versions.activate_version(version=version)
    assert Activation.objects.count() == 1


def test_a_version_that_does_not_load_never_replaces_one_that_does(loads: set[str]) -> None:
    works, broken = VersionFactory.create_batch(2)
    loads.add(broken.name)
    versions.activate_version(version=works)
    with pytest.raises(UnservableVersionError, match="is broken"):
        versions.reload_newest()
    assert ModelVersion.objects.active() == works


def test_a_pruned_version_is_not_activated(loads: set[str]) -> None:
    version = VersionFactory.create(pruned_at=timezone.now())
    with pytest.raises(UnservableVersionError, match="were removed"):
        versions.activate_version(version=version)
    with pytest.raises(NotAllowedNowError):
        versions.set_active(version=version, reason=Activation.Reason.REQUEST)
    assert ModelVersion.objects.active() is None
    assert not Activation.objects.exists()


def test_reload_takes_the_newest(loads: set[str]) -> None:
    versions_made = VersionFactory.create_batch(3)
    assert versions.reload_newest() == versions_made[-1]


def test_reload_without_a_version_says_so(loads: set[str]) -> None:
    with pytest.raises(UnservableVersionError, match="No model has been trained yet"):
        versions.reload_newest()


def test_reload_does_not_undo_a_restore(loads: set[str]) -> None:
    older, _newer = VersionFactory.create_batch(2, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    versions.set_active(version=older, reason=Activation.Reason.RESTORE)
    assert versions.reload_newest() == older
    trained_since = VersionFactory.create(created_at=timezone.now())
    assert versions.reload_newest() == trained_since


# --- Frozen, refused, rolled back, kept back ---------------------------------------------------


def refused(**values: Any) -> ModelVersion:
    comparison = {"passed": False, "sentence": "Worse on fiability.", "candidate": {}, "champion": {}}
    version: ModelVersion = VersionFactory.create(comparison=comparison, **values)
    return version


def served(*made: ModelVersion) -> None:
    """One after the other."""
    for version in made:
        versions.set_active(version=version, reason=Activation.Reason.REQUEST)


def test_what_is_frozen_is_neither_activated_nor_reloaded(loads: set[str]) -> None:
    first, second = VersionFactory.create_batch(2)
    served(first)
    freeze(user=None, reason="outage")
    with pytest.raises(FrozenError, match="outage"):
        versions.activate_version(version=second, note="now")
    assert versions.reload_newest() == first
    assert versions.activate_version(version=first) == first
    lift_freeze(user=None)
    assert versions.reload_newest() == second


def test_a_freeze_keeps_nothing_when_nothing_serves(loads: set[str]) -> None:
    version = VersionFactory.create()
    freeze(user=None, reason="outage")
    assert versions.reload_newest() == version


def test_the_gate_is_overridden_with_a_reason_that_is_kept(loads: set[str]) -> None:
    champion, candidate, user = VersionFactory.create(), refused(), UserFactory.create()
    served(champion)
    for note in ("", "  "):
        with pytest.raises(GateRefusedError, match=r"Worse on fiability\. To activate it all the same"):
            versions.activate_version(version=candidate, user=user, note=note)
    assert ModelVersion.objects.active() == champion
    versions.activate_version(version=candidate, user=user, note=" new unit ")
    entry = Activation.objects.latest("pk")
    assert (entry.version, entry.reason, entry.note, entry.activated_by) == (
        candidate,
        "override",
        "new unit",
        user,
    )


def test_no_reason_is_asked_for_where_nothing_is_replaced(loads: set[str]) -> None:
    version = refused()
    versions.activate_version(version=version)
    versions.activate_version(version=version)
    assert Activation.objects.get().reason == "request"


def test_a_reload_takes_the_newest_whatever_the_gate_said(loads: set[str]) -> None:
    served(VersionFactory.create())
    candidate = refused()
    assert versions.reload_newest() == candidate
    assert Activation.objects.latest("pk").reason == "reload"


def test_the_database_keeps_one_active_version() -> None:
    VersionFactory.create(is_active=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        VersionFactory.create(is_active=True)
    other = VersionFactory.create()
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.filter(pk=other.pk).update(is_active=True)
    assert ModelVersion.objects.filter(is_active=True).count() == 1


def test_the_database_keeps_no_override_without_a_reason() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Activation.objects.create(version=VersionFactory.create(), reason="override")


def test_rolling_back_leads_back_step_by_step(loads: set[str]) -> None:
    first, second, third = VersionFactory.create_batch(3)
    assert versions.version_before() is None
    served(first, second, third)
    user = UserFactory.create()
    with pytest.raises(NotAllowedNowError, match="is not the version that served before"):
        versions.roll_back(version=first)
    assert versions.roll_back(version=second, user=user) == second
    entry = Activation.objects.latest("pk")
    assert (entry.version, entry.reason, entry.activated_by) == (second, "rollback", user)
    assert versions.version_before() == first
    versions.roll_back(version=first)
    assert versions.version_before() is None


def test_the_way_back_is_open_when_frozen_and_past_what_cannot_serve(loads: set[str]) -> None:
    first, pruned, damaged = refused(), VersionFactory.create(), VersionFactory.create()
    served(first, pruned, damaged, VersionFactory.create())
    ModelVersion.objects.filter(pk=pruned.pk).update(pruned_at=timezone.now())
    ModelVersion.objects.filter(pk=damaged.pk).update(verification_error="truncated")
    freeze(user=None, reason="outage")
    assert versions.roll_back(version=first) == first


def test_the_champion_is_kept_once(loads: set[str]) -> None:
    champion, candidate, user = VersionFactory.create(), VersionFactory.create(), UserFactory.create()
    served(champion)
    versions.keep_champion(candidate=candidate, user=user)
    candidate.refresh_from_db()
    assert (candidate.declined_by, candidate.is_active) == (user, False)
    assert candidate.declined_at is not None
    for version in (candidate, champion):
        with pytest.raises(NotAllowedNowError):
            versions.keep_champion(candidate=version, user=user)
    assert versions.activate_version(version=candidate).declined_at is None


def measured(availability: float, fiability: float, process_safety: float) -> dict[str, Any]:
    values = {"availability": availability, "fiability": fiability, "process_safety": process_safety}
    return {target: {"mae": mae} for target, mae in values.items()}


@pytest.mark.parametrize(
    ("candidate", "passed", "sentence"),
    [
        (measured(0.24, 0.15, 0.30), True, "Not worse than the champion: mean MAE +0.000"),
        (measured(0.22, 0.15, 0.30), True, "Not worse than the champion: mean MAE -0.007"),
        (measured(0.25, 0.16, 0.31), False, "Worse than the champion: mean MAE +0.010"),
        (measured(0.20, 0.15, 0.33), False, "Worse on process_safety: MAE 0.330, not 0.300"),
    ],
)  # fmt: skip
def test_the_gate(candidate: dict[str, Any], passed: bool, sentence: str) -> None:
    verdict = versions.compare(candidate, measured(0.24, 0.15, 0.30))
    assert verdict["passed"] is passed
    assert verdict["sentence"] == f"{sentence} on the same held-out records."


def test_the_gate_without_a_champion_or_a_measure() -> None:
    assert versions.compare(measured(1, 1, 1), None)["passed"] is True
    unmeasured = {target: {"mae": None} for target in ("availability", "fiability", "process_safety")}
    assert versions.compare(unmeasured, measured(1, 1, 1))["passed"] is False


def test_pruning_keeps_the_newest_and_the_active(loads: set[str]) -> None:
    made = VersionFactory.create_batch(5)
    versions.activate_version(version=made[0])
    assert versions.prune_versions(keep=2) == [made[2].name, made[1].name]
    kept = ModelVersion.objects.filter(pruned_at=None).values_list("pk", flat=True)
    assert list(kept) == [made[4].pk, made[3].pk, made[0].pk]


def test_the_policy_says_how_many_are_kept() -> None:
    made = VersionFactory.create_batch(3)
    assert versions.prunable_versions() == []
    change_policy(user=None, changes={"keep_versions": 1})
    assert versions.prunable_versions() == [made[1], made[0]]


class TestFreezeDuringAnActivation:
    """Somebody freezes what serves while the version is loaded: the freeze is not too late."""

    @pytest.fixture
    def candidate(self, db: None, monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
        VersionFactory.create(is_active=True)

        def load_and_freeze(version: ModelVersion) -> None:
            freeze(user=None, reason="revision")

        monkeypatch.setattr(artifacts, "load_scorer", load_and_freeze)
        version: ModelVersion = VersionFactory.create()
        return version

    def test_by_hand(self, candidate: ModelVersion) -> None:
        with pytest.raises(FrozenError, match="revision"):
            versions.activate_version(version=candidate)
        assert ModelVersion.objects.active() != candidate
        assert not Activation.objects.exists()

    def test_by_a_reload_what_serves_goes_on(self, candidate: ModelVersion) -> None:
        assert versions.reload_newest() == ModelVersion.objects.active() != candidate

    def test_the_ways_back_stay_open(self, candidate: ModelVersion) -> None:
        versions.activate_version(version=candidate, reason=Activation.Reason.ROLLBACK)
        assert ModelVersion.objects.active() == candidate


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite lets one transaction write at a time")
def test_whoever_freezes_waits_for_an_activation_under_way() -> None:
    VersionFactory.create(is_active=True)
    candidate = VersionFactory.create()
    frozen = threading.Event()

    def freeze_it() -> None:
        freeze(user=None, reason="revision")
        frozen.set()
        connections.close_all()

    thread = threading.Thread(target=freeze_it)
    with transaction.atomic():
        versions.set_active(version=candidate, reason=Activation.Reason.REQUEST)
        thread.start()
        assert not frozen.wait(0.5)
    thread.join(30)
    assert frozen.is_set()
    assert connection.vendor == "postgresql"
    with pytest.raises(FrozenError):
        versions.set_active(version=VersionFactory.create(), reason=Activation.Reason.REQUEST)
