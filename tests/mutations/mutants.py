"""Ways to break the product, one promise each, and the suites that must notice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FAULTS = "faults "  # begins a suite that is a figure of the fault suite, such as "faults 4"


class NotApplicableError(Exception):
    """The source has moved on: the mutant's old text is not there exactly once."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One edit that breaks what the product promises. `suites` come quick ones first."""

    name: str
    path: str
    old: str
    new: str
    suites: tuple[str, ...]

    def apply(self, root: Path) -> str:
        """Break the source under `root`; the text as it was. Raises NotApplicableError."""
        file = root / self.path
        text = file.read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise NotApplicableError(f"{self.name}: {count} places in {self.path} instead of one")
        file.write_text(text.replace(self.old, self.new), encoding="utf-8")
        return text

    def restore(self, root: Path, text: str) -> None:
        (root / self.path).write_text(text, encoding="utf-8")


def chosen(names: Sequence[str]) -> list[Mutant]:
    """Those whose names contain one of `names`; all of them without any."""
    return [mutant for mutant in MUTANTS if not names or any(name in mutant.name for name in names)]


MANIFEST = "training/ml/manifest.py"
SESSIONS = "training/sessions.py"

FILES = (
    Mutant(
        name="a file's digest is not compared",
        path=MANIFEST,
        old='        if hashlib.file_digest(handle, "sha256").hexdigest() != entry.sha256:',
        new='        if not hashlib.file_digest(handle, "sha256").hexdigest():',
        suites=("tests/training/ml/test_manifest.py", "faults 7"),
    ),
    Mutant(
        name="the bytes that are loaded are not those that were hashed",
        path=MANIFEST,
        old="if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:",
        new="if len(content) != entry.size:",
        suites=("tests/training/ml/test_manifest.py",),
    ),
    Mutant(
        name="the signature is not compared",
        path=MANIFEST,
        old="    if not any(\n        hmac.compare_digest(",
        new="    if not keys and any(\n        hmac.compare_digest(",
        suites=("tests/training/ml/test_manifest.py", "faults 7"),
    ),
    Mutant(
        name="what stands under a version's name need not be that version",
        path="training/artifacts.py",
        old="    if stored.digest not in manifest.digests:\n        raise error_of",
        new="    if not manifest.digests:\n        raise error_of",
        suites=("tests/training/test_artifacts.py",),
    ),
    Mutant(
        name="no fsync of a version's files",
        path=MANIFEST,
        old='        os.fsync(handle.fileno())\n        failpoint(f"{kind}.sealed")',
        new='        failpoint(f"{kind}.sealed")',
        suites=("tests/training/shelves/test_durability.py", "tests/training/ml/test_manifest.py"),
    ),
    Mutant(
        name="no fsync of a manifest",
        path=MANIFEST,
        old="        handle.flush()\n        os.fsync(handle.fileno())",
        new="        handle.flush()",
        suites=("tests/training/shelves/test_durability.py", "tests/training/ml/test_manifest.py"),
    ),
    Mutant(
        name="no fsync of a version's directory",
        path=MANIFEST,
        old="    fsync_directory(path)\n    return _manifest(",
        new="    return _manifest(",
        suites=("tests/training/shelves/test_durability.py", "tests/training/ml/test_manifest.py"),
    ),
    Mutant(
        name="no fsync after the rename that publishes",
        path="training/shelves/directories.py",
        old='        failpoint(f"{self.kind}.renamed")\n        fsync_directory(self.root)',
        new='        failpoint(f"{self.kind}.renamed")',
        suites=("tests/training/shelves/test_durability.py",),
    ),
    Mutant(
        name="published before it is durable",
        path="training/artifacts.py",
        old="        sign_directory(temporary, key=settings.ARTIFACT_SIGNING_KEYS[0], kind=kind, facts=facts)\n"
        '        failpoint(f"{kind}.signed")\n'
        "        with refusals_of(model_class):\n"
        "            shelf.put(temporary, name)\n",
        new='        failpoint(f"{kind}.signed")\n'
        "        with refusals_of(model_class):\n"
        "            shelf.put(temporary, name)\n"
        "        published = local_shelf_of(kind).directory(name)\n"
        "        sign_directory(published, key=settings.ARTIFACT_SIGNING_KEYS[0], kind=kind, facts=facts)\n",
        suites=("tests/training/shelves/test_durability.py", "faults 1"),
    ),
    Mutant(
        name="the sweep does not look for rows",
        path="training/artifacts.py",
        old="for name, changed_at in found.items() if name not in kept}",
        new="for name, changed_at in found.items() if name or kept}",
        suites=("tests/training/test_artifacts.py",),
    ),
    Mutant(
        name="the sweep removes what is signed",
        path="training/artifacts.py",
        old="        return MANIFEST not in _shelf(model_class).files(name)\n",
        new="        return name not in _shelf(model_class).files(name)\n",
        suites=("tests/training/test_artifacts.py", "faults 14"),
    ),
    Mutant(
        name="a storage's mark is not asked for",
        path="training/shelves/ownership.py",
        old="    if reason := why_foreign(root, marking=True):\n        raise",
        new="    if (reason := why_foreign(root, marking=True)) and not root:\n        raise",
        suites=(
            "tests/training/shelves/test_ownership.py",
            "tests/training/test_two_installations.py",
            "faults 14",
        ),
    ),
    Mutant(
        name="a backup is not read back",
        path="training/backups.py",
        old="manifest = artifacts.read_back(Backup, name)",
        new="manifest = artifacts.read_manifest(\n"
        "                artifacts.local_shelf_of(Backup.DIRECTORY).directory(name),\n"
        "                keys=artifacts.settings.ARTIFACT_SIGNING_KEYS,\n"
        "                kind=Backup.DIRECTORY,\n"
        "            )",
        suites=("tests/training/shelves/test_durability.py",),
    ),
)

