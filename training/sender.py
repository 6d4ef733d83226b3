"""Who sends the notices: a thread beside the queue's watch, so that no listener keeps a training waiting."""

import logging
import threading
import time

from django.db import Error, close_old_connections, connection

from training import deliveries
from training.outages import FailureLog

failures = FailureLog(logging.getLogger(__name__))

OUTBOX = "The outbox cannot be read"
LOOK = 2.0  # seconds between looks at the outbox
TIDY = 3_600.0  # seconds between removals of old deliveries
LEAVE = 2.0  # seconds that it has to end; what it was sending then is sent again


class Sender:
    """The thread, started again should it ever die."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def keep(self) -> None:
        """See to it that it works."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=send_until, args=(self._stop,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(LEAVE)


def send_until(stop: threading.Event) -> None:
    """Send what is due until asked to stop; outlives a database that restarts, or is not migrated yet."""
    tidied = -TIDY
    while not stop.wait(LOOK):
        try:
            close_old_connections()
            while deliveries.send_due() and not stop.is_set():
                pass
            if time.monotonic() - tidied > TIDY:
                tidied = time.monotonic()
                deliveries.prune_deliveries()
        except Error as error:
            failures.failed(OUTBOX, error)
            connection.close()
        else:
            failures.succeeded(OUTBOX)
    connection.close()
