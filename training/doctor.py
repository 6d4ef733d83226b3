"""Looks at the whole installation, a line for each thing: well, to be watched, or broken, and what to do.

Each check yields results and changes nothing; the queue's round trip takes its traces away. What hangs is
waited for some seconds, and what raises is a result: no check keeps the others from being made. What is safe
to mend, `fix` mends when it is asked to.
"""

import logging
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.core import checks
from django.core.mail import get_connection
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from training import artifacts, dependencies, nodes, troubles, upkeep, watchdog
from training.errors import BackupError, StorageError, UnservableVersionError
from training.findings import Code, Trouble
from training.ml import libraries
from training.models import Backup, MailSubscription, ModelVersion, TrainingSession, Webhook

logger = logging.getLogger(__name__)

ANSWER = "training.tasks.answer"
PATIENCE = 10.0  # seconds that the queue, and the database, have to answer
HEARING = 5.0  # seconds within which a queue node says that it lives
MAIL_PATIENCE = 5.0  # seconds
READING = 30.0  # seconds for the older files: hashing all of them may take long
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)")
MIB = 1024 * 1024


class Level(IntEnum):
    """Also the command's exit code."""

    OK = 0
    WARN = 1
    FAIL = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    level: Level
    about: str
    detail: str
    remedy: str = ""


def examine() -> Iterator[Result]:
    """Everything, in the order in which one thing stands on another; a check that fails is a result too."""
    for check in CHECKS:
        yield from tried(check)
    stands = True
    for check in (database, migrations):
        for result in tried(check):
            stands = stands and result.level < Level.FAIL
            yield result
        if not stands:
            yield _warn("the rest", "rows, files and queue were not looked at", "Mend the above first.")
            return
    for check in ROW_CHECKS:
        yield from tried(check)


def tried(check: Callable[[], Iterator[Result]]) -> Iterator[Result]:
    """The check's results; whatever it raises is one too, and the next check is run."""
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001  # the point of it: a doctor names what it meets, and goes on
        yield _unexamined(check, error)


def _unexamined(look: Callable[[], object], error: Exception) -> Result:
    name = look.__name__.replace("_", " ")
    logger.debug("%s cannot be examined", name, exc_info=error)
    if isinstance(error, DatabaseError) and not connection.in_atomic_block:
        connection.close()
    reason = dependencies.reason_of(error)
    return _fail(
        name, f"cannot be examined: {type(error).__name__}: {reason}", "LOG_LEVEL=DEBUG shows where."
    )


def fix() -> list[str]:
    """Mend what is safe to mend; what was done. What a step cannot mend is examined next."""
    done = []
    for step in FIXES:
        try:
            done += step()
        except (DatabaseError, OSError) as error:
            logger.debug("%s failed", step.__name__, exc_info=error)
            if isinstance(error, DatabaseError) and not connection.in_atomic_block:
                connection.close()
    return done


def make_media() -> list[str]:
    media = Path(settings.MEDIA_ROOT)
    if media.is_dir():
        return []
    media.mkdir(parents=True, mode=0o750)
    return [f"made {media}"]


def make_private() -> list[str]:
    open_ones = [path for path in _private_files() if path.stat().st_mode & 0o077]
    for path in open_ones:
        path.chmod(0o600)
    return [f"made {path.name} private" for path in open_ones]


def mend_schedule() -> list[str]:
    watchdog.mend_schedule()
    return []


def sweep() -> list[str]:
    """Sweep what crashes left and move aside what is signed and has no row; nothing in a foreign storage."""
    try:
        swept = [f"removed {name}, left by a crash" for name in artifacts.sweep()]
        return swept + [f"moved aside as {name}" for name in artifacts.set_unknown_aside()]
    except StorageError as error:
        return [f"nothing in the storage: {error}"]


FIXES: tuple[Callable[[], list[str]], ...] = (make_media, make_private, mend_schedule, sweep)

# --- The program and its settings --------------------------------------------------------------