SESSION = (
    Mutant(
        name="a version is published without the fence",
        path=SESSIONS,
        old="    held = _held(session_id, attempt).filter(cancel_requested=False)\n    if not _end(held, Status.SUC",
        new="    held = TrainingSession.objects.filter(pk=session_id)\n    if not _end(held, Status.SUC",
        suites=("tests/training/test_runner.py::TestFence", "tests/training/test_sessions.py", "faults 4"),
    ),
    Mutant(
        name="the fence forgets the lease",
        path=SESSIONS,
        old="        pk=session_id, status=Status.RUNNING, attempts=attempt, heartbeat_at__gt=database_now() - lease\n",
        new="        pk=session_id, status=Status.RUNNING, attempts=attempt, heartbeat_at__lt=database_now() + lease\n",
        suites=("tests/training/test_sessions.py",),
    ),
    Mutant(
        name="an attempt that lost its session does not leave",
        path="training/runner.py",
        old="                os._exit(LOST)\n",
        new="                return\n",
        suites=(
            "tests/training/test_supervisor.py::test_a_subprocess_without_its_supervisor_s_heartbeat_leaves",
        ),
    ),
    Mutant(
        name="two sessions may be active",
        path="training/migrations/0001_initial.py",
        old="condition=models.Q(('status__in', ['queued', 'running'])), name='one_active_session'",
        new="condition=models.Q(('status__in', ['nothing'])), name='one_active_session'",
        suites=("tests/training/test_sessions.py", "faults 4"),
    ),
    Mutant(
        name="two versions may be active",
        path="training/migrations/0001_initial.py",
        old="condition=models.Q(('is_active', True)), fields=('is_active',), name='one_active_version'",
        new="condition=models.Q(('pk', 0)), fields=('is_active',), name='one_active_version'",
        suites=("tests/training/test_versions.py",),
    ),
    Mutant(
        name="a session is claimed without compare-and-set",
        path=SESSIONS,
        old="not _begin(queued.filter(attempts=attempts)):",
        new="not _begin(TrainingSession.objects.filter(pk=session_id)):",
        suites=("tests/training/test_sessions.py",),
    ),
    Mutant(
        name="an attempt whose worker died is not counted",
        path=SESSIONS,
        old="status=Status.QUEUED, step=Step.WAIT, progress=0, queued_at=database_now()",
        new="status=Status.QUEUED, step=Step.WAIT, progress=0, attempts=0, queued_at=database_now()",
        suites=("tests/training/test_sessions.py",),
    ),
    Mutant(
        name="a batch and its session are not one transaction",
        path=SESSIONS,
        old="    _refuse_while_active()\n    with transaction.atomic():\n        session = _create(trigger=TrainingSession.Trigger.API",
        new="    _refuse_while_active()\n    if True:\n        session = _create(trigger=TrainingSession.Trigger.API",
        suites=("tests/training/test_sessions.py", "faults 1"),
    ),
    Mutant(
        name="a request that is sent again begins again",
        path=SESSIONS,
        old="        begin=lambda: _accept(reports, user, request),\n    )",
        new="        begin=lambda: _accept(reports, user, request),\n    ) if request is None else _accept(reports, user, None)",
        suites=("tests/training/api/test_request_keys.py",),
    ),
)

