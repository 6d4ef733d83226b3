from ipaddress import ip_network
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from anomalyproject.env import Rate, arm_failpoints, env_database, env_networks, env_rate, env_storage
from training.ml import failpoints, libraries


def test_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETWORKS", "10.1.0.0/16, 192.0.2.7,fd00::/8")
    assert env_networks("NETWORKS") == [
        ip_network("10.1.0.0/16"),
        ip_network("192.0.2.7/32"),
        ip_network("fd00::/8"),
    ]
    monkeypatch.delenv("NETWORKS")
    assert env_networks("NETWORKS") == []


@pytest.mark.parametrize("wrong", ["plant", "10.1.0.1/16", "10.0.0.0/40"])
def test_what_is_no_network_stops_the_start(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETWORKS", wrong)
    with pytest.raises(ImproperlyConfigured, match=r"^NETWORKS must be networks such as 10\.1\.0\.0/16: "):
        env_networks("NETWORKS")


@pytest.mark.parametrize("value", [None, "", " "])
def test_no_database_is_the_default(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("DATABASE_URL", value)
    assert env_database("DATABASE_URL", default="sqlite:////srv/db.sqlite3")["NAME"] == "/srv/db.sqlite3"


@pytest.mark.parametrize(
    "wrong",
    ["plant", "mysql://a:secret@b/c", "postgres://a:secret@b:port/c", "postgres://a:secret@b", "sqlite:"],
)
def test_what_is_no_database_stops_the_start_and_shows_no_password(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", wrong)
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL must be postgres://user") as told:
        env_database("DATABASE_URL", default="sqlite:////srv/db.sqlite3")
    assert "secret" not in str(told.value)


def test_artifacts_are_on_local_disk_unless_a_bucket_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTIFACT_STORAGE", "")
    assert env_storage("ARTIFACT_STORAGE", timeout=5) == {
        "BACKEND": "django.core.files.storage.FileSystemStorage"
    }


@pytest.mark.parametrize(
    ("address", "location"),
    [("s3://plant", ""), ("s3://plant/", ""), ("s3://plant.a-1/north/unit_2/", "north/unit_2")],
)
def test_a_bucket(address: str, location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"AWS_ENDPOINT_URL": "http://10.1.2.3:9000", "AWS_REGION": "eu-west-3"}
    for name, value in (given | {"ARTIFACT_STORAGE": address}).items():
        monkeypatch.setenv(name, value)

    storage = env_storage("ARTIFACT_STORAGE", timeout=5)

    options = storage["OPTIONS"]
    assert storage["BACKEND"] == "storages.backends.s3.S3Storage"
    assert (options["bucket_name"], options["location"]) == (address.split("/")[2], location)
    assert (options["endpoint_url"], options["region_name"]) == ("http://10.1.2.3:9000", "eu-west-3")
    config = options["client_config"]
    assert (config.connect_timeout, config.read_timeout) == (5, 5)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}


@pytest.mark.parametrize(
    "address",
    ["/srv/media", "s3:/plant", "s3://", "s3://P", "s3://plant/../x", "s3://plant//x", "https://x/y"],
)
def test_what_is_no_bucket_stops_the_start(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTIFACT_STORAGE", address)
    with pytest.raises(
        ImproperlyConfigured, match=r"^ARTIFACT_STORAGE must be s3://bucket or s3://bucket/pre"
    ):
        env_storage("ARTIFACT_STORAGE", timeout=5)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_ENDPOINT_URL", "10.1.2.3:9000", "AWS_ENDPOINT_URL must be an http:// or https:// address"),
        ("AWS_ENDPOINT_URL_S3", "http://", "AWS_ENDPOINT_URL_S3 must be an http:// or https:// address"),
        ("AWS_ACCESS_KEY_ID", "key", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together"),
    ],
)
def test_half_an_address_of_a_bucket_stops_the_start(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTIFACT_STORAGE", "s3://plant")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=f"^{words}"):
        env_storage("ARTIFACT_STORAGE", timeout=5)


def test_failpoints_are_refused_in_the_plant(monkeypatch: pytest.MonkeyPatch) -> None:
    arm_failpoints(debug=False)
    monkeypatch.setenv("FAILPOINTS", "training.saved=crash")
    with pytest.raises(ImproperlyConfigured, match="not when DEBUG is off"):
        arm_failpoints(debug=False)
    failpoints.failpoint("training.saved")


@pytest.mark.parametrize("environment", [{"debug": True}, {"debug": False, "allowed": "1"}])
def test_failpoints_are_armed(environment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILPOINTS", "training.saved=crash")
    monkeypatch.setenv("FAILPOINTS_ALLOWED", environment.get("allowed", ""))
    try:
        arm_failpoints(debug=environment["debug"])
        with pytest.raises(failpoints.Crash):
            failpoints.failpoint("training.saved")
    finally:
        failpoints.disarm()


def test_libraries_are_pretended_where_failpoints_may_be_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILPOINTS_LIBRARIES", "scikit-learn=1.0.0")
    with pytest.raises(ImproperlyConfigured, match="not when DEBUG is off"):
        arm_failpoints(debug=False)
    assert libraries.installed()["scikit-learn"] != "1.0.0"
    try:
        arm_failpoints(debug=True)
        assert libraries.installed()["scikit-learn"] == "1.0.0"
    finally:
        libraries.pretend("")
    monkeypatch.setenv("FAILPOINTS_LIBRARIES", "sklearn=1.0.0")
    with pytest.raises(ImproperlyConfigured, match=r"^FAILPOINTS: 'sklearn=1.0.0' names no library"):
        arm_failpoints(debug=True)


def test_a_failpoint_that_does_not_exist_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILPOINTS", "training.nowhere=kill")
    with pytest.raises(ImproperlyConfigured, match=r"^FAILPOINTS: there is no failpoint"):
        arm_failpoints(debug=True)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [("300/minute", Rate(300, 60)), (" 5/Second ", Rate(5, 1)), ("7/hour", Rate(7, 3_600)), ("off", None)],
)
def test_rates(stated: str, expected: Rate | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", stated)
    assert env_rate("RATE", default="1/hour") == expected
    monkeypatch.delenv("RATE")
    assert env_rate("RATE", default="1/hour") == Rate(1, 3_600)


@pytest.mark.parametrize("wrong", ["300", "0/minute", "5/fortnight", "-5/hour", "5/minutes", "none"])
def test_what_is_no_rate_stops_the_start(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", wrong)
    with pytest.raises(ImproperlyConfigured, match=r"^RATE must be off, or a rate such as 300/minute"):
        env_rate("RATE", default="off")
