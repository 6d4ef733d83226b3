"""One attempt at a training, step by step, on real tiny models."""

import errno
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.factories import ApprovedFactory, SessionFactory, WebNodeFactory
from tests.trained import trained_version
from training import artifacts, backups, frames, gate, runner, sessions, supervisor, troubles, versions
from training.errors import GateRefusedError, LeaseLostError
from training.ml import bundle, libraries
from training.ml.manifest import MANIFEST
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
        assert version.libraries == libraries.installed()
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

    def test_a_damaged_champion_does_not_stop_its_successor_s_training(self) -> None:
        served = champion()
        (artifacts.directory_of(served) / bundle.TWIN).write_bytes(b"x")
        version = trained()
        assert version.comparison["champion_metrics"] is None
        assert version.comparison["passed"] is False


def cut_twin(served: ModelVersion) -> None:
    twin = artifacts.directory_of(served) / bundle.TWIN
    twin.write_bytes(twin.read_bytes()[:-100])


def lose_twin(served: ModelVersion) -> None:
    (artifacts.directory_of(served) / bundle.TWIN).unlink()


def lose_all(served: ModelVersion) -> None:
    shutil.rmtree(artifacts.directory_of(served))


def cut_manifest(served: ModelVersion) -> None:
    (artifacts.directory_of(served) / MANIFEST).write_bytes(b"{")


def cut_model(served: ModelVersion) -> None:
    (artifacts.directory_of(served) / bundle.FEATURES).write_bytes(b"")


def replace_by_other_code(served: ModelVersion) -> None:
    """Genuine files, signed with our key, of a class that this program does not have."""
    sign_twin(served, b"cno_such_module\nTwin\n.")


def sign_twin(served: ModelVersion, content: bytes) -> None:
    manifest = artifacts.verify(served)
    files = {name: manifest.read(name) for name in manifest.files} | {bundle.TWIN: content}
    artifacts.set_aside(served)
    with artifacts.publish(ModelVersion, served.name, facts=manifest.facts) as directory:
        for name, each in files.items():
            (directory / name).write_bytes(each)
    digest = artifacts.read_back(ModelVersion, served.name).digest
    ModelVersion.objects.filter(pk=served.pk).update(digest=digest)


def fall_silent(served: ModelVersion) -> None:
    ModelVersion.objects.filter(pk=served.pk).update(is_active=False)


def upgrade_everybody(_served: ModelVersion) -> None:
    libraries.pretend("scikit-learn=1.0.0")


@pytest.fixture
def own_libraries() -> Iterator[None]:
    yield
    libraries.pretend("")


