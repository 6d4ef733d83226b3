"""Troubles in words: what is wrong, and what to do. `troubles` looks for them, `watchdog` mends."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from training import gate
from training.models import Finding

Code = Finding.Code
Severity = Finding.Severity

START_QUEUE = _("Start it: python manage.py qcluster, or systemctl restart anomalies-queue.")
LOOK_AT_FILES = _(
    "Look at the disk, then verify again. If it stays damaged: activate another version, or restore a backup."
)
LOOK_AT_DAMAGE = _(
    "Look at the disk. If the version serves, it gets its files back from a backup by itself."
    " If this stays, no backup holds it: activate another version."
)

# Per code: what is wrong, and what to do. `facts` fill in the names.
WORDS: dict[str, tuple[Promise, Promise]] = {
    Code.QUEUE_SILENT: (_("No queue runs: nothing is trained and no notice is sent."), START_QUEUE),
    Code.NODE_SILENT: (
        _("The queue on %(host)s has not been heard of for %(seconds)d s."),
        _("Look at that machine and start its queue. A day later it is forgotten."),
    ),
    Code.SESSION_UNCLAIMED: (
        _("Training session %(session)d waits and no worker takes it."),
        _("The queue starts afresh by itself. If this stays, restart it and read its log."),
    ),
    Code.LEASE_EXPIRED: (
        _("The worker of training session %(session)d has not been heard of for %(seconds)d s."),
        _("The session goes back to the queue by itself. If this stays, restart the queue."),
    ),
    Code.SCHEDULE_OVERDUE: (
        _("The scheduled training of %(due)s has not started."),
        _("The queue's watch starts it by itself. If this stays, restart the queue and read its log."),
    ),
    Code.SCHEDULE_WRONG: (
        _("The queue's schedule is not what the training policy says: %(reason)s."),
        _("It is put right by itself. Find out who changed it."),
    ),
    Code.SCHEDULE_OFF: (
        _("Scheduled training is switched off."),
        _("Switch it on under Training schedule, or train by hand."),
    ),
    Code.FILES_ORPHANED: (
        _("Directories without a row in %(where)s: %(count)d, such as %(example)s."),
        _("They were left by a crash and are removed by themselves."),
    ),
    Code.BACKUPS_UNKNOWN: (
        _("Backups that the database does not know: %(count)d, such as %(example)s."),
        _("Take them in: python manage.py adopt_backups. Or remove their directories."),
    ),
    Code.FILES_MISSING: (
        _("The files of %(name)s are missing."),
        _("Put the directory back from a copy of MEDIA_ROOT, or restore another backup."),
    ),
    Code.VERSION_DAMAGED: (_("The files of %(name)s do not verify: %(reason)s"), LOOK_AT_DAMAGE),
    Code.VERSION_NOT_LOADED: (_("This process cannot load the active version: %(reason)s"), LOOK_AT_FILES),
    Code.BACKUP_DAMAGED: (
        _("%(name)s does not verify: %(reason)s"),
        _("Look at the disk, and make a new backup: python manage.py create_backup."),
    ),
    Code.BACKUP_OLD: (
        _("The newest backup is %(days)d days old."),
        _("The queue makes one by itself. If this stays: python manage.py create_backup tells why."),
    ),
    Code.BACKUP_UNVERIFIED: (
        _("%(name)s should have been verified %(days)d days ago."),
        _("The queue verifies it by itself. If this stays: python manage.py verify_backup %(name)s"),
    ),
    Code.NOTICES_PILE_UP: (
        _("%(count)d notices wait for more than an hour."),
        _("The delivery log says why: look at the mail server and the webhooks."),
    ),
    Code.DISK_LOW: (
        _("%(host)s has %(free)d MiB free in %(where)s; %(needed)d are needed."),
        _("Make room, or keep fewer backups and versions (Training schedule, Retention)."),
    ),
    Code.CLOCK_OFF: (
        _("The clock of %(host)s differs from the database's by %(seconds)s s."),
        _("Have both follow a time server: leases and schedules go by the clock."),
    ),
    Code.DATABASE_SILENT: (
        _("The database does not answer."),
        _("Start it, and look at DATABASE_URL: python manage.py doctor."),
    ),
    Code.VERSION_NOT_COMPARED: (
        _("Version %(version)s was not activated by itself: %(reason)s"),
        _("Look at its figures, then activate it, or keep the champion, on its page."),
    ),
    Code.NO_ACTIVE_VERSION: (
        _("No model version is active: nothing is predicted. The newest that can be used: %(version)s."),
        _("Activate it on its page (Model versions), or restore a backup."),
    ),
    Code.NODE_INCOMPATIBLE: (
        _("%(node)s has other libraries than the active version: %(reason)s"),
        _("Install the same release there (pip install -r requirements.txt), then start it again."),
    ),
    Code.FILES_UNKNOWN: (
        _("Signed directories in %(where)s that no row knows: %(count)d, such as %(example)s."),
        _("Nothing was removed. python manage.py doctor --fix moves them aside; then remove them by hand."),
    ),
    Code.STORAGE_FOREIGN: (
        _("The storage belongs to another installation: %(reason)s"),
        _(
            "Give each installation a storage of its own. If this one is its heir:"
            " python manage.py adopt_storage."
        ),
    ),
    Code.STORAGE_UNREACHABLE: (
        _("%(host)s cannot reach the storage of models and backups: %(reason)s"),
        _("Look at the storage and the network to it. What is loaded goes on predicting."),
    ),
    Code.STORAGE_READ_ONLY: (
        _("%(host)s cannot write where models and backups are kept: %(reason)s"),
        _("Look at the disk and at who owns MEDIA_ROOT. No training and no backup succeeds meanwhile."),
    ),
    Code.BACKUP_NEVER: (
        _("There are records and no backup of them."),
        _("The queue makes one by itself. If this stays: python manage.py create_backup tells why."),
    ),
    Code.DATABASE_READ_ONLY: (
        _("The database cannot be written: %(reason)s"),
        _("Look at the database's disk. Nothing new is accepted meanwhile; predictions go on."),
    ),
    Code.DATABASE_LOCKED: (
        _("Nothing could be written to the database for %(seconds)d s: one transaction holds its lock."),
        _(
            "Find out what has its file open (fuser) and end that."
            " Nothing new is accepted meanwhile; predictions go on."
        ),
    ),
    Code.CACHE_UNREACHABLE: (
        _("%(host)s cannot reach Redis: %(reason)s"),
        _("Look at REDIS_URL. Each process counts its callers by itself meanwhile."),
    ),
    Code.TRAININGS_FAILING: (
        _("The last %(count)d trainings failed: %(reason)s"),
        _("The session's page says why and what to do."),
    ),
    Code.CHECK_FAILING: (
        _("%(host)s cannot look for %(codes)s: %(reason)s"),
        _("What it would have found is not known. If this stays, read the queue's log."),
    ),
}
# Facts that rows of before do not have.
NOT_TOLD: dict[str, Any] = {"where": "MEDIA_ROOT"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """One thing that is wrong. `subject` tells two of the same code apart."""

    code: Finding.Code
    subject: str = ""
    severity: Finding.Severity = Severity.SERIOUS
    facts: dict[str, Any] = field(default_factory=dict)
    since: datetime = field(default_factory=timezone.now)

    @property
    def key(self) -> tuple[str, str]:
        return self.code.value, self.subject

    @property
    def is_serious(self) -> bool:
        return self.severity == Severity.SERIOUS

    @property
    def sentence(self) -> str:
        """What is wrong, in the language that is active."""
        return self._filled(WORDS[self.code][0])

    @property
    def action(self) -> str:
        return self._filled(WORDS[self.code][1])

    def _filled(self, words: Promise) -> str:
        """A row of another release may lack a fact: then its code's name has to do."""
        try:
            return str(words) % (NOT_TOLD | self.facts | self._reason)
        except (KeyError, TypeError, ValueError):
            return str(self.code.label)

    @property
    def _reason(self) -> dict[str, str]:
        """One of the product's own in the language that is active; what an error said, as it said it."""
        if why := self.facts.get("why"):
            return {"reason": gate.describe(why)}
        return {"reason": gettext(reason)} if (reason := self.facts.get("reason")) else {}

    def as_json(self) -> dict[str, Any]:
        """As /health tells it."""
        return {
            "code": self.code.value,
            "severity": self.severity.name.lower(),
            "subject": self.subject,
            "message": self.sentence,
            "action": self.action,
            "since": self.since.isoformat(),
        }


def trouble_of(row: Finding) -> Trouble:
    return Trouble(
        code=Code(row.code),
        subject=row.subject,
        severity=Severity(row.severity),
        facts=row.facts,
        since=row.since,
    )
