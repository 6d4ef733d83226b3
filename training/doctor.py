"""Looks at the whole installation, a line for each thing: well, to be watched, or broken, and what to do.

Each check yields results and changes nothing; the queue's round trip takes its traces away. What is safe to
mend, `fix` mends when it is asked to.
"""

import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.core import checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from training import artifacts, nodes, troubles, upkeep, watchdog
from training.errors import BackupError, StorageError, UnservableVersionError
from training.findings import Code
from training.models import Backup, MailSubscription, ModelVersion, TrainingSession, Webhook

ANSWER = "training.tasks.answer"
PATIENCE = 10.0  # seconds that the queue has to answer
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
    """Everything, in the order in which one thing stands on another."""
    for check in CHECKS:
        yield from check()
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        yield _fail("database", f"does not answer: {error}".strip(), "Start it, and look at DATABASE_URL.")
        return
    yield _ok("database", f"{connection.vendor} answers")
    pending = MigrationExecutor(connection)
    if plan := pending.migration_plan(pending.loader.graph.leaf_nodes()):
        yield _fail("migrations", f"{len(plan)} to apply", "python manage.py migrate")
        return
    yield _ok("migrations", "all applied")
    for check in ROW_CHECKS:
        yield from check()


def fix() -> list[str]:
    """Mend what is safe to mend; what was done."""
    done = []
    media = Path(settings.MEDIA_ROOT)
    if not media.is_dir():
        media.mkdir(parents=True, mode=0o750)
        done.append(f"made {media}")
    for path in _private_files():
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
            done.append(f"made {path.name} private")
    watchdog.mend_schedule()
    return done + _fix_files()


def _fix_files() -> list[str]:
    """Sweep what crashes left and move aside what is signed and has no row; nothing in a foreign storage."""
    try:
        swept = [f"removed {name}, left by a crash" for name in artifacts.sweep()]
        return swept + [f"moved aside as {name}" for name in artifacts.set_unknown_aside()]
    except StorageError as error:
        return [f"nothing in the storage: {error}"]


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
        files.append(Path(str(connection.settings_dict["NAME"])))
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


def storage() -> Iterator[Result]:
    """Written, made durable, read back; room; nobody else's."""
    media = Path(settings.MEDIA_ROOT)
    begin = time.perf_counter()
    try:
        with tempfile.TemporaryFile(dir=media) as file:
            file.write(b"doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield _fail("storage", f"{media}: {error.strerror}", "doctor --fix makes it; or mend its owner.")
        return
    yield _ok("storage", f"writes and syncs in {(time.perf_counter() - begin) * 1000:.0f} ms")
    if stat.S_IMODE(media.stat().st_mode) & stat.S_IWOTH:
        yield _warn("storage", "everybody may write there", f"chmod o-w {media}")
    low = list(troubles.disk_low())
    free = shutil.disk_usage(media).free // MIB
    yield _warn("disk", low[0].sentence, low[0].action) if low else _ok("disk", f"{free} MiB free")


def static_files() -> Iterator[Result]:
    if settings.DEBUG or (settings.STATIC_ROOT / "staticfiles.json").is_file():
        yield _ok("static files", "served")
    else:
        yield _fail("static files", "not collected", "python manage.py collectstatic --noinput")


def mail() -> Iterator[Result]:
    if not settings.PUBLIC_URL:
        yield _warn("notices", "have no links", "Set PUBLIC_URL.")
    if settings.EMAIL_HOST:
        yield _ok("mail", f"goes to {settings.EMAIL_HOST}:{settings.EMAIL_PORT}")


CHECKS: tuple[Callable[[], Iterator[Result]], ...] = (
    packages,
    secrets,
    system_checks,
    storage,
    static_files,
    mail,
)

# --- The rows ----------------------------------------------------------------------------------


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
    """The active version and the newest backup verify with the keys that are set."""
    newest = [ModelVersion.objects.active(), upkeep.newest_backup() or Backup.objects.available().first()]
    for about, stored in zip(("active version", "newest backup"), newest, strict=True):
        if stored is None:
            yield _warn(about, "none", "Train, or take backups in: python manage.py adopt_backups.")
            continue
        try:
            manifest = artifacts.read_back(type(stored), stored.name)
        except (BackupError, UnservableVersionError) as error:
            yield _fail(about, str(error), "Check ARTIFACT_SIGNING_KEYS and the disk; restore a backup.")
            continue
        if manifest.digest == stored.digest:
            yield _ok(about, f"{stored.name} verifies")
        else:
            yield _fail(about, f"{stored.name} is not what was stored", "Restore another backup.")


def queue() -> Iterator[Result]:
    """A message there and back, unless the worker trains just now."""
    if not nodes.alive().exists():
        yield _fail("queue", "no node lives", "python manage.py qcluster, or systemctl start anomalies-queue")
    elif TrainingSession.objects.active().exists():
        yield _ok("queue", "is training")
    elif (seconds := round_trip()) is None:
        yield _fail("queue", f"did not answer within {PATIENCE:g} s", "Restart it and read its log.")
    else:
        yield _ok("queue", f"answered in {seconds:.1f} s")


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
    """What the watch knows, or would find: schedule, clock, backups, notices, files."""
    looks = (
        troubles.storage_foreign,
        troubles.schedule_troubles,
        troubles.clock_off,
        troubles.backup_due,
        troubles.notices_pile_up,
    )
    found = {trouble.key: trouble for trouble in troubles.current() if trouble.code != Code.QUEUE_SILENT}
    found |= {trouble.key: trouble for look in looks for trouble in look()}
    for look in (troubles.files_missing, troubles.files_damaged, troubles.files_orphaned):
        found |= {trouble.key: trouble for trouble in look()}
    for trouble in found.values():
        say = _fail if trouble.is_serious else _warn
        yield say(trouble.code.value, trouble.sentence, trouble.action)
    if not found:
        yield _ok("findings", "none")


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
    queue,
    findings,
    people,
)


def _ok(about: str, detail: str) -> Result:
    return Result(level=Level.OK, about=about, detail=detail)


def _warn(about: str, detail: str, remedy: str) -> Result:
    return Result(level=Level.WARN, about=about, detail=detail, remedy=remedy)


def _fail(about: str, detail: str, remedy: str) -> Result:
    return Result(level=Level.FAIL, about=about, detail=detail, remedy=remedy)
