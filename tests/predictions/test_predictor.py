from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread, current_thread
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, connection, connections
from pytest_django import DjangoAssertNumQueries

from predictions import predictor
from predictions.predictor import Predictor, State
from tests.factories import VersionFactory
from tests.predictions.published import activate, publish_version
from training import artifacts
from training.models import ModelVersion

T = TypeVar("T")
Submit = Callable[[Callable[[], State]], "Future[State]"]

WAIT = 20.0  # seconds after which a test that hangs fails


def damage(version: ModelVersion) -> bytes:
    path = artifacts.directory_of(version) / "features.pkl"
    content = path.read_bytes()
    path.write_bytes(b"\x00" + content[1:])
    return content


def repair(version: ModelVersion, content: bytes) -> None:
    (artifacts.directory_of(version) / "features.pkl").write_bytes(content)


@contextmanager
def taking_no_write() -> Iterator[None]:
    """The database of this connection, as a standby or a read-only file is."""
    refuse, allow = "PRAGMA query_only = 1", "PRAGMA query_only = 0"
    if connection.vendor == "postgresql":
        refuse, allow = "SET default_transaction_read_only = on", "SET default_transaction_read_only = off"
    with connection.cursor() as cursor:
        cursor.execute(refuse)
        yield
        cursor.execute(allow)


def served(state: State) -> int:
    assert state.loaded is not None
    return state.loaded.version_id


class Loads:
    """Counts loads; where a gate is set for a version, the load waits there once it has begun."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self.began = Event()
        self.gates: dict[int, Event] = {}
        self._load = artifacts.load_scorer

    def __call__(self, version: ModelVersion, **options: bool) -> Any:
        self.versions.append(version.pk)
        scorer = self._load(version, **options)
        if version.pk in self.gates:
            self.began.set()
            assert self.gates[version.pk].wait(WAIT)
        return scorer


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    counting = Loads()
    monkeypatch.setattr(artifacts, "load_scorer", counting)
    return counting


@pytest.fixture
def submit() -> Iterator[Submit]:
    """Runs a function in a thread of its own, as a request runs, and closes that thread's connection."""

    def closing(function: Callable[[], T]) -> T:
        try:
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=8) as pool:
        yield lambda function: pool.submit(closing, function)


