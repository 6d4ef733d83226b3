import os
import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import QueueNodeFactory, SessionFactory, VersionFactory, WebNodeFactory
from training import nodes, sessions
from training.errors import NoWorkerError
from training.ml import libraries
from training.models import QueueNode, WebNode

pytestmark = pytest.mark.django_db
HERE = (socket.gethostname(), os.getpid())
NOBODY = 2**22 + 1  # above every process number of Linux
OWN = libraries.installed()
OTHER = OWN | {"scikit-learn": "1.0.0"}
DIFFERENCE = f"scikit-learn 1.0.0, not {OWN['scikit-learn']}"
LONG_AGO = timedelta(seconds=31)


def rows() -> list[tuple[str, int]]:
    return list(QueueNode.objects.values_list("host", "pid"))


def test_a_node_lives_and_leaves() -> None:
    nodes.beat()
    nodes.beat()
    assert rows() == [HERE]
    assert nodes.keeps_house()
    nodes.leave()
    assert rows() == [(HERE[0], nodes.LEFT)]
    assert list(nodes.alive()) == []
    assert not nodes.keeps_house()
    nodes.beat()
    assert rows() == [HERE]


def test_one_of_several_leaves_nothing() -> None:
    QueueNode.objects.create(host="far", pid=7)
    nodes.beat()
    nodes.leave()
    assert rows() == [("far", 7)]


def test_a_node_that_was_killed_is_replaced_by_its_successor() -> None:
    QueueNode.objects.create(host=HERE[0], pid=NOBODY)
    QueueNode.objects.create(host=HERE[0], pid=1)
    QueueNode.objects.create(host="far", pid=NOBODY)
    nodes.beat()
    assert rows() == [(HERE[0], 1), ("far", NOBODY), HERE]


def test_the_oldest_that_lives_keeps_house() -> None:
    QueueNode.objects.create(host="far", pid=7)
    nodes.beat()
    assert not nodes.keeps_house()
    QueueNode.objects.filter(host="far").update(seen_at=timezone.now() - timedelta(seconds=31))
    assert nodes.keeps_house()
    assert list(nodes.alive().values_list("host", "pid")) == [HERE]


# --- Identity ----------------------------------------------------------------------------------


def test_containers_with_one_name_and_number_are_two_nodes() -> None:
    """Both are process 1 of one machine name, each in a namespace of its own."""
    first = QueueNode.objects.create(host=HERE[0], pid=HERE[1], place="another:namespace")
    nodes.beat()
    assert rows() == [HERE, HERE]
    assert not nodes.keeps_house()
    nodes.leave()
    assert list(QueueNode.objects.all()) == [first]


def test_a_number_of_another_namespace_says_nothing_about_a_node() -> None:
    QueueNode.objects.create(host=HERE[0], pid=NOBODY, place="another:namespace")
    nodes.beat()
    assert rows() == [(HERE[0], NOBODY), HERE]


def test_a_forked_process_is_another_node() -> None:
    assert nodes.identity() == nodes.identity() != nodes._identity_of(NOBODY)


def test_a_silent_node_is_forgotten_once_it_has_a_successor() -> None:
    silent = timezone.now() - timedelta(minutes=2)
    for host in ("replaced", "lost"):
        QueueNode.objects.create(host=host, pid=1, seen_at=silent, started_at=silent)
    QueueNode.objects.create(host="replaced", pid=1)
    QueueNode.objects.create(host="lost", pid=2, started_at=silent - timedelta(hours=1))
    assert nodes.forget_silent() == 1
    assert sorted(QueueNode.objects.values_list("host", "pid")) == [("lost", 1), ("lost", 2), ("replaced", 1)]


def test_a_web_node_says_what_it_has_loaded() -> None:
    nodes.beat_web(loaded=3)
    nodes.beat_web(loaded=3, refused=4, refusal="The model was written with scikit-learn 1.")
    node = WebNode.objects.get()
    assert (node.host, node.pid, node.identity) == (*HERE, nodes.identity())
    assert (node.loaded_version, node.refused_version, node.libraries) == (3, 4, OWN)
    assert not QueueNode.objects.exists()
    nodes.leave()
    assert not WebNode.objects.exists()