def packages() -> Iterator[Result]:
    """What requirements.txt pins against what is installed."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield _ok("python", python) if sys.version_info >= (3, 11) else _fail("python", python, "Install 3.11.")
    wrong = []
    for line in (settings.BASE_DIR / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if pinned := PINNED.match(line):
            name, wanted = pinned.groups()
            try:
                found = version(name)
            except PackageNotFoundError:
                found = "missing"
            if found != wanted:
                wrong.append(f"{name} {found}, not {wanted}")
    if wrong:
        yield _warn("packages", "; ".join(wrong), "pip install -r requirements.txt")
    else:
        yield _ok("packages", "as pinned")


def secrets() -> Iterator[Result]:
    """Long enough, and nobody else's to read."""
    weak = [key for key in (settings.SECRET_KEY, *settings.ARTIFACT_SIGNING_KEYS) if len(key) < 32]
    if weak:
        yield _warn(
            "secrets", "one is shorter than 32 characters", "Make it longer; keep the old signing key."
        )
    open_ones = [path.name for path in _private_files() if path.stat().st_mode & 0o077]
    if open_ones:
        yield _fail("secrets", f"others can read {', '.join(open_ones)}", "doctor --fix, or chmod 600")
    if not weak and not open_ones:
        yield _ok("secrets", f"set; {len(settings.ARTIFACT_SIGNING_KEYS)} signing key(s)")


def _private_files() -> list[Path]:
    base = settings.BASE_DIR
    files = [*(base / ".secrets").glob("*"), base / "anomalies.env"]
    if connection.vendor == "sqlite" and not settings.DEBUG:
        name = str(connection.settings_dict["NAME"])
        files += [Path(f"{name}{end}") for end in ("", "-wal", "-shm")]
    return [path for path in files if path.is_file()]


def system_checks() -> Iterator[Result]:
    """`manage.py check --deploy`, which says nothing of use in development."""
    if settings.DEBUG:
        yield _warn("settings", "DEBUG is on: development, on loopback only", "In the plant: DEBUG=0.")
    found = checks.run_checks(include_deployment_checks=not settings.DEBUG)
    for message in found:
        say = _fail if message.is_serious() else _warn
        yield say("settings", f"{message.id}: {message.msg}", str(message.hint or "docs/deployment.md"))
    if not found:
        yield _ok("settings", "check" if settings.DEBUG else "check --deploy is clean")


def hosts() -> Iterator[Result]:
    if "*" in settings.ALLOWED_HOSTS:
        say = _warn if settings.DEBUG else _fail
        yield say("hosts", "ALLOWED_HOSTS is *: every name is answered to", "Name those that are yours.")
    else:
        yield _ok("hosts", ", ".join(settings.ALLOWED_HOSTS) or "none")


def storage() -> Iterator[Result]:
    """Media and object storage: written, made durable, read back; nobody else's."""
    begin = time.perf_counter()
    yield from _said(dependencies.storage_problems(), "storage", "writes and syncs in {} ms", begin)
    media = Path(settings.MEDIA_ROOT)
    if media.is_dir() and stat.S_IMODE(media.stat().st_mode) & stat.S_IWOTH:
        yield _warn("storage", "everybody may write there", f"chmod o-w {media}")


def disk() -> Iterator[Result]:
    low = list(troubles.disk_low())
    yield from (_result("disk", trouble) for trouble in low)
    if not low:
        free = shutil.disk_usage(Path(settings.MEDIA_ROOT)).free // MIB
        yield _ok("disk", f"{free} MiB free")


def static_files() -> Iterator[Result]:
    if settings.DEBUG or (settings.STATIC_ROOT / "staticfiles.json").is_file():
        yield _ok("static files", "served")
    else:
        yield _fail("static files", "not collected", "python manage.py collectstatic --noinput")


def cache() -> Iterator[Result]:
    begin, is_shared = time.perf_counter(), settings.CACHES["default"].get("LOCATION")
    well = "answers in {} ms" if is_shared else "of each process alone: REDIS_URL is not set"
    yield from _said(dependencies.cache_unreachable(), "cache", well, begin)


def mail() -> Iterator[Result]:
    """The mail server takes our name and password; nothing is sent."""
    if not settings.PUBLIC_URL:
        yield _warn("notices", "have no links", "Set PUBLIC_URL.")
    if settings.EMAIL_HOST:
        where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
        if error := dependencies.Attempt(_greet_mail_server).error(patience=MAIL_PATIENCE):
            yield _fail(
                "mail", f"{where}: {dependencies.reason_of(error)}", "Look at EMAIL_HOST and its login."
            )
        else:
            yield _ok("mail", f"goes to {where}")


def _greet_mail_server() -> None:
    server = get_connection()
    server.open()
    server.close()


def _said(found: Iterable[Trouble], about: str, well: str, begin: float) -> Iterator[Result]:
    problems = list(found)
    yield from (_result(about, trouble) for trouble in problems)
    if not problems:
        yield _ok(about, well.format(round((time.perf_counter() - begin) * 1_000)))


