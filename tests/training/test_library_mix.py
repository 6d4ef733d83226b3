"""A fleet of two library versions: real queues, of which one takes its scikit-learn for another one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.factories import ApprovedFactory, WebNodeFactory
from tests.queue_processes import Queue, wait_until
from tests.trained import trained_version
from training import sessions
from training.ml import libraries
from training.models import ModelVersion, QueueNode, TrainingSession, WebNode

pytestmark = [pytest.mark.queue, pytest.mark.django_db(transaction=True)]

PRETENDED = "FAILPOINTS_LIBRARIES"
LONG = timedelta(hours=1)


@pytest.fixture
def version(queue_mark: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    """What serves, of this process's libraries; a session may wait for a node for a while."""
    for n in range(12):
        ApprovedFactory.create(description=f"fuite vapeur vanne {n}")
    monkeypatch.setenv("TRAINING_QUEUE_LIMIT", "300")
    settings.TRAINING_QUEUE_LIMIT = 300
    return trained_version(is_active=True)


@pytest.fixture
def other(queue_mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """A queue node with another scikit-learn, started before any other."""
    queue = Queue(queue_mark, tmp_path / "other.log")
    with monkeypatch.context() as patch:
        patch.setenv(PRETENDED, "scikit-learn=1.0.0")
        queue.start(wait=False)
    wait_until(_has_other, 60)
    yield queue
    assert queue.process is not None
    queue.process.kill()
    queue.process.wait()


def _has_other() -> bool:
    found = QueueNode.objects.values_list("libraries", flat=True)
    return any(theirs.get("scikit-learn") == "1.0.0" for theirs in found)


def web_node_of_the_version() -> WebNode:
    """One that lives for as long as the test takes."""
    node: WebNode = WebNodeFactory.create(seen_at=timezone.now() + LONG)
    return node


def test_the_node_that_can_takes_every_training(version: ModelVersion, other: Queue, queue: Queue) -> None:
    own = libraries.installed()["scikit-learn"]
    web_node_of_the_version()
    queue.start()
    for _ in range(3):
        session = sessions.start_session(trigger=TrainingSession.Trigger.SCHEDULE)
        assert sessions.wait_for_end(session, 120)
        assert session.status == TrainingSession.Status.SUCCEEDED, session.reason
        assert session.model_version is not None
        assert session.model_version.libraries["scikit-learn"] == own
        assert ModelVersion.objects.active() == session.model_version
    assert other.parts() == []
    assert not ModelVersion.objects.exclude(verification_error="").exists()


def test_alone_it_waits_until_the_fleet_has_moved_on_and_then_a_person_decides(
    version: ModelVersion, other: Queue
) -> None:
    web = web_node_of_the_version()
    session = sessions.start_session(trigger=TrainingSession.Trigger.SCHEDULE)
    wait_until(lambda: "This node takes no training" in other.log.read_text(), 60)
    assert not sessions.wait_for_claim(session, 6)
    assert (other.parts(), session.attempts) == ([], 0)
    web.delete()
    assert sessions.wait_for_end(session, 120)
    assert session.status == TrainingSession.Status.SUCCEEDED, session.reason
    candidate = session.model_version
    assert candidate is not None
    assert ModelVersion.objects.active() == version
    assert candidate.comparison["waits_for_person"]["code"] == "champion_incompatible"
    version.refresh_from_db()
    assert version.verification_error == ""
