from ipaddress import ip_network
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from anomalyproject.env import arm_failpoints, env_networks
from training.ml import failpoints


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


def test_a_failpoint_that_does_not_exist_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILPOINTS", "training.nowhere=kill")
    with pytest.raises(ImproperlyConfigured, match=r"^FAILPOINTS: there is no failpoint"):
        arm_failpoints(debug=True)
