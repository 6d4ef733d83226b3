"""Settings from the environment: a value that makes no sense stops the start, with its name."""

import ipaddress
import os
import re
import secrets
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from anomalyproject.logs import FORMATS, JSON, LINE
from training.ml import failpoints, libraries

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}
BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)/?")
DATABASE_ENGINES = {"django.db.backends.postgresql", "django.db.backends.sqlite3"}
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def env_str(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env_str(name, default).split(",") if part.strip()]


def env_bool(name: str, *, default: bool) -> bool:
    value = env_str(name).strip().lower()
    if not value:
        return default
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be one of 1/0, true/false, yes/no, on/off, got {value!r}")
    return value in TRUE


def env_int(name: str, *, default: int, minimum: int = 0) -> int:
    value = env_str(name).strip()
    if not value:
        return default
    try:
        number = int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a whole number, got {value!r}") from error
    if number < minimum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum}, got {number}")
    return number


def env_networks(name: str, default: str = "") -> list[Network]:
    """Networks in CIDR notation, comma-separated; an address alone is a network of one."""
    try:
        return [ipaddress.ip_network(part) for part in env_list(name, default)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be networks such as 10.1.0.0/16: {error}") from error


def env_choice(name: str, *, choices: tuple[str, ...], default: str) -> str:
    value = env_str(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def env_database(name: str, *, default: str) -> dict[str, Any]:
    """The DATABASES entry for `postgres://…` or `sqlite:///path`.

    The error does not show the value: it may hold a password.
    """
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(env_str(name).strip() or default, conn_max_age=60))
    except ValueError:
        found = {}
    if found.get("ENGINE") not in DATABASE_ENGINES or found["NAME"] in {"", ":memory:"}:
        raise ImproperlyConfigured(
            f"{name} must be postgres://user:password@host:port/name or sqlite:////absolute/path"
        )
    return found


def env_logging() -> dict[str, str]:
    """Kind and level of the logs, as `logs.logging_config` takes them."""
    default = LINE if env_bool("DEBUG", default=True) else JSON
    kind = env_choice("LOG_FORMAT", choices=FORMATS, default=default)
    return {"kind": kind, "level": env_str("LOG_LEVEL", "INFO")}


def env_storage(name: str, *, timeout: int) -> dict[str, Any]:
    """The STORAGES entry for `s3://bucket/prefix`, or for local disk when it is not set.

    Keys, region and endpoint are those of the usual variables: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN, AWS_REGION (or AWS_DEFAULT_REGION) and AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL).
    """
    address = env_str(name)
    if not address:
        return {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    found = BUCKET.fullmatch(address)
    if found is None:
        raise ImproperlyConfigured(f"{name} must be s3://bucket or s3://bucket/prefix, got {address!r}")
    if bool(env_str("AWS_ACCESS_KEY_ID")) != bool(env_str("AWS_SECRET_ACCESS_KEY")):
        raise ImproperlyConfigured("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together")
    endpoint = _env_url("AWS_ENDPOINT_URL_S3") or _env_url("AWS_ENDPOINT_URL")
    from botocore.config import Config  # noqa: PLC0415  # takes a moment to load: for who uses it

    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": found[1],
            "location": found[2].strip("/"),
            "endpoint_url": endpoint,
            "region_name": env_str("AWS_REGION") or env_str("AWS_DEFAULT_REGION") or None,
            "client_config": Config(
                connect_timeout=timeout,
                read_timeout=timeout,
                retries={"mode": "standard", "total_max_attempts": 3},
                s3={"addressing_style": "path" if endpoint else "auto"},
            ),
        },
    }


def env_cache(name: str, *, prefix: str) -> dict[str, Any]:
    """The CACHES entry for the Redis at that address, or for each process alone when it is not set."""
    address = env_str(name)
    if not address:
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    if urlsplit(address).scheme not in {"redis", "rediss", "unix"}:
        raise ImproperlyConfigured(f"{name} must be redis://host:port/database, rediss://… or unix://…")
    from redis.backoff import NoBackoff  # noqa: PLC0415  # takes a moment to load: for who uses it
    from redis.retry import Retry  # noqa: PLC0415  # as above

    return {
        "BACKEND": "anomalyproject.shared_cache.SharedCache",
        "LOCATION": address,
        "KEY_PREFIX": prefix,
        "OPTIONS": {
            "serializer": "anomalyproject.shared_cache.SignedSerializer",
            "socket_connect_timeout": 0.5,
            "socket_timeout": 0.5,
            "retry": Retry(NoBackoff(), 1),  # a connection that Redis closed meanwhile is no failure
        },
    }


def _env_url(name: str) -> str | None:
    value = env_str(name)
    if value and not (urlsplit(value).scheme in {"http", "https"} and urlsplit(value).hostname):
        raise ImproperlyConfigured(f"{name} must be an http:// or https:// address, got {value!r}")
    return value or None


class Rate(NamedTuple):
    """So many in so many seconds."""

    limit: int
    seconds: int


def env_rate(name: str, *, default: str) -> Rate | None:
    """A rate such as 300/minute, or "off": None."""
    value = env_str(name).strip().lower() or default
    if value == "off":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,8})/(second|minute|hour)", value)
    if found is None:
        raise ImproperlyConfigured(f"{name} must be off, or a rate such as 300/minute, got {value!r}")
    return Rate(int(found[1]), {"second": 1, "minute": 60, "hour": 3_600}[found[2]])


def env_secret(name: str, *, development_directory: Path | None) -> str:
    """The secret of that name; in development one that is made once and kept in a private file.

    Raises ImproperlyConfigured when it is not set and there is no development directory.
    """
    value = env_str(name)
    if value:
        return value
    if development_directory is None:
        raise ImproperlyConfigured(f"{name} must be set when DEBUG is off")
    development_directory.mkdir(mode=0o700, exist_ok=True)
    path = development_directory / name.lower()
    if not path.exists():
        _create_once(path, secrets.token_urlsafe(48))
    return path.read_text(encoding="ascii")


def arm_failpoints(*, debug: bool) -> None:
    """Faults on purpose, when FAILPOINTS or FAILPOINTS_SHOTS asks for them: see training.ml.failpoints.

    FAILPOINTS_LIBRARIES has the process take its libraries for others: see training.ml.libraries.
    With DEBUG off that stops the start, unless FAILPOINTS_ALLOWED says that it is meant.
    """
    points, shots = env_str("FAILPOINTS"), env_str("FAILPOINTS_SHOTS")
    pretended = env_str("FAILPOINTS_LIBRARIES")
    if not points and not shots and not pretended:
        return
    if not debug and not env_bool("FAILPOINTS_ALLOWED", default=False):
        raise ImproperlyConfigured("FAILPOINTS make processes die on purpose: not when DEBUG is off")
    try:
        failpoints.arm(points, shots=Path(shots) if shots else None)
        libraries.pretend(pretended)
    except ValueError as error:
        raise ImproperlyConfigured(f"FAILPOINTS: {error}") from error


def _create_once(path: Path, text: str) -> None:
    """Of several processes that start together, one writes the file and all read the same."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(text, encoding="ascii")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