@pytest.mark.usefixtures("own_libraries")
class TestNotComparable:
    """What cannot be compared is trained, and not activated by itself; where it is read, it says why."""

    @pytest.mark.parametrize(
        ("harm", "code", "sentence"),
        [
            (cut_twin, "champion_damaged", r"whose files cannot be used: 'twin\.pkl' .* is truncated"),
            (lose_twin, "champion_damaged", r"whose files cannot be used: .* lacks 'twin\.pkl'"),
            (lose_all, "champion_damaged", r"whose files cannot be used: .* No such file"),
            (cut_manifest, "champion_damaged", r"whose files cannot be used: The manifest of"),
            (cut_model, "champion_damaged", r"whose files cannot be used: 'features\.pkl' .* is truncated"),
            (replace_by_other_code, "champion_incompatible", "twin.pkl needs other code than this program's"),
            (upgrade_everybody, "champion_incompatible", r"this program needs 1\.0\.0"),
            (fall_silent, "no_champion", "no version was active, though others had been trained"),
        ],
    )
    def test_a_scheduled_training_leaves_it_to_a_person(
        self, harm: Callable[[ModelVersion], None], code: str, sentence: str
    ) -> None:
        served = champion()
        before = Activation.objects.count()
        harm(served)
        active = ModelVersion.objects.active()
        session = run(claimed(trigger=Trigger.SCHEDULE))
        version = session.model_version
        assert version is not None
        assert session.status == Status.SUCCEEDED
        assert (version.is_active, ModelVersion.objects.active()) == (False, active)
        assert Activation.objects.count() == before
        assert (version.comparison["outcome"], version.comparison["passed"]) == ("not_compared", False)
        assert version.comparison[gate.WAITS]["code"] == code
        assert version.is_refused is True
        (event,) = SessionLogEntry.objects.filter(session=session, kind="event")
        assert event.text == f"Not activated by itself: {version.comparison['sentence']}"
        assert re.search(sentence, version.comparison["sentence"])
        (told,) = troubles.versions_not_compared()
        assert (told.subject, told.is_serious) == (str(version.pk), True)

    def test_a_champion_without_held_out_model(self) -> None:
        versions.set_active(version=trained_version(twin=False), reason=Activation.Reason.FIRST)
        version = trained(trigger=Trigger.SCHEDULE)
        assert (version.is_active, version.comparison["outcome"]) == (False, "not_compared")
        assert version.comparison["sentence"].endswith("which has no model of its held-out records.")

    def test_a_training_by_hand_says_so_too(self) -> None:
        cut_twin(champion())
        version = trained(trigger=Trigger.API)
        (event,) = SessionLogEntry.objects.filter(session=version.session, kind="event")
        assert event.text == version.comparison["sentence"]
        (told,) = troubles.versions_not_compared()
        assert told.is_serious is False

    def test_nothing_held_out_is_not_a_first_version_either(self) -> None:
        Anomaly.objects.exclude(pk=Anomaly.objects.latest("pk").pk).delete()
        version = trained(trigger=Trigger.SCHEDULE)
        assert (version.is_active, version.comparison["outcome"]) == (False, "not_compared")

    def test_a_second_one_without_a_champion_is_no_first_version(self) -> None:
        trained(trigger=Trigger.API)
        version = trained(trigger=Trigger.SCHEDULE)
        assert version.is_active is False
        assert version.comparison[gate.WAITS]["code"] == "no_champion"

    def test_by_hand_with_a_reason(self) -> None:
        cut_twin(champion())
        version = trained(trigger=Trigger.SCHEDULE)
        with pytest.raises(GateRefusedError, match="could not be compared"):
            versions.activate_version(version=version)
        versions.activate_version(version=version, note="looked at")
        assert Activation.objects.latest("pk").reason == Activation.Reason.OVERRIDE
        assert list(troubles.versions_not_compared()) == []

    def test_keeping_the_champion_is_a_look_too(self) -> None:
        cut_twin(champion())
        version = trained(trigger=Trigger.SCHEDULE)
        versions.keep_champion(candidate=version)
        assert list(troubles.versions_not_compared()) == []

    def test_another_version_meanwhile_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        champion()
        chosen, compare = trained(), versions.compare

        def choose(*metrics: Any) -> dict[str, Any]:
            versions.activate_version(version=chosen)
            return compare(*metrics)

        monkeypatch.setattr(versions, "compare", choose)
        version = trained(trigger=Trigger.SCHEDULE)
        assert version.comparison[gate.WAITS]["code"] == "champion_changed"


class TestWebNodes:
    """A version that a web node which lives could not load is not activated by itself."""

    OTHER = libraries.installed() | {"scikit-learn": "1.0.0"}

    @pytest.mark.parametrize("served", [True, False])
    def test_one_with_other_libraries(self, served: bool) -> None:
        if served:
            champion()
        WebNodeFactory.create(host="web-1", pid=7)
        WebNodeFactory.create(host="web-2", pid=7, libraries=self.OTHER)
        version = trained(trigger=Trigger.SCHEDULE)
        assert version.is_active is False
        (event,) = SessionLogEntry.objects.filter(session=version.session, kind="event")
        own = libraries.installed()["scikit-learn"]
        assert event.text == (
            "Not activated by itself: Not every web node that runs could load it: "
            f"web-2:7 has scikit-learn 1.0.0, not {own}."
        )
        (told,) = troubles.versions_not_compared()
        assert told.facts["why"]["code"] == "nodes_cannot_load"

    def test_one_that_has_not_said_which(self) -> None:
        WebNodeFactory.create(libraries={})
        assert trained(trigger=Trigger.SCHEDULE).is_active is False

    def test_one_of_an_older_program(self) -> None:
        WebNodeFactory.create(libraries=libraries.installed() | {"format": libraries.FORMAT - 1})
        assert trained(trigger=Trigger.SCHEDULE).is_active is False

    def test_one_that_is_gone(self) -> None:
        long_ago = timezone.now() - timedelta(seconds=31)
        WebNodeFactory.create(libraries=self.OTHER, seen_at=long_ago)
        assert trained(trigger=Trigger.SCHEDULE).is_active is True


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
        first = run(claimed())
        ApprovedFactory.create(description="bruit pompe")  # equal ones would count as one
        second = run(claimed())
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
