"""One attempt at a training, step by step, on real tiny models."""

import errno
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.factories import ApprovedFactory, SessionFactory
from training import artifacts, backups, frames, runner, sessions, supervisor, versions
from training.errors import LeaseLostError
from training.ml import bundle
from training.ml.records import SCORE_COLUMNS, TARGETS
from training.models import Activation, Anomaly, Backup, ModelVersion, SessionLogEntry, TrainingSession
from training.policy import change_policy, freeze
from training.runner import run_attempt

pytestmark = pytest.mark.django_db

Status = TrainingSession.Status
Step = TrainingSession.Step
Trigger = TrainingSession.Trigger

HELD_OUT = 4  # of the twelve texts


@pytest.fixture(autouse=True)
def approved() -> None:
    """The text decides what is held out: the same texts in every test."""
    for n in range(12):
        ApprovedFactory.create(description=f"fuite vapeur vanne {n}")


def claimed(**fields: Any) -> TrainingSession:
    session: TrainingSession = SessionFactory.create(**fields)
    assert sessions.claim(session.pk) == 1
    session.refresh_from_db()
    return session


def run(session: TrainingSession) -> TrainingSession:
    run_attempt(session.pk, session.attempts)
    session.refresh_from_db()
    return session


def trained(**fields: Any) -> ModelVersion:
    """The version of a new session."""
    version = run(claimed(**fields)).model_version
    assert version is not None
    return version


def champion() -> ModelVersion:
    return versions.activate_version(version=trained())


def files_of(root: Path) -> list[Path]:
    return sorted(root.glob("model_versions/*"))


class TestSuccess:
    def test_the_version(self) -> None:
        before = timezone.now()
        version = trained()
        frame = frames.approved_frame()
        assert version.dataset_rows == 12
        assert version.dataset_fingerprint == frames.fingerprint(frame)
        assert before < version.dataset_read_at < version.created_at < timezone.now()
        assert set(version.libraries) == {"python", "scikit-learn", "numpy", "scipy"}
        assert version.metrics["protocol"] == "grouped_holdout"
        assert (version.metrics["train_rows"], version.metrics["rows"]) == (12 - HELD_OUT, HELD_OUT)
        assert set(version.metrics["model"]) == set(version.metrics["dummy"]) == set(TARGETS)
        assert version.statistics["availability"]["total_records"] == 12
        assert (version.is_active, version.verification_error) == (False, "")

    def test_its_files(self) -> None:
        version = trained()
        manifest = artifacts.verify(version)
        assert (manifest.digest, manifest.size_bytes) == (version.digest, version.size_bytes)
        predictions = artifacts.load_scorer(version).predict(frames.approved_frame())
        assert {target: list(predictions[target].score) for target in TARGETS} == {
            "availability": [2] * 12,
            "fiability": [1] * 12,
            "process_safety": [3] * 12,
        }

    def test_what_it_was_measured_on(self) -> None:
        records = artifacts.load_held_out(trained())
        known = {name: scores for name, *scores in Anomaly.objects.values_list("anomaly_id", *SCORE_COLUMNS)}
        assert len(records) == HELD_OUT
        assert [known[row.anomaly_id] for row in records.itertuples()] == [[2, 1, 3]] * HELD_OUT
        assert {tuple(row) for row in records[[f"{t}_suggested" for t in TARGETS]].to_numpy()} == {(2, 1, 3)}

    def test_the_session(self) -> None:
        session = run(claimed())
        assert (session.status, session.progress, session.reason) == (Status.SUCCEEDED, 100, "")
        assert session.finished_at is not None

    def test_the_backup_is_of_before(self) -> None:
        served = champion()
        session = run(claimed())
        assert session.backup is not None
        assert (session.backup.kind, session.backup.record_count) == (Backup.Kind.BEFORE_TRAINING, 12)
        assert session.backup.model_version == served

    def test_steps_in_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[tuple[str, int]] = []
        advance = sessions.advance

        def listen(session_id: int, attempt: int, step: TrainingSession.Step, progress: int) -> None:
            advance(session_id, attempt, step, progress)
            told.append((step.value, progress))

        monkeypatch.setattr(sessions, "advance", listen)
        run(claimed())
        assert list(dict.fromkeys(step for step, _ in told)) == [
            "backup",
            "load",
            "evaluate",
            "fit",
            "write",
            "publish",
        ]
        assert [progress for _, progress in told] == sorted(progress for _, progress in told)
        assert told[-1][1] < 100

    def test_one_record(self) -> None:
        Anomaly.objects.exclude(pk=Anomaly.objects.latest("pk").pk).delete()
        version = trained()
        assert (version.dataset_rows, version.metrics["rows"]) == (1, 0)
        assert artifacts.has_held_out(version) is False
        assert version.comparison["passed"] is False