SERVING = (
    Mutant(
        name="the gate lets the worse on average pass",
        path="training/versions.py",
        old="        passed = mean <= MEAN_TOLERANCE\n",
        new="        passed = True\n",
        suites=("tests/training/test_versions.py",),
    ),
    Mutant(
        name="the gate lets the worse in one aspect pass",
        path="training/versions.py",
        old="    if worse[worst] > TARGET_TOLERANCE:",
        new="    if worse[worst] > 100 * TARGET_TOLERANCE:",
        suites=("tests/training/test_versions.py",),
    ),
    Mutant(
        name="the gate's verdict is not asked for",
        path="training/runner.py",
        old='    if version.comparison["passed"] is not True:\n',
        new='    if "passed" not in version.comparison:\n',
        suites=("tests/training/test_runner.py",),
    ),
    Mutant(
        name="a version is activated without being loaded",
        path="training/versions.py",
        old="    artifacts.load_scorer(version)\n    failpoint",
        new="    failpoint",
        suites=("tests/training/test_versions.py",),
    ),
    Mutant(
        name="what cannot be loaded replaces what works",
        path="predictions/predictor.py",
        old="        return State(loaded=before.loaded, failure=failure)",
        new="        return State(loaded=None, failure=failure)",
        suites=("tests/predictions/test_predictor.py", "faults 7"),
    ),
    Mutant(
        name="a restore is several transactions",
        path="training/restoring.py",
        old="        with transaction.atomic(), _wide_cache():",
        new="        with _wide_cache():",
        suites=("tests/training/backups/test_killed.py", "faults 8"),
    ),
    Mutant(
        name="a restore does not verify the backup",
        path="training/restoring.py",
        old='    on_step("Verifying the backup")\n    manifest = artifacts.verify(backup)',
        new='    on_step("Verifying the backup")\n    try:\n        manifest = artifacts.verify(backup)\n'
        "    except BackupError:\n        manifest = artifacts.read_manifest(\n"
        "            artifacts.directory_of(backup), keys=artifacts.settings.ARTIFACT_SIGNING_KEYS, kind=backup.DIRECTORY\n"
        "        )",
        suites=("tests/training/backups/test_tampering.py", "faults 7"),
    ),
    Mutant(
        name="retention removes the only backup of what serves",
        path="training/retention.py",
        old="            Reason.IN_USE: holding[:1],",
        new="            Reason.IN_USE: holding[:0],",
        suites=("tests/training/backups/test_retention.py", "tests/training/backups/test_kept.py"),
    ),
    Mutant(
        name="retention removes backups that were made by hand",
        path="training/retention.py",
        old="if backup.kind in Backup.BY_HAND]",
        new="if backup.kind in Backup.BY_HAND and not backup.pk]",
        suites=("tests/training/backups/test_kept.py",),
    ),
    Mutant(
        name="the gate passes what could not be compared",
        path="training/versions.py",
        old='        refusal = {"passed": False, "sentence": sentence, gate.WAITS: why}',
        new='        refusal = {"passed": True, "sentence": sentence, gate.WAITS: why}',
        suites=("tests/training/test_versions.py", "tests/training/test_runner.py", "faults 13"),
    ),
    Mutant(
        name="a champion that cannot be read is no champion",
        path="training/versions.py",
        old="    if unknown is not None:\n        return unknown\n",
        new="",
        suites=("tests/training/test_gate.py", "tests/training/test_runner.py", "faults 13"),
    ),
    Mutant(
        name="what a live web node cannot load is activated by itself",
        path="training/runner.py",
        old="    if unable := nodes.web_nodes_without(version.libraries):\n",
        new="    if unable := nodes.web_nodes_without({}):\n",
        suites=(
            "tests/training/test_runner.py",
            "tests/training/test_gate.py",
            "tests/training/test_library_mix.py",
        ),
    ),
    Mutant(
        name="a node with other libraries trains",
        path="training/nodes.py",
        old='    if version is None or not different or not _somebody_has(version.libraries):\n        return ""\n    return f',
        new='    if different:\n        return ""\n    return version and f',
        suites=("tests/training/test_nodes.py", "tests/training/test_library_mix.py"),
    ),
    Mutant(
        name="a repair takes the files of a backup that does not verify",
        path="training/repairs.py",
        old="    manifest = artifacts.verify(backup)\n    failpoint",
        new="    manifest = artifacts.read_manifest(\n"
        "        artifacts.directory_of(backup), keys=artifacts.settings.ARTIFACT_SIGNING_KEYS, kind=backup.DIRECTORY\n"
        "    )\n    failpoint",
        suites=("tests/training/test_repairs.py",),
    ),
)

