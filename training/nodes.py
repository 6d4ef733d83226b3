"""The nodes: each queue and each web process says that it lives, and with which libraries.

Of the queue's nodes the one that has lived longest keeps house for all. What a node's libraries cannot load
is a fact of that node: it stands in its row, never in the version's, which all nodes share.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache
from itertools import chain
from pathlib import Path
from uuid import UUID, uuid4

from django.db import Error
from django.db.models import Q, QuerySet

from training import outages
from training.database import database_now
from training.ml import libraries
from training.models import ModelVersion, QueueNode, WebNode

SILENT_AFTER = timedelta(seconds=30)  # a queue node speaks every two seconds, a web node every ten
FORGOTTEN_AFTER = timedelta(days=1)
LEFT = 0  # in the place of a process number: the last node left in order, at `seen_at`


def host() -> str:
    """This machine, as findings and the list of nodes name it."""
    return socket.gethostname()


def identity() -> UUID:
    """This process's, and no other's: neither one's that it was forked from, nor one's with its number."""
    return _identity_of(os.getpid())


def beat() -> None:
    """This process is a node of the queue, and lives. Its dead forerunners on this machine are forgotten."""
    _beat(QueueNode)


def beat_web(*, loaded: int | None = None, refused: int | None = None, refusal: str = "") -> None:
    """This process is a web node, and lives; which version it has loaded, or why its libraries cannot."""
    _beat(WebNode, loaded_version=loaded, refused_version=refused, refusal=refusal)


def leave() -> None:
    """This process, whatever it was, ends in order: nobody misses it.

    The last queue node's row stays and says since when there is none.
    """
    mine = Q(identity=identity(), pid=os.getpid())
    WebNode.objects.filter(mine).delete()
    own = QueueNode.objects.filter(mine)
    if alive().exclude(mine).exists():
        own.delete()
    elif own.exists():
        QueueNode.objects.filter(pid=LEFT).delete()
        own.update(pid=LEFT, seen_at=database_now())


def alive() -> "QuerySet[QueueNode]":
    return QueueNode.objects.filter(seen_at__gt=database_now() - SILENT_AFTER).exclude(pid=LEFT)


def web_alive() -> "QuerySet[WebNode]":
    return WebNode.objects.filter(seen_at__gt=database_now() - SILENT_AFTER)


def keeps_house() -> bool:
    """Whether this process is the node that does what one node does for all."""
    first = alive().order_by("pk").first()
    return first is not None and (first.identity, first.pid) == (identity(), os.getpid())


def forget_silent() -> int:
    """A machine that was taken away a day ago is no trouble any more, nor one with a successor; how many."""
    forgotten = 0
    for kind, living in ((QueueNode, alive()), (WebNode, web_alive())):
        silent = kind.objects.filter(seen_at__lt=database_now() - SILENT_AFTER)
        started = list(living.values_list("host", "started_at"))
        for node in silent:
            is_replaced = any(host == node.host and at > node.seen_at for host, at in started)
            if is_replaced or node.seen_at < database_now() - FORGOTTEN_AFTER:
                forgotten += node.delete()[0]
    return forgotten


# --- Libraries ---------------------------------------------------------------------------------


def why_no_training() -> str:
    """Why this process shall leave trainings to others; empty when it need not.

    With other libraries than the active version's it could not compare what it trains, nor could the web
    nodes load that. Where no node that lives has that version's libraries, the whole fleet has moved on.
    """
    version = ModelVersion.objects.active()
    different = libraries.differences(version.libraries) if version else ""
    if version is None or not different or not _somebody_has(version.libraries):
        return ""
    return f"{host()}:{os.getpid()} has other libraries than {_name(version)}: {different}."


def queue_refusals() -> list[str]:
    """Of the queue's nodes that live, those that leave trainings to others, each with the difference."""
    version = ModelVersion.objects.active()
    if version is None or not _somebody_has(version.libraries):
        return []
    differing = [(node, libraries.differences(version.libraries, node.libraries)) for node in alive()]
    return [f"{node} has {different}" for node, different in differing if different]


def web_nodes_without(wanted: Mapping[str, object]) -> list[str]:
    """The web nodes that live and have other libraries than these, each with the difference."""
    differing = [(node, libraries.differences(wanted, node.libraries)) for node in web_alive()]
    unknown = [f"{node} has not said which" for node, _ in differing if not node.libraries]
    return [*unknown, *(f"{node} has {different}" for node, different in differing if different)]


def unable() -> Iterator[tuple[QueueNode | WebNode, str]]:
    """The nodes that live and cannot do their part for the active version, each with the reason.

    A web node that has loaded it can, whatever its libraries; one that tried knows. Where no node has the
    version's libraries, a queue node trains with its own.
    """
    version = ModelVersion.objects.active()
    if version is None:
        return
    for web in web_alive():
        if web.refused_version == version.pk:
            yield web, web.refusal
            continue
        different = libraries.differences(version.libraries, web.libraries)
        if different and web.loaded_version != version.pk:
            yield web, different
    if _somebody_has(version.libraries):
        for node in alive():
            if different := libraries.differences(version.libraries, node.libraries):
                yield node, different


def somebody_else_has(wanted: Mapping[str, object]) -> bool:
    """Whether another node of the queue that lives has these libraries."""
    others = alive().exclude(identity=identity())
    return _any_has(wanted, others.values_list("libraries", flat=True))


def _somebody_has(wanted: Mapping[str, object]) -> bool:
    found = [nodes.values_list("libraries", flat=True) for nodes in (alive(), web_alive())]
    return _any_has(wanted, chain.from_iterable(found))


def _any_has(wanted: Mapping[str, object], found: Iterable[Mapping[str, object]]) -> bool:
    """What a node has not said counts as other ones."""
    return any(theirs and not libraries.differences(wanted, theirs) for theirs in found)


def _name(version: ModelVersion) -> str:
    return f"version {version.pk}"


# --- The row -----------------------------------------------------------------------------------


def _beat(kind: type[QueueNode] | type[WebNode], **states: object) -> None:
    """Write that this process lives. Where that fails, others cannot say so either: it is remembered."""
    try:
        _write_beat(kind, **states)
    except Error as error:
        outages.note(error)
        raise


def _write_beat(kind: type[QueueNode] | type[WebNode], **states: object) -> None:
    now, pid = database_now(), os.getpid()
    mine = kind.objects.filter(identity=identity(), pid=pid)
    if mine.update(seen_at=now, **states):
        return
    _forget_forerunners(kind)
    kind.objects.create(
        identity=identity(),
        host=host(),
        pid=pid,
        place=_place(),
        started_at=now,
        seen_at=now,
        libraries=libraries.installed(),
        **states,
    )


def _forget_forerunners(kind: type[QueueNode] | type[WebNode]) -> None:
    """Rows of processes that are gone, as far as their numbers mean something here."""
    if kind is QueueNode:
        QueueNode.objects.filter(pid=LEFT).delete()
    here = Q(place=_place()) | Q(place="", host=host())
    for node in kind.objects.filter(here):
        if not _is_running(node.pid):
            node.delete()


@cache
def _identity_of(_pid: int) -> UUID:
    return uuid4()


@cache
def _place() -> str:
    """The machine's boot and the namespace of its processes; the machine's name where Linux does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return host()[:100]


def _is_running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        with suppress(PermissionError):
            os.kill(pid, 0)
        return True
    return False