CHECKS: tuple[Callable[[], Iterator[Result]], ...] = (
    packages,
    secrets,
    system_checks,
    hosts,
    storage,
    disk,
    static_files,
    cache,
    mail,
)

# --- The rows ----------------------------------------------------------------------------------


def database() -> Iterator[Result]:
    """It answers in time, and takes what is written."""
    if connection.vendor == "sqlite" and not Path(name := str(connection.settings_dict["NAME"])).is_file():
        yield _fail("database", f"{name} is not there", "python manage.py migrate, or look at DATABASE_URL.")
        return
    if error := dependencies.Attempt(_reach_database).error(patience=PATIENCE):
        reason = dependencies.reason_of(error)
        yield _fail("database", f"does not answer: {reason}", "Start it, and look at DATABASE_URL.")
        return
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '30s'")
    unwritable = list(dependencies.database_read_only(patience=PATIENCE))
    yield from (_result("database", trouble) for trouble in unwritable)
    if not unwritable:
        yield _ok("database", f"{connection.vendor} answers")


def _reach_database() -> None:
    """On a connection of the thread's own."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def migrations() -> Iterator[Result]:
    pending = MigrationExecutor(connection)
    if plan := pending.migration_plan(pending.loader.graph.leaf_nodes()):
        yield _fail("migrations", f"{len(plan)} to apply", "python manage.py migrate")
    else:
        yield _ok("migrations", "all applied")


def database_settings() -> Iterator[Result]:
    """What keeps accepted records through a power cut."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA journal_mode")
            (journal,) = cursor.fetchone()
            cursor.execute("PRAGMA synchronous")
            (synchronous,) = cursor.fetchone()
            good, words = (
                (journal, synchronous) == ("wal", 2),
                f"journal {journal}, synchronous {synchronous}",
            )
        else:
            cursor.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
            fsync, commit = cursor.fetchone()
            good, words = fsync == "on" and commit != "off", f"fsync {fsync}, synchronous_commit {commit}"
    yield _ok("durability", words) if good else _fail("durability", words, "A power cut may lose records.")


def files() -> Iterator[Result]:
    """What serves, the backups and the other versions verify with the keys that are set: the newest first.

    They are read for READING seconds at most; how many were not is said.
    """
    newest = upkeep.newest_backup() or Backup.objects.available().first()
    matter = {"active version": ModelVersion.objects.active(), "newest backup": newest}
    inactive = list(troubles.no_active_version())
    yield from (_result("active version", trouble) for trouble in inactive)
    for about, stored in matter.items():
        if stored is None and about == "active version" and inactive:
            continue
        if stored is None:
            yield _warn(about, "none", "Train, or take backups in: python manage.py adopt_backups.")
        else:
            error = _damage(stored)
            remedy = "Check ARTIFACT_SIGNING_KEYS and the disk; restore a backup."
            yield _fail(about, error, remedy) if error else _ok(about, f"{stored.name} verifies")
    others = [*Backup.objects.available(), *ModelVersion.objects.filter(pruned_at=None)]
    yield from _others([stored for stored in others if stored not in matter.values()])


def _others(stored: Sequence[artifacts.Stored]) -> Iterator[Result]:
    until, sound = time.monotonic() + READING, 0
    for number, each in enumerate(stored):
        if time.monotonic() > until:
            yield _ok("older files", f"{len(stored) - number} were not read: verify_backup reads one")
            break
        if error := _damage(each):
            yield _warn("older files", error, "Its successors are sound; look at the disk.")
        else:
            sound += 1
    if stored:
        yield _ok("older files", f"{sound} of {len(stored)} verify")


def _damage(stored: artifacts.Stored) -> str:
    """Why its files do not verify; empty when they do. Nothing is noted."""
    try:
        manifest = artifacts.read_back(type(stored), stored.name)
    except (BackupError, UnservableVersionError, OSError) as error:
        return dependencies.reason_of(error)
    return "" if manifest.digest == stored.digest else f"{stored.name} is not what was stored"


def own_libraries() -> Iterator[Result]:
    """This node's, where they are not those that the active version was written with."""
    version = ModelVersion.objects.active()
    different = libraries.differences(version.libraries) if version else ""
    if different:
        yield _warn("libraries", different, "pip install -r requirements.txt of the release that trained it.")


