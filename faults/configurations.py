"""How an installation is set up: what it stands on, and who gets in.

`sqlite` and `postgresql` are development installations, open on loopback, with local files. `production` is
what a plant runs: DEBUG=0 behind a reverse proxy, a token for each caller, PostgreSQL, Redis, and S3.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.product import database, free_port
from faults.mounts import DATABASE, MEDIA
from nodes.fleet import forget_keys, object_storage
from tests.queue_processes import MARK

CONFIGURATION = "FAULTS_CONFIGURATION"  # which of them, for the process that harms it
REDIS = "redis://127.0.0.1:6379/0"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """`figures` are those that it is put through; `short` those of the short form."""

    name: str
    figures: tuple[int, ...]
    short: tuple[int, ...]
    needs_server: bool = False
    is_production: bool = False


FIRST = range(1, 10)  # figures of processes, files and writes that fail
CONFIGURATIONS = {
    each.name: each
    for each in (
        Configuration(name="sqlite", figures=(*FIRST, 13, 14, 16), short=(1, 2, 3, 5, 6, 7)),
        Configuration(name="postgresql", figures=(*FIRST, 13, 16), short=(1, 2, 4, 8, 9), needs_server=True),
        Configuration(
            name="production",
            figures=(*range(1, 6), 13, 14, 15, 16),
            short=(15, 16),
            needs_server=True,
            is_production=True,
        ),
    )
}


@contextmanager
def installed(configuration: Configuration, scratch: Path, server: str) -> Iterator[dict[str, str]]:
    """The environment of an installation that has nothing yet, and loses everything at the end."""
    with ExitStack() as stack:
        address = f"{server}/x" if configuration.needs_server else ""
        url = stack.enter_context(database(scratch / DATABASE, address))
        environment = _common(scratch, url) | {CONFIGURATION: configuration.name}
        if configuration.is_production:
            environment |= stack.enter_context(object_storage(scratch)) | _production()
            stack.callback(forget_keys, environment["REDIS_URL"], environment["REDIS_PREFIX"])
        yield environment


def _common(scratch: Path, url: str) -> dict[str, str]:
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "anomalyproject.settings",
        "DATABASE_URL": url,
        "MEDIA_ROOT": str(scratch / MEDIA),
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "DEBUG": "1",
        "SECRET_KEY": secrets.token_hex(32),
        "ARTIFACT_SIGNING_KEYS": secrets.token_hex(32),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOG_LEVEL": "WARNING",
        "KEEP_MODEL_VERSIONS": "5",  # so that trainings remove old ones too
        "KEEP_BACKUPS": "8",
        "DISK_FREE_MIB": "8",  # some trials give it a disk of few MiB
        MARK: secrets.token_hex(8),
    }


def _production() -> dict[str, str]:
    return {
        "DEBUG": "0",
        "ALLOWED_HOSTS": "127.0.0.1",
        "BEHIND_PROXY": "1",
        "REDIS_URL": REDIS,
        "REDIS_PREFIX": f"faults-{secrets.token_hex(4)}",
        "LOG_FORMAT": "json",
        "FAILPOINTS_ALLOWED": "1",
        **{f"THROTTLE_{kind}": "100000/minute" for kind in ("READ", "WRITE", "PREDICT")},
    }