@pytest.mark.django_db
class TestOneThread:
    def test_nothing_is_served_before_the_first_activation(self) -> None:
        VersionFactory.create()
        assert predictor.current() == State()

    def test_the_active_version_is_loaded_once(self, version: ModelVersion, loads: Loads) -> None:
        first, second = predictor.current(), predictor.current()
        assert first is second
        assert served(first) == version.pk
        assert loads.versions == [version.pk]

    def test_a_request_costs_one_query(
        self, version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        predictor.current()
        with django_assert_num_queries(1) as queries:
            predictor.current()
        assert "LIMIT 1" in queries[0]["sql"]

    def test_it_follows_the_pointer_forth_and_back(self, version: ModelVersion) -> None:
        newer = publish_version(is_active=True)
        assert served(predictor.current()) == newer.pk
        activate(version)
        assert served(predictor.current()) == version.pk

    def test_nothing_is_served_any_more_when_no_version_is_active(self, version: ModelVersion) -> None:
        assert predictor.current().loaded is not None
        activate(None)
        assert predictor.current() == State()

    def test_a_broken_version_never_replaces_one_that_works(
        self, version: ModelVersion, loads: Loads
    ) -> None:
        working = predictor.current()
        broken = publish_version(is_active=True)
        damage(broken)
        state = predictor.current()
        assert state.loaded is working.loaded
        assert state.failure is not None
        assert state.failure.version_id == broken.pk
        assert state.failure.reason == "'features.pkl' in published_2 was altered."

    def test_a_broken_version_is_not_tried_with_every_request(
        self, version: ModelVersion, loads: Loads, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        damage(version)
        assert predictor.current().loaded is None
        with django_assert_num_queries(1):
            state = predictor.current()
        assert state.failure is not None
        assert state.loaded is None
        assert loads.versions == [version.pk]

    def test_a_repaired_version_serves_after_a_while(
        self, version: ModelVersion, loads: Loads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = damage(version)
        predictor.current()
        repair(version, content)
        assert predictor.current().loaded is None
        monkeypatch.setattr(predictor, "RETRY_AFTER", 0)
        state = predictor.current()
        assert served(state) == version.pk
        assert state.failure is None
        assert loads.versions == [version.pk, version.pk]

    def test_what_still_fails_is_logged_once(
        self, version: ModelVersion, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        damage(version)
        monkeypatch.setattr(predictor, "RETRY_AFTER", 0)
        for _ in range(3):
            predictor.current()
        said = f"{version} cannot be loaded; what served before keeps serving"
        assert [message for message in caplog.messages if "cannot be loaded" in message] == [said]

    @pytest.mark.django_db(transaction=True)
    def test_a_sound_version_is_loaded_without_writing(self, version: ModelVersion) -> None:
        """A database that is read-only, or locked by somebody, keeps no new process from serving."""
        with taking_no_write():
            assert served(predictor.current()) == version.pk

    @pytest.mark.django_db(transaction=True)
    def test_a_broken_version_has_its_reason_without_writing(self, version: ModelVersion) -> None:
        damage(version)
        with taking_no_write():
            failure = predictor.current().failure
        assert failure is not None
        assert failure.reason == "'features.pkl' in published_1 was altered."
        version.refresh_from_db()
        assert version.verification_error == ""  # it is told once the row can be

    def test_back_to_the_version_that_still_serves_needs_no_load(
        self, version: ModelVersion, loads: Loads
    ) -> None:
        working = predictor.current().loaded
        broken = publish_version(is_active=True)
        damage(broken)
        predictor.current()
        activate(version)
        assert predictor.current() == State(loaded=working)
        assert loads.versions == [version.pk, broken.pk]

    def test_a_failing_database_does_not_hold_the_lock(
        self, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(version: ModelVersion, **_options: bool) -> None:
            raise OperationalError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(artifacts, "load_scorer", fail)
            with pytest.raises(OperationalError, match="gone"):
                predictor.current()
        assert served(predictor.current()) == version.pk


@pytest.mark.django_db(transaction=True)
class TestThreads:
    def test_the_others_keep_serving_while_one_loads(
        self, version: ModelVersion, loads: Loads, submit: Submit
    ) -> None:
        predictor.current()
        newer = publish_version(is_active=True)
        gate = loads.gates[newer.pk] = Event()
        loader = submit(predictor.current)
        assert loads.began.wait(WAIT)
        others = [submit(predictor.current) for _ in range(5)]
        assert [served(other.result(WAIT)) for other in others] == [version.pk] * 5
        gate.set()
        assert served(loader.result(WAIT)) == newer.pk
        assert served(predictor.current()) == newer.pk
        assert loads.versions == [version.pk, newer.pk]

    def test_the_first_model_is_waited_for_and_loaded_once(
        self, version: ModelVersion, loads: Loads, submit: Submit
    ) -> None:
        gate = loads.gates[version.pk] = Event()
        requests = [submit(predictor.current) for _ in range(6)]
        assert loads.began.wait(WAIT)
        assert not any(request.done() for request in requests)
        gate.set()
        assert [served(request.result(WAIT)) for request in requests] == [version.pk] * 6
        assert loads.versions == [version.pk]

    def test_a_pointer_that_moves_during_a_load_is_followed_by_the_next_request(
        self, version: ModelVersion, loads: Loads, submit: Submit
    ) -> None:
        predictor.current()
        second = publish_version(is_active=True)
        gate = loads.gates[second.pk] = Event()
        loader = submit(predictor.current)
        assert loads.began.wait(WAIT)
        third = publish_version(is_active=True)
        gate.set()
        assert served(loader.result(WAIT)) == second.pk
        assert served(predictor.current()) == third.pk

    def test_a_thread_with_an_old_pointer_does_not_bring_the_old_version_back(
        self, version: ModelVersion, own_predictor: Predictor, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A slow thread reads the pointer, then it moves and is followed, then the slow thread goes on."""
        read, has_read, may_go_on = predictor._active_version_id, Event(), Event()
        slow: list[Thread] = []

        def slow_for_one_thread() -> int | None:
            version_id = read()
            if current_thread() in slow and not has_read.is_set():
                has_read.set()
                assert may_go_on.wait(WAIT)
            return version_id

        def late_request() -> State:
            slow.append(current_thread())
            return own_predictor.current()

        monkeypatch.setattr(predictor, "_active_version_id", slow_for_one_thread)
        late = submit(late_request)
        assert has_read.wait(WAIT)
        newer = publish_version(is_active=True)
        assert served(own_predictor.current()) == newer.pk
        may_go_on.set()
        assert served(late.result(WAIT)) == newer.pk
        assert served(own_predictor.state) == newer.pk

    def test_no_thread_sees_a_version_go_back(
        self, version: ModelVersion, own_predictor: Predictor, submit: Submit
    ) -> None:
        """Four threads ask all the time while five versions are activated one after the other."""
        done = Event()
        seen: list[list[int]] = []

        def ask() -> State:
            mine: list[int] = []
            seen.append(mine)
            while not done.is_set():
                mine.append(served(own_predictor.current()))
            return own_predictor.state

        askers = [submit(ask) for _ in range(4)]
        for _ in range(5):
            newest = publish_version(is_active=True)
        done.set()
        for asker in askers:
            asker.result(WAIT)
        assert served(own_predictor.current()) == newest.pk
        assert [ids == sorted(ids) for ids in seen] == [True] * 4
