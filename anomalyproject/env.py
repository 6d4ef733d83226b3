"""Settings from the environment: a value that makes no sense stops the start, with its name."""

import ipaddress
import os
import re
import secrets
from pathlib import Path
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}
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


def env_networks(name: str) -> list[Network]:
    """Networks in CIDR notation, comma-separated; an address alone is a network of one."""
    try:
        return [ipaddress.ip_network(part) for part in env_list(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be networks such as 10.1.0.0/16: {error}") from error


def env_choice(name: str, *, choices: tuple[str, ...], default: str) -> str:
    value = env_str(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


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
