"""What can go wrong in the training domain. Each error is translated to HTTP in api/errors.py."""

import errno
from collections.abc import Sequence


class TrainingError(Exception):
    """Base of every error of the domain; its text is fit to show to a person."""


class InvalidRecordsError(TrainingError):
    """A batch that breaks the contract. `errors` names every record and field; nothing was stored."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("Data validation failed")
        self.errors = list(errors)


class SessionActiveError(TrainingError):
    """A training session is queued or running: one at a time."""

    def __init__(self) -> None:
        super().__init__("Training already in progress. Please wait and try again.")


class KeyReusedError(TrainingError):
    """The Idempotency-Key names another request of the same caller."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was sent with another request: each one needs its own.")


class NoWorkerError(TrainingError):
    """No queue worker took the session in time. The records are kept."""


class NothingApprovedError(TrainingError):
    """There is no approved anomaly to train on."""


class LeaseLostError(TrainingError):
    """This attempt no longer holds the session: it was cancelled, or given to another worker."""


class NotAllowedNowError(TrainingError):
    """The row's state does not allow the action (already reviewed, already ended, active version)."""


class ChangedSinceError(NotAllowedNowError):
    """A later change stands in the way of the undo."""

    def __init__(self) -> None:
        super().__init__("The status or a score has changed since: undo that change first.")


class FrozenError(NotAllowedNowError):
    """Somebody froze what serves; the text says who, until when and why."""


class GateRefusedError(NotAllowedNowError):
    """The version did not pass the gate: whoever activates it all the same says why."""


class UnservableVersionError(TrainingError):
    """The version cannot be loaded; the one that serves keeps serving."""


class IncompatibleVersionError(UnservableVersionError):
    """The version's files are sound, and this process's libraries cannot read them: others' may."""


class BackupError(TrainingError):
    """The backup does not exist any more, or does not verify."""


class UnwritableBackupError(BackupError):
    """The disk or the storage took no backup, or no file of one; nothing is left of the attempt."""


class IncompatibleBackupError(BackupError):
    """The backup is sound, and this process's libraries cannot read its model: others' may."""


class ModelNotLoadedError(TrainingError):
    """No model serves in this process; the text names the remedy."""


class StorageError(OSError):
    """The object storage does not answer, or refuses: nothing is known of what it holds.

    An OSError, as a full disk is one; its text is fit to show to a person.
    """

    def __init__(self, text: str) -> None:
        super().__init__(errno.EIO, text)

    def __str__(self) -> str:
        return str(self.strerror)


class ForeignStorageError(StorageError):
    """The storage belongs to another installation, or nobody knows whose it is: nothing is changed there."""