# --- Libraries ---------------------------------------------------------------------------------


@pytest.fixture
def other_libraries() -> Iterator[None]:
    """This process's are not those of the active version."""
    libraries.pretend("scikit-learn=1.0.0")
    yield
    libraries.pretend("")


def refusal(pk: int) -> str:
    return f"{HERE[0]}:{HERE[1]} has other libraries than version {pk}: {DIFFERENCE}."


def test_a_node_with_the_version_s_libraries_trains() -> None:
    VersionFactory.create(is_active=True, libraries=OWN)
    QueueNodeFactory.create(libraries=OWN)
    assert nodes.why_no_training() == ""


def test_without_a_version_everybody_trains(other_libraries: None) -> None:
    QueueNodeFactory.create(libraries=OWN)
    assert nodes.why_no_training() == ""


@pytest.mark.parametrize("factory", [QueueNodeFactory, WebNodeFactory])
def test_a_node_with_others_leaves_it_while_somebody_has_them(
    other_libraries: None, factory: type[QueueNodeFactory]
) -> None:
    version = VersionFactory.create(is_active=True, libraries=OWN)
    node = factory.create(libraries=OWN)
    assert nodes.why_no_training() == refusal(version.pk)
    type(node).objects.update(seen_at=timezone.now() - LONG_AGO)
    assert nodes.why_no_training() == ""


def test_a_fleet_that_has_moved_on_trains(other_libraries: None) -> None:
    VersionFactory.create(is_active=True, libraries=OWN)
    QueueNodeFactory.create(libraries=OTHER)
    WebNodeFactory.create(libraries=OTHER)
    QueueNodeFactory.create(libraries={})  # unknown is not the same
    assert nodes.why_no_training() == ""


def test_a_session_that_nobody_takes_says_why() -> None:
    VersionFactory.create(is_active=True, libraries=OWN)
    QueueNodeFactory.create(host="queue-1", pid=7, libraries=OTHER)
    WebNodeFactory.create(libraries=OWN)
    session = SessionFactory.create()
    with pytest.raises(
        NoWorkerError, match="These have other libraries than the active version: queue-1:7 has"
    ):
        sessions.expire_unclaimed(session)
    session.refresh_from_db()
    assert session.reason.startswith("No queue worker took the training session within 10 s. These have")


def unable() -> list[tuple[str, str]]:
    return [(str(node), reason) for node, reason in nodes.unable()]


def test_who_cannot_do_its_part() -> None:
    version = VersionFactory.create(is_active=True, libraries=OWN)
    WebNodeFactory.create(host="sound", pid=1)
    WebNodeFactory.create(host="older", pid=1, libraries=OTHER, loaded_version=version.pk - 1)
    WebNodeFactory.create(host="has-it", pid=1, libraries=OTHER, loaded_version=version.pk)
    WebNodeFactory.create(
        host="tried", pid=1, refused_version=version.pk, refusal="twin.pkl needs other code"
    )
    WebNodeFactory.create(host="gone", pid=1, libraries=OTHER, seen_at=timezone.now() - LONG_AGO)
    QueueNodeFactory.create(host="queue", pid=1, libraries=OTHER)
    assert unable() == [
        ("older:1", DIFFERENCE),
        ("tried:1", "twin.pkl needs other code"),
        ("queue:1", DIFFERENCE),
    ]


def test_where_nobody_has_the_version_s_libraries_the_web_is_what_is_told() -> None:
    VersionFactory.create(is_active=True, libraries=OWN)
    WebNodeFactory.create(host="web", pid=1, libraries=OTHER)
    QueueNodeFactory.create(libraries=OTHER)
    assert unable() == [("web:1", DIFFERENCE)]
