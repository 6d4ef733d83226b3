"""Training by hand, and the commands that are not meant for people."""

import sys
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.factories import ApprovedFactory, SessionFactory
from training import runner, sessions
from training.launcher import Launcher
from training.management.commands import train
from training.models import Activation, ModelVersion, TrainingSession
from training.supervisor import Listener

Status = TrainingSession.Status


@pytest.fixture
def in_process(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt runs here, instead of in a subprocess that could not see the test's transaction."""

    def supervise(session_id: int, *, launcher: Launcher, listener: Listener) -> None:
        attempt = sessions.claim(session_id)
        assert attempt == 1
        listener.on_tick()
        listener.on_line("a line\n")
        runner.run_attempt(session_id, attempt)
        listener.on_tick()

    monkeypatch.setattr(train, "supervise", supervise)


@pytest.fixture
def approved(db: None) -> None:
    for n in range(12):
        ApprovedFactory.create(description=f"fuite vapeur vanne {n}")


def run(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("train", *arguments, stdout=out)
    return out.getvalue().splitlines()


@pytest.mark.usefixtures("in_process", "approved")
class TestTrain:
    def test_prints_the_figures(self) -> None:
        lines = run()
        version = ModelVersion.objects.get()
        assert lines == [
            f"version {version.pk}, 12 records",
            "held out            rows     MAE   dummy  champion   exact recall>=4",
            "availability           4   0.000   0.000         -   1.000         -",
            "fiability              4   0.000   0.000         -   1.000         -",
            "process_safety         4   0.000   0.000         -   1.000         -",
            "There was no champion to compare with.",
        ]
        session = TrainingSession.objects.get()
        assert (session.trigger, session.status) == (TrainingSession.Trigger.COMMAND, Status.SUCCEEDED)
        assert version.is_active is False

    def test_activate(self) -> None:
        assert run("--activate")[-1] == f"version {ModelVersion.objects.get().pk} serves now."
        assert run("--activate")[2] == "availability           4   0.000   0.000     0.000   1.000         -"
        assert list(Activation.objects.order_by("pk").values_list("reason", flat=True)) == [
            "first",
            "request",
        ]
        assert ModelVersion.objects.active() == ModelVersion.objects.latest("pk")

    def test_a_bar_on_a_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        run()
        shown = capsys.readouterr().err
        assert "a line\n" in shown
        assert "publishing" in shown

    def test_ctrl_c_cancels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(session_id: int, **_: Any) -> None:
            sessions.claim(session_id)
            raise KeyboardInterrupt

        monkeypatch.setattr(train, "supervise", interrupt)
        with pytest.raises(CommandError, match=r"session \d+ cancelled: Cancelled\."):
            run()
        assert TrainingSession.objects.get().status == Status.CANCELLED


@pytest.mark.usefixtures("in_process")
class TestRefusals:
    def test_nothing_approved(self) -> None:
        with pytest.raises(CommandError, match="There is no approved anomaly to train on"):
            run()

    @pytest.mark.usefixtures("approved")
    def test_another_session(self) -> None:
        SessionFactory.create(status=Status.RUNNING, attempts=1, heartbeat_at=timezone.now())
        with pytest.raises(CommandError, match="Training already in progress"):
            run()

    @pytest.mark.usefixtures("approved")
    def test_a_failure_has_its_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(session_id: int, **_: Any) -> None:
            sessions.claim(session_id)
            sessions.fail(session_id, 1, reason="The training timed out after 1 s.")

        monkeypatch.setattr(train, "supervise", fail)
        with pytest.raises(CommandError, match=r"session \d+ failed: The training timed out after 1 s\."):
            run()


@pytest.mark.parametrize(
    ("command", "promise"),
    [
        ("train", "without a queue"),
        ("qcluster", "Runs the queue that trains"),
        ("run_training", "Internal"),
    ],
)
def test_help(command: str, promise: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        call_command(command, "--help")
    assert exit_.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert promise in shown
    assert "--unsupervised" not in shown