class TestComparison:
    def test_without_a_champion(self) -> None:
        comparison = trained().comparison
        assert (comparison["passed"], comparison["sentence"]) == (
            True,
            "There was no champion to compare with.",
        )
        assert (comparison["champion_version"], comparison["champion_metrics"]) == (None, None)

    def test_with_the_champion_on_the_same_rows(self) -> None:
        served = champion()
        version = trained()
        assert version.comparison["champion_version"] == served.pk
        assert version.comparison["champion_metrics"] == version.metrics["model"]
        assert version.comparison["candidate"] == version.comparison["champion"]
        assert version.comparison["passed"] is True

    def test_a_damaged_champion_does_not_stop_its_successor(self) -> None:
        served = champion()
        (artifacts.directory_of(served) / bundle.TWIN).write_bytes(b"x")
        version = trained()
        assert version.comparison["champion_metrics"] is None


class TestActivation:
    @pytest.mark.parametrize("trigger", [Trigger.API, Trigger.ADMIN, Trigger.COMMAND])
    def test_only_scheduled_trainings_activate(self, trigger: TrainingSession.Trigger) -> None:
        assert trained(trigger=trigger).is_active is False
        assert not Activation.objects.exists()

    def test_scheduled_first(self) -> None:
        version = trained(trigger=Trigger.SCHEDULE)
        assert version.is_active is True
        assert Activation.objects.get().reason == Activation.Reason.FIRST

    def test_scheduled_and_not_worse(self) -> None:
        champion()
        version = trained(trigger=Trigger.SCHEDULE)
        assert ModelVersion.objects.active() == version
        assert Activation.objects.latest("pk").reason == Activation.Reason.GATE

    def test_scheduled_and_worse(self, monkeypatch: pytest.MonkeyPatch) -> None:
        served = champion()
        monkeypatch.setattr(versions, "MEAN_TOLERANCE", -1.0)
        version = trained(trigger=Trigger.SCHEDULE)
        assert version.comparison["passed"] is False
        assert ModelVersion.objects.active() == served

    def test_somebody_s_choice_meanwhile_stands(self, monkeypatch: pytest.MonkeyPatch) -> None:
        champion()
        chosen = trained()
        compare = versions.compare

        def choose(*metrics: Any) -> dict[str, Any]:
            versions.activate_version(version=chosen)
            return compare(*metrics)

        monkeypatch.setattr(versions, "compare", choose)
        version = trained(trigger=Trigger.SCHEDULE)
        assert version.comparison["passed"] is True
        assert ModelVersion.objects.active() == chosen


class TestWhyNotActivated:
    """A scheduled training that passed the gate, and what its log says."""

    def said(self) -> list[str]:
        champion()
        version = trained(trigger=Trigger.SCHEDULE)
        assert version.is_active is False
        events = SessionLogEntry.objects.filter(session__model_version=version, kind="event")
        return [entry.text for entry in events]

    def test_the_policy_leaves_it_to_a_person(self) -> None:
        change_policy(user=None, changes={"activation": "never"})
        assert self.said() == ["Not activated by itself: the training policy leaves that to a person."]

    def test_it_was_frozen_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compare = versions.compare

        def meanwhile(*metrics: Any) -> dict[str, Any]:
            if ModelVersion.objects.active():
                freeze(user=None, reason="outage")
            return compare(*metrics)

        monkeypatch.setattr(versions, "compare", meanwhile)
        assert self.said() == [
            "Not activated by itself: Training and activation are frozen until it is lifted: outage"
        ]

    def test_the_gate_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(versions, "MEAN_TOLERANCE", -1.0)
        (sentence,) = self.said()
        assert sentence.startswith("Not activated by itself: Worse than the champion: mean MAE +0.000")


