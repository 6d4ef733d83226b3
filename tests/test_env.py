from ipaddress import ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured

from anomalyproject.env import env_networks


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
