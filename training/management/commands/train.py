"""Training by hand, without a queue."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from training import nodes, sessions, versions
from training.errors import TrainingError
from training.launcher import Launcher
from training.management.acting import ActingCommand
from training.ml.records import TARGETS
from training.models import Activation, ModelVersion, TrainingSession
from training.supervisor import Listener, supervise

ROW = "{:<16}{:>8}{:>8}{:>8}{:>10}{:>8}{:>10}"
HEADINGS = ("held out", "rows", "MAE", "dummy", "champion", "exact", "recall>=4")


class Command(ActingCommand):
    help = (
        "Trains a model version on every approved anomaly, here and now, without a queue: backs up, fits, "
        "measures on held-out records, publishes. Prints the figures. Ctrl-C cancels. The exit code is not "
        "0 when the training failed, or another one is active."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--activate", action="store_true", help="let the new version serve, better or not (default: no)"
        )

        parser.add_argument(
            "--other-libraries",
            action="store_true",
            help="train although this node has other libraries than the active version and another node has "
            "those: the step of a rolling upgrade (docs/upgrade.md)",
        )

    def handle(self, *, activate: bool, other_libraries: bool, **options: Any) -> None:
        try:
            if not other_libraries and (refusal := nodes.why_no_training()):
                raise CommandError(f"{refusal} Train on a node that has those, or see docs/upgrade.md.")
            version = train(self.user)
            self.stdout.write(figures(version))
            if activate:
                let_serve(version, self.user, f"train --activate {self.by}")
                self.stdout.write(self.style.SUCCESS(f"{version} serves now."))
        except TrainingError as error:
            raise CommandError(str(error)) from error


def train(user: User | None) -> ModelVersion:
    """Raises TrainingError, or CommandError with the session's reason."""
    session = sessions.start_session(trigger=TrainingSession.Trigger.COMMAND, user=user, enqueue=False)
    with progress(session) as listener, Launcher() as launcher:
        try:
            supervise(session.pk, launcher=launcher, listener=listener)
        except KeyboardInterrupt:
            sessions.cancel_session(session=session, user=user)
            sessions.confirm_cancel(session.pk, session.attempts)
    session.refresh_from_db()
    if session.model_version is None:
        raise CommandError(f"{session} {session.get_status_display()}: {session.reason}")
    return session.model_version


@contextmanager
def progress(session: TrainingSession) -> Iterator[Listener]:
    """A bar on a terminal; elsewhere the subprocess's log tells each step."""
    if not sys.stderr.isatty():
        yield Listener()
        return
    with tqdm(total=100, bar_format="{desc:<32}{bar} {percentage:3.0f} % {elapsed}", leave=False) as bar:

        def on_tick() -> None:
            session.refresh_from_db(fields=["step", "progress"])
            bar.n = session.progress
            bar.set_description_str(session.get_step_display())  # and draws

        yield Listener(on_tick=on_tick, on_line=lambda line: bar.write(line, file=sys.stderr, end=""))


def let_serve(version: ModelVersion, user: User | None, note: str) -> None:
    """Raises FrozenError or UnservableVersionError."""
    first = ModelVersion.objects.active() is None
    reason = Activation.Reason.FIRST if first else Activation.Reason.REQUEST
    versions.activate_version(version=version, reason=reason, user=user, note=note)


def figures(version: ModelVersion) -> str:
    """The few numbers that decide first, on held-out records, and the gate's sentence."""
    metrics, champion = version.metrics, version.comparison["champion"]
    lines = [f"{version}, {version.dataset_rows} records", ROW.format(*HEADINGS)]
    for target in TARGETS:
        of_model, of_dummy = metrics["model"][target], metrics["dummy"][target]
        numbers = (of_model["mae"], of_dummy["mae"], champion.get(target), of_model["exact"])
        shown = [_number(value) for value in (*numbers, of_model["recall_ge_4"])]
        lines.append(ROW.format(target, metrics["rows"], *shown))
    return "\n".join([*lines, version.comparison["sentence"]])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
