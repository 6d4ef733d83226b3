from ipaddress import ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured

from anomalyproject.env import Rate, env_networks, env_rate


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
