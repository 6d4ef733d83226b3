"""The model that this process serves.

Every request compares the active version's id with what is loaded: one query. When it moved, one
thread loads, and the others keep serving what they have until the new model has shown that it can
predict. Nothing is loaded at start: processes fork after that.
"""

import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import Error, connection

from training import artifacts, outages
from training.errors import IncompatibleVersionError, UnservableVersionError
from training.models import ModelVersion
from training.outages import DatabaseUnavailableError

if TYPE_CHECKING:  # scikit-learn imports for a second: only who loads a model pays
    from training.ml.neighbours import NeighbourIndex
    from training.ml.scorer import AnomalyScorer

logger = logging.getLogger(__name__)

# Seconds after which a version that could not be loaded is tried again: its files may have been repaired.
RETRY_AFTER = 30.0
PATIENCE = 2.0  # seconds that the database has to say which version is active
LOADING = 5.0  # seconds that a request waits for the thread that loads the first model


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    version_id: int
    scorer: "AnomalyScorer"

    @cached_property
    def neighbours(self) -> "NeighbourIndex":
        """The records that the version learned from, loaded when somebody first asks for similar ones.

        Raises UnservableVersionError.
        """
        return artifacts.load_neighbours(ModelVersion.objects.get(pk=self.version_id))


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An active version that this process could not load, and when (on the monotonic clock)."""

    version_id: int
    reason: str
    failed_at: float
    is_incompatible: bool = False  # sound files, and this process has other libraries

    @property
    def what(self) -> tuple[int, str]:
        """The same for each try that fails in the same way."""
        return self.version_id, self.reason

    def is_recent(self) -> bool:
        return time.monotonic() - self.failed_at < RETRY_AFTER


@dataclass(frozen=True, kw_only=True)
class State:
    """What a predictor serves, and what it should serve but cannot.

    Replaced as a whole: a thread that reads it without the lock never sees half of a change.
    """

    loaded: LoadedModel | None = None
    failure: Failure | None = None
    is_last_known: bool = False  # the database does not say at the moment whether it should still serve
    is_loading: bool = False  # another thread is at it, and took longer than a request waits

    def follows(self, version_id: int | None) -> bool:
        """There is nothing to do: that version is loaded, or failed to load a moment ago."""
        if self.failure is not None:
            return self.failure.version_id == version_id and self.failure.is_recent()
        return version_id == (self.loaded.version_id if self.loaded else None)


class Predictor:
    """Follows the active version. One for a process; callable from any thread."""

    def __init__(self) -> None:
        self.state = State()
        self._loading = threading.Lock()
        self._confirmed_at = -math.inf  # when the database last said what is active, on the monotonic clock

    def current(self) -> State:
        """The state that follows the active version, or the one before while another thread loads.

        `loaded` is None while no version is active, and while the first one cannot be loaded.
        """
        follows = self.state.follows(_active_version_id())
        self._confirmed_at = time.monotonic()
        if follows:
            return self.state
        # Who has nothing to serve waits for the thread that loads; the others go on.
        if not self._loading.acquire(timeout=0 if self.state.loaded else LOADING):
            return replace(self.state, is_loading=True)
        try:
            self._follow()
        finally:
            self._loading.release()
        return self.state

    def last_known(self) -> State:
        """The state that the database confirmed last, LAST_KNOWN_MODEL_SECONDS ago at most; asks nothing."""
        if time.monotonic() - self._confirmed_at > settings.LAST_KNOWN_MODEL_SECONDS:
            return State(is_last_known=True)
        return replace(self.state, is_last_known=True)

    def _follow(self) -> None:
        """Serve what is active now.

        The state changes only here, and the id is read again under the lock: a thread that read an
        older one before it got the lock cannot bring an older version back.
        """
        version_id, loaded = _active_version_id(), self.state.loaded
        if self.state.follows(version_id):
            return
        if version_id is None or (loaded is not None and loaded.version_id == version_id):
            self.state = State(loaded=loaded if version_id else None)
        else:
            self.state = _load(version_id, self.state)


def _load(version_id: int, before: State) -> State:
    version = ModelVersion.objects.get(pk=version_id)
    try:
        scorer = artifacts.load_scorer(version, copy_will_do=True)
    except UnservableVersionError as error:
        failure = Failure(
            version_id=version_id,
            reason=str(error),
            failed_at=time.monotonic(),
            is_incompatible=isinstance(error, IncompatibleVersionError),
        )
        if before.failure is None or before.failure.what != failure.what:  # not each time that it is tried
            logger.exception("%s cannot be loaded; what served before keeps serving", version)
        return State(loaded=before.loaded, failure=failure)
    logger.info("%s serves", version)
    return State(loaded=LoadedModel(version_id=version_id, scorer=scorer))


def _active_version_id() -> int | None:
    """Every request asks: to build the statement anew would take longer than the answer."""
    with connection.cursor() as cursor:
        cursor.execute(*_statement())
        row = cursor.fetchone()
    return row[0] if row else None


@cache
def _statement() -> tuple[str, Sequence[Any]]:
    return (
        ModelVersion.objects.filter(is_active=True).order_by().values_list("pk")[:1].query.sql_with_params()
    )


_predictor = Predictor()


def current() -> State:
    """What this process serves, after a look at what is active."""
    return _predictor.current()


def current_or_last_known() -> State:
    """The same; while the database does not answer, what it said last. Says which by `is_last_known`."""
    try:
        outages.require_database()
        with outages.answering_within(PATIENCE):
            return _predictor.current()
    except (Error, DatabaseUnavailableError) as error:
        if outages.report(error) is None:
            raise
        return last_confirmed()


def last_confirmed() -> State:
    """What the database said last, LAST_KNOWN_MODEL_SECONDS ago at most, without a look at it."""
    return _predictor.last_known()