class TestSecondAttempt:
    @pytest.fixture
    def second(self) -> TrainingSession:
        """The first attempt died after its backup."""
        session = claimed()
        backup = backups.create_backup(kind=Backup.Kind.BEFORE_TRAINING)
        sessions.keep_backup(session.pk, 1, backup)
        assert sessions.retry(session.pk, 1) == 2
        session.refresh_from_db()
        return session

    def test_keeps_the_backup(self, second: TrainingSession) -> None:
        run(second)
        assert (second.status, second.backup) == (Status.SUCCEEDED, Backup.objects.get())

    def test_makes_another_when_it_is_damaged(self, second: TrainingSession) -> None:
        assert second.backup is not None
        damaged = second.backup
        (artifacts.directory_of(damaged) / "fiabilite.csv").write_text("x")
        run(second)
        assert second.status == Status.SUCCEEDED
        assert Backup.objects.count() == 2
        assert second.backup != damaged


class TestFailure:
    def test_nothing_to_learn(self) -> None:
        session = claimed()
        Anomaly.objects.all().delete()
        run(session)
        assert (session.status, session.reason) == (
            Status.FAILED,
            "There is no approved anomaly to learn from.",
        )

    @pytest.mark.parametrize("module", ["bundle", "backups"])
    def test_disk_full(self, module: str, monkeypatch: pytest.MonkeyPatch, media_root: Path) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        owner, name = {"bundle": (bundle, "write_bundle"), "backups": (backups, "create_backup")}[module]
        monkeypatch.setattr(owner, name, refuse)
        session = run(claimed())
        assert (session.status, session.reason) == (
            Status.FAILED,
            "The disk refused: No space left on device.",
        )
        assert files_of(media_root) == []

    def test_a_model_that_cannot_be_read_back_is_not_published(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def write_less(path: Path, **_: object) -> dict[str, Any]:
            (path / "features.pkl").write_bytes(b"x")
            return {}

        monkeypatch.setattr(bundle, "write_bundle", write_less)
        session = run(claimed())
        assert session.status == Status.FAILED
        assert session.reason.startswith("The model was written with format None")
        assert not ModelVersion.objects.exists()

    def test_what_nobody_expected_is_the_supervisor_s(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(**_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(backups, "create_backup", crash)
        session = claimed()
        with pytest.raises(ZeroDivisionError):
            run_attempt(session.pk, 1)
        session.refresh_from_db()
        assert (session.status, session.step) == (Status.RUNNING, Step.BACKUP)


class TestFence:
    def test_lost_before_it_began(self) -> None:
        session = claimed()
        sessions.retry(session.pk, 1)
        run_attempt(session.pk, 1)
        session.refresh_from_db()
        assert (session.status, session.attempts, session.step) == (Status.RUNNING, 2, Step.START)
        assert not Backup.objects.exists()

    @pytest.mark.parametrize(
        "loss",
        [
            {"attempts": 2},
            {"status": Status.QUEUED, "heartbeat_at": None},
            {"heartbeat_at": timezone.now() - timedelta(seconds=60)},
            {"cancel_requested": True},
        ],
    )
    def test_lost_at_the_last_moment(self, loss: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """After the last step was told, before the transaction that publishes."""
        session = claimed(trigger=Trigger.SCHEDULE)
        publish = runner._publish

        def lose(*arguments: Any) -> None:
            TrainingSession.objects.filter(pk=session.pk).update(**loss)
            publish(*arguments)

        monkeypatch.setattr(runner, "_publish", lose)
        run(session)
        assert session.model_version is None
        assert session.status == loss.get("status", Status.RUNNING)
        assert not ModelVersion.objects.exists()
        assert not Activation.objects.exists()

    def test_losing_it_while_failing_is_no_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        session = claimed()

        def lose_and_refuse(**_: object) -> None:
            sessions.retry(session.pk, 1)
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(backups, "create_backup", lose_and_refuse)
        with pytest.raises(LeaseLostError):
            run_attempt(session.pk, 1)
        session.refresh_from_db()
        assert (session.status, session.attempts) == (Status.RUNNING, 2)


class TestTidyingUp:
    """What the supervisor does when the attempt is over."""

    def test_keeps_to_retention(self, settings: Settings) -> None:
        settings.KEEP_MODEL_VERSIONS = settings.KEEP_BACKUPS = 1
        first, second = run(claimed()), run(claimed())
        supervisor._tidy()
        assert list(ModelVersion.objects.filter(pruned_at=None)) == [second.model_version]
        assert list(Backup.objects.filter(pruned_at=None)) == [second.backup]
        assert first.status == Status.SUCCEEDED

    def test_failing_is_logged(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(**_: object) -> None:
            raise PermissionError("no")

        monkeypatch.setattr(versions, "prune_versions", refuse)
        supervisor._tidy()
        assert caplog.messages == ["Old versions and backups could not be removed"]
