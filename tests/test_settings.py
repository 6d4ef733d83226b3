"""The settings as a plant has them: what nobody opened is closed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PLANT = {
    "DEBUG": "0",
    "SECRET_KEY": "a-key-of-the-tests-alone-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEF",
    "ARTIFACT_SIGNING_KEYS": "another-key-of-the-tests-alone-0123456789",
    "ALLOWED_HOSTS": "anomalies.plant.example",
}
SHOW = (
    "import json; from anomalyproject import settings; "
    "print(json.dumps({name: getattr(settings, name, None) for name in json.loads(input())}))"
)


def run(*command: str, said: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    """With these variables and none that the tests' own settings come from."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DATABASE_URL") if name in os.environ}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=kept | environment,
        input=said,
        capture_output=True,
        text=True,
        check=False,
    )


def settings_of(*names: str, **environment: str) -> dict[str, Any]:
    done = run("-c", SHOW, said=json.dumps(names), **environment)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.mark.parametrize(
    ("environment", "anonymous", "is_open"),
    [
        ({}, True, True),
        ({"HOST": "0.0.0.0"}, False, False),  # noqa: S104  # what a plant may bind to
        ({"ANONYMOUS_READ": "0"}, False, True),
        (PLANT, False, False),
        (PLANT | {"HOST": "127.0.0.1"}, False, False),
        (PLANT | {"ANONYMOUS_READ": "1"}, True, False),
    ],
    ids=["development", "development, all interfaces", "asked", "plant", "plant on loopback", "opened"],
)
def test_who_need_not_say_who_they_are(environment: dict[str, str], anonymous: bool, is_open: bool) -> None:
    assert settings_of("ANONYMOUS_READ", "OPEN_DEVELOPMENT_MODE", **environment) == {
        "ANONYMOUS_READ": anonymous,
        "OPEN_DEVELOPMENT_MODE": is_open,
    }


def test_rates_count_in_a_plant_and_not_in_development() -> None:
    plant = {"login": [30, 60], "read": [1200, 60], "write": [300, 60], "predict": [1200, 60]}
    for kind in ("write", "predict"):
        plant |= {f"{kind}_records": [120_000, 60], f"{kind}_characters": [12_000_000, 60]}
    assert settings_of("THROTTLES", **PLANT) == {"THROTTLES": plant}
    assert settings_of("THROTTLES", THROTTLE_READ="7/second") == {
        "THROTTLES": dict.fromkeys(plant) | {"read": [7, 1]}
    }


@pytest.mark.parametrize("name", ["SECRET_KEY", "ARTIFACT_SIGNING_KEYS"])
def test_there_is_no_default_secret_in_a_plant(name: str) -> None:
    done = run("-c", SHOW, said="[]", **{key: value for key, value in PLANT.items() if key != name})
    assert done.returncode == 1
    assert done.stderr.endswith(f"ImproperlyConfigured: {name} must be set when DEBUG is off\n")


def test_what_a_proxy_says_is_believed_only_where_there_is_one() -> None:
    names = ("TRUSTED_PROXIES", "SECURE_PROXY_SSL_HEADER")
    believed = ["HTTP_X_FORWARDED_PROTO", "https"]
    for environment, proxies, header in (
        ({}, 0, None),
        ({"BEHIND_PROXY": "1"}, 1, believed),
        ({"TRUSTED_PROXIES": "2"}, 2, believed),
    ):
        assert settings_of(*names, **(PLANT | environment)) == dict(
            zip(names, (proxies, header), strict=True)
        )


def test_cookies_and_transport_are_locked_in_a_plant() -> None:
    expected = {
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_AGE": 43_200,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SECURE_HSTS_PRELOAD": True,
    }
    assert settings_of(*expected, **PLANT) == expected


def test_a_deployment_has_nothing_to_mend() -> None:
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PLANT)
    assert (done.returncode, done.stdout) == (0, "System check identified no issues (0 silenced).\n"), (
        done.stderr
    )
