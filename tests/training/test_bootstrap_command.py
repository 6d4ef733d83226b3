import socket
from concurrent.futures import ThreadPoolExecutor, wait
from io import StringIO
from threading import Event

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from training.management.commands import bootstrap
from training.models import Anomaly, ModelVersion


@pytest.fixture
def port(settings: Settings) -> int:
    """A free port that the settings name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings.HOST, settings.PORT = "127.0.0.1", probe.getsockname()[1]
    return int(settings.PORT)


def run() -> str:
    output = StringIO()
    call_command("bootstrap", stdout=output)
    return output.getvalue()


def test_a_taken_port_is_named(port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(
            CommandError, match=rf"127\.0\.0\.1:{port} cannot be used \(Address already in use\)"
        ):
            bootstrap.require_free_port("127.0.0.1", port)


@pytest.mark.django_db
@pytest.mark.parametrize(("debug", "collects"), [(True, []), (False, ["collectstatic"])])
def test_each_step_is_done_once(
    port: int, settings: Settings, monkeypatch: pytest.MonkeyPatch, debug: bool, collects: list[str]
) -> None:
    settings.DEBUG = debug
    monkeypatch.setenv("ADMIN_USERNAME", "chief")
    monkeypatch.setenv("ADMIN_PASSWORD", "")
    done: list[str] = []
    monkeypatch.setattr(bootstrap, "call_command", lambda name, **_: done.append(name))

    first = run()
    admin = User.objects.get(is_superuser=True)
    assert admin.username == "chief"
    password = first.split("password ")[1].split(" ")[0]
    assert admin.check_password(password)
    assert f"http://127.0.0.1:{port}/admin/" in first
    assert done == [
        *collects,
        "migrate",
        "load_sample",
    ]  # the sample is replaced: nothing to train

    second = run()
    assert password not in second
    assert User.objects.count() == 1
    assert (Anomaly.objects.count(), ModelVersion.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_the_password_of_the_environment_is_not_printed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "given-by-the-plant")
    monkeypatch.setattr(bootstrap, "call_command", lambda *_, **__: None)
    assert "given-by-the-plant" not in run()
    assert User.objects.get().check_password("given-by-the-plant")


@pytest.mark.django_db(transaction=True)
def test_nodes_prepare_one_database_one_after_the_other() -> None:
    if connection.vendor != "postgresql":
        with bootstrap.one_node_at_a_time(), bootstrap.one_node_at_a_time():
            return  # there is one node: nothing to wait for
    order: list[str] = []
    other_waits = Event()

    def another_node() -> None:
        try:
            other_waits.set()
            with bootstrap.one_node_at_a_time():
                order.append("second")
        finally:
            connection.close()

    with ThreadPoolExecutor() as pool:
        with bootstrap.one_node_at_a_time():
            other = pool.submit(another_node)
            other_waits.wait()
            assert not wait([other], timeout=0.5).done
            order.append("first")
        other.result(timeout=30)
    assert order == ["first", "second"]