DOORS = (
    Mutant(
        name="nobody is throttled",
        path="training/api/throttles.py",
        old="        return self._wait is None\n",
        new="        return True\n",
        suites=("tests/training/api/test_throttles.py",),
    ),
    Mutant(
        name="a permission is not asked for",
        path="training/api/permissions.py",
        old="                return request.user.has_perm(permission)\n",
        new="                return bool(permission)\n",
        suites=("tests/training/api/test_permissions.py",),
    ),
    Mutant(
        name="a proxied request counts as local",
        path="training/api/permissions.py",
        old="        and not any(name.startswith(PROXY_HEADERS) for name in request.META)\n",
        new="",
        suites=("tests/training/api/test_permissions.py",),
    ),
    Mutant(
        name="a missing worker is a 500",
        path="training/api/errors.py",
        old="    NoWorkerError: HTTPStatus.SERVICE_UNAVAILABLE,\n",
        new="",
        suites=("tests/training/api/test_guide_errors.py",),
    ),
)

REVIEW = (
    Mutant(
        name="what is decided is approved again",
        path="training/review.py",
        old="        if anomaly.status != Anomaly.Status.PENDING or anomaly.needs_two(for_two):\n",
        new="        if anomaly.needs_two(for_two):\n",
        suites=("tests/training/test_review.py", "tests/training/api/v1/test_anomalies.py"),
    ),
    Mutant(
        name="a changed anomaly keeps no history",
        path="training/records.py",
        old="            rows.note_history(change, user=user, reason=reason)\n",
        new="            rows.exists()\n",
        suites=("tests/training/test_records.py",),
    ),
)

OUTAGES = (
    Mutant(
        name="a database that does not answer is a 500",
        path="training/api/errors.py",
        old="    DatabaseUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,\n",
        new="",
        suites=("tests/predictions/test_without_database.py", "tests/test_outages.py", "faults 15"),
    ),
    Mutant(
        name="without the database nothing is predicted",
        path="predictions/predictor.py",
        old="        return replace(self.state, is_last_known=True)\n",
        new="        return State(is_last_known=True)\n",
        suites=("tests/predictions/test_without_database.py",),
    ),
    Mutant(
        name="a caller who was known once is known for ever",
        path="training/api/known_callers.py",
        old="    return time.monotonic() - moment > settings.KNOWN_CALLER_SECONDS\n",
        new="    return time.monotonic() - moment > settings.KNOWN_CALLER_SECONDS * 1e6\n",
        suites=("tests/predictions/test_without_database.py",),
    ),
    Mutant(
        name="a database that is back makes everybody late",
        path="training/troubles.py",
        old=" or outages.was_unavailable_within(HEARD_AGAIN)\n",
        new="\n",
        suites=("tests/training/test_watchdog.py",),
    ),
)

MUTANTS = (*FILES, *SESSION, *SERVING, *DOORS, *REVIEW, *OUTAGES)
