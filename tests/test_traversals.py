"""200 ways to write "another directory", at every route that takes a name or a path: none leaves its root."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from django.test import Client
from pytest_django import Settings

from tests.factories import UserFactory
from tests.routes import one_of_each
from tests.training.api.test_guide_errors import traversals

pytestmark = pytest.mark.django_db

PREFIXES = (
    "/static/",
    "/train/restore/",
    "/api/v1/backups/",
    "/api/v1/anomalies/",
    "/admin/training/backup/",
    "/admin/training/modelversion/",
    "/admin/training/fileimport/",
)
SUFFIXES = {
    "/api/v1/backups/": ("/", "/preview/", "/verify/", "/restore/"),
    "/admin/training/backup/": ("/restore/", "/verify/"),
    "/admin/training/modelversion/": ("/activate/",),
    "/admin/training/fileimport/": ("/refused/",),
}
HIDDEN = ("passwd", "secret_key")

_opened: list[str] = []
_watching: list[bool] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watching:
        _opened.append(str(arguments[0]))


sys.addaudithook(_hear)


@contextmanager
def watched() -> Iterator[list[str]]:
    """The names of all files that are opened in the block, by whatever code."""
    _opened.clear()
    _watching.append(True)
    try:
        yield _opened
    finally:
        _watching.clear()


def test_the_watch_sees_what_is_opened(tmp_path: Path) -> None:
    with watched() as opened:
        (tmp_path / "secret_key").write_text("x")
    assert opened == [str(tmp_path / "secret_key")]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_nothing_outside_is_reached(prefix: str, settings: Settings, media_root: Path) -> None:
    settings.WHITENOISE_USE_FINDERS = True
    one_of_each()
    for name in HIDDEN:
        (media_root / name).write_text("hidden")
    client = Client(raise_request_exception=False)
    client.force_login(
        UserFactory.create(is_staff=True, is_superuser=True),
        backend="django.contrib.auth.backends.ModelBackend",
    )
    paths = traversals()
    assert len(paths) >= 200
    with watched() as opened:
        for path in paths:
            for suffix in SUFFIXES.get(prefix, ("",)):
                for method in ("GET", "POST"):
                    response = client.generic(method, f"{prefix}{path}{suffix}")
                    is_unreadable = prefix.startswith("/admin/") and "\0" in unquote(path)
                    expected = {400} if is_unreadable else {302, 403, 404, 405}
                    assert response.status_code in expected, (method, prefix, path)
                    assert not response.streaming, (method, prefix, path)
        assert [name for name in opened if Path(name).name in HIDDEN or ".." in name] == []
