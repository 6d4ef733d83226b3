"""What the queue calls. The session's row is the truth: a message that comes twice, or late, does nothing."""

import logging
import time

from django_q.tasks import async_task

from training import nodes, schedules, sessions
from training.launcher import Launcher
from training.models import TrainingSession
from training.supervisor import supervise

logger = logging.getLogger(__name__)

OTHERS_TURN = 1.0  # seconds before a message that is another node's to take goes back to the queue

launcher = Launcher()  # this worker's, for all its trainings


def run_session(session_id: int) -> None:
    """A training session waits: take it, if nobody else did, and see it to its end."""
    sessions.recover_sessions()
    if refusal := nodes.why_no_training():
        _leave_to_others(refusal)
        if TrainingSession.objects.filter(pk=session_id, status=TrainingSession.Status.QUEUED).exists():
            sessions.ring(session_id)
        return
    supervise(session_id, launcher=launcher)


def train_on_schedule() -> None:
    """The schedule is due: train when there is enough to learn, or record why not."""
    if refusal := nodes.why_no_training():
        _leave_to_others(refusal)
        async_task(schedules.TRAIN_ON_SCHEDULE, task_name=schedules.NAME)
        return
    session = schedules.start_scheduled_session()
    if session.is_active:
        supervise(session.pk, launcher=launcher)


def _leave_to_others(refusal: str) -> None:
    """The watch ends this node's cluster in a moment; until then the message is not taken again at once."""
    logger.warning("A training is left to another node: %s", refusal)
    time.sleep(OTHERS_TURN)


def answer() -> None:
    """The queue is asked whether it works: `doctor`."""
