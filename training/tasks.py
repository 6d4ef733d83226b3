"""What the queue calls. The session's row is the truth: a message that comes twice, or late, does nothing."""

from training import schedules, sessions
from training.launcher import Launcher
from training.supervisor import supervise

launcher = Launcher()  # this worker's, for all its trainings


def run_session(session_id: int) -> None:
    """A training session waits: take it, if nobody else did, and see it to its end."""
    sessions.recover_sessions()
    supervise(session_id, launcher=launcher)


def train_on_schedule() -> None:
    """The schedule is due: train when there is enough to learn, or record why not."""
    session = schedules.start_scheduled_session()
    if session.is_active:
        supervise(session.pk, launcher=launcher)


def answer() -> None:
    """The queue is asked whether it works: `doctor`."""