def queue() -> Iterator[Result]:
    """A message there and back, unless the worker trains just now."""
    if not _hears_a_node():
        yield _fail("queue", "no node lives", "python manage.py qcluster, or systemctl start anomalies-queue")
    elif TrainingSession.objects.active().exists():
        yield _ok("queue", "is training")
    elif len(refusals := nodes.queue_refusals()) == nodes.alive().count():
        yield _fail(
            "queue", f"takes no training: {'; '.join(refusals)}", "Install the same release everywhere."
        )
    elif (seconds := round_trip()) is None:
        yield _fail("queue", f"did not answer within {PATIENCE:g} s", "Restart it and read its log.")
    else:
        yield _ok("queue", f"answered in {seconds:.1f} s")


def _hears_a_node() -> bool:
    """Return whether one lives. It has the time to say so when the database could not be written before."""
    until = time.monotonic() + min(PATIENCE, HEARING)
    while not (is_alive := nodes.alive().exists()) and time.monotonic() < until:
        time.sleep(0.1)
    return is_alive


def round_trip() -> float | None:
    """Seconds until the queue ran a message, or None; nothing of it is left."""
    begin = time.monotonic()
    name = f"doctor {uuid4().hex}"
    key = async_task(ANSWER, task_name=name)
    try:
        while time.monotonic() - begin < PATIENCE:
            if Task.objects.filter(id=key).exists():
                return time.monotonic() - begin
            time.sleep(0.1)
        return None
    finally:
        Task.objects.filter(id=key).delete()
        for message in OrmQ.objects.all():
            if message.name() == name:
                message.delete()


def findings() -> Iterator[Result]:
    """Yield what the watch wrote down, and what it would find now; a look that fails is a line of its own.

    Files are not looked for in a storage that cannot be reached: each look would wait for it.
    """
    found: dict[tuple[str, str], Trouble] = {}
    failed: list[Result] = []
    for look in _looks():
        try:
            for trouble in look():
                found[trouble.key] = trouble
        except Exception as error:  # noqa: BLE001  # as in `tried`
            failed.append(_unexamined(look, error))
    told = [trouble for trouble in found.values() if trouble.code != Code.QUEUE_SILENT]  # `queue` tells that
    yield from (_result(trouble.code.value, trouble) for trouble in told)
    yield from failed
    if not (told or failed):
        yield _ok("findings", "none")


def _looks() -> list[Callable[[], Iterable[Trouble]]]:
    looks: list[Callable[[], Iterable[Trouble]]] = [
        troubles.written_down,
        troubles.live,
        troubles.queue_silent,
        troubles.session_stuck,
        troubles.schedule_troubles,
        troubles.clock_off,
        troubles.backup_due,
        troubles.backup_never,
        troubles.notices_pile_up,
        troubles.trainings_failing,
        troubles.nodes_incompatible,
        troubles.versions_not_compared,
        troubles.files_damaged,
    ]
    problems = dependencies.storage_problems(max_age=60)
    if all(trouble.code != Code.STORAGE_UNREACHABLE for trouble in problems):
        looks += [troubles.storage_foreign, troubles.files_missing, troubles.files_orphaned]
    return looks


def people() -> Iterator[Result]:
    if User.objects.filter(is_superuser=True, is_active=True).exists():
        yield _ok("people", "somebody is superuser")
    else:
        yield _warn("people", "nobody is superuser", "python manage.py createsuperuser")
    mailed = MailSubscription.objects.filter(is_enabled=True).exists()
    if mailed and not settings.EMAIL_HOST:
        yield _fail("mail", "somebody waits for e-mails and no server is set", "Set EMAIL_HOST.")
    if not mailed and not Webhook.objects.filter(is_enabled=True).exists():
        yield _warn("notices", "nobody is told of anything", "Under Notices in the admin: who, and of what.")


ROW_CHECKS: tuple[Callable[[], Iterator[Result]], ...] = (
    database_settings,
    files,
    own_libraries,
    queue,
    findings,
    people,
)


def _result(about: str, trouble: Trouble) -> Result:
    """At the level that /health and the alerts give it."""
    return (_fail if trouble.is_serious else _warn)(about, trouble.sentence, trouble.action)


def _ok(about: str, detail: str) -> Result:
    return Result(level=Level.OK, about=about, detail=detail)


def _warn(about: str, detail: str, remedy: str) -> Result:
    return Result(level=Level.WARN, about=about, detail=detail, remedy=remedy)


def _fail(about: str, detail: str, remedy: str) -> Result:
    return Result(level=Level.FAIL, about=about, detail=detail, remedy=remedy)
