"""The queue's nodes: each says that it lives, and the one that has lived longest keeps house for all."""

import os
import socket
from contextlib import suppress
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from training.models import QueueNode

SILENT_AFTER = timedelta(seconds=30)  # a node speaks every two seconds
FORGOTTEN_AFTER = timedelta(days=1)
LEFT = 0  # in the place of a process number: the last node left in order, at `seen_at`


def host() -> str:
    """This machine, as findings and the list of nodes name it."""
    return socket.gethostname()


def beat() -> None:
    """This process is a node of the queue, and lives. Its dead forerunners on this machine are forgotten."""
    now, here = timezone.now(), QueueNode.objects.filter(host=host())
    if here.filter(pid=os.getpid()).update(seen_at=now):
        return
    for node in here:
        if not _is_running(node.pid):
            node.delete()
    QueueNode.objects.filter(pid=LEFT).delete()
    QueueNode.objects.create(host=host(), pid=os.getpid(), started_at=now, seen_at=now)


def leave() -> None:
    """This node ends in order: nobody misses it. The last one's row says since when there is none."""
    here = QueueNode.objects.filter(host=host(), pid=os.getpid())
    if alive().exclude(pk__in=here).exists():
        here.delete()
    elif here.exists():
        QueueNode.objects.filter(pid=LEFT).delete()
        here.update(pid=LEFT, seen_at=timezone.now())


def alive() -> "QuerySet[QueueNode]":
    return QueueNode.objects.filter(seen_at__gt=timezone.now() - SILENT_AFTER).exclude(pid=LEFT)


def keeps_house() -> bool:
    """Whether this process is the node that does what one node does for all."""
    first = alive().order_by("pk").first()
    return first is not None and (first.host, first.pid) == (host(), os.getpid())


def forget_silent() -> int:
    """A machine that was taken away a day ago is no trouble any more; how many."""
    silent = QueueNode.objects.filter(seen_at__lt=timezone.now() - FORGOTTEN_AFTER)
    return silent.delete()[0]


def _is_running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        with suppress(PermissionError):
            os.kill(pid, 0)
        return True
    return False
