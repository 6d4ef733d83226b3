import os
import socket
from datetime import timedelta

import pytest
from django.utils import timezone

from training import nodes
from training.models import QueueNode

pytestmark = pytest.mark.django_db
HERE = (socket.gethostname(), os.getpid())
NOBODY = 2**22 + 1  # above every process number of Linux


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
