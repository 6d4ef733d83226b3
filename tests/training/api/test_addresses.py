"""A client's address is what our own proxies saw, never what the client says."""

from ipaddress import ip_network

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from training.api import addresses
from training.api.addresses import client_address, client_network, distrust_strangers, lockout_address

PROXY = "10.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "198.51.100.7", PROXY),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "127.0.0.1, 198.51.100.7", "198.51.100.7"),
        (2, "127.0.0.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        (2, "198.51.100.7", "198.51.100.7"),
        (1, "::ffff:198.51.100.7", "198.51.100.7"),
        (1, "2001:db8::7", "2001:db8::7"),
        (1, "", PROXY),
        (1, "198.51.100.7, <script>", PROXY),
        (1, "198.51.100.7,", PROXY),
        (1, "198.51.100.7:40001", "198.51.100.7"),
        (1, "203.0.113.9, 198.51.100.7:1", "198.51.100.7"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "[2001:db8::1]", "2001:db8::1"),
        (1, '"[2001:db8::1]:443"', "2001:db8::1"),
        (1, "[::ffff:198.51.100.7]:443", "198.51.100.7"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "[fe80::1%25eth0]:443", "fe80::1"),
        (1, "unknown", PROXY),
        (1, "_hidden", PROXY),
        (1, "198.51.100.7:port", PROXY),
        (1, "198.51.100.7:1:2", PROXY),
        (1, "198.51.100.7 203.0.113.9", PROXY),
        (1, "198.51.100.٧", PROXY),
        (1, "198.51.100.007", PROXY),
        (1, "1", PROXY),
        (2, "203.0.113.9, 198.51.100.7:5, 10.0.0.2:80", "198.51.100.7"),
        (2, "203.0.113.9, x, 198.51.100.7", "198.51.100.7"),
        (2, "x, y", PROXY),
        (3, "198.51.100.7, 10.0.0.2", "198.51.100.7"),
    ],
)
def test_the_address(proxies: int, forwarded: str, expected: str, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == expected


@pytest.mark.parametrize(
    ("peer", "networks", "expected"),
    [
        ("203.0.113.5", None, "203.0.113.5"),
        ("2001:db8::5", None, "2001:db8::5"),
        ("10.0.0.1", None, "198.51.100.7"),
        ("::ffff:10.0.0.1", None, "198.51.100.7"),
        ("127.0.0.1", None, "198.51.100.7"),
        ("::1", None, "198.51.100.7"),
        ("", None, "198.51.100.7"),  # a Unix socket
        ("10.0.0.1", "10.9.0.0/16", "10.0.0.1"),
        ("10.9.0.1", "10.9.0.0/16", "198.51.100.7"),
    ],
)
def test_a_stranger_who_reaches_the_port_chooses_no_address(
    peer: str, networks: str | None, expected: str, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = 1
    if networks:
        settings.TRUSTED_PROXY_NETWORKS = [ip_network(networks)]
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR="198.51.100.7:1")
    assert client_address(request) == expected


@pytest.mark.parametrize(("peer", "scheme"), [("10.0.0.1", "https"), ("203.0.113.5", "http")])
def test_nor_that_it_came_by_tls(
    peer: str, scheme: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TRUSTED_PROXIES, settings.SECURE_PROXY_SSL_HEADER = 1, ("HTTP_X_FORWARDED_PROTO", "https")
    addresses._ignored.clear()
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_PROTO="https")
    for _ in range(2):
        distrust_strangers(lambda _request: HttpResponse())(request)
    assert request.scheme == scheme
    warnings = [f"Forwarded headers from {peer} are ignored: not in TRUSTED_PROXY_NETWORKS"]
    assert [record.getMessage() for record in caplog.records] == warnings * (scheme == "http")


def test_a_lock_out_counts_a_whole_network() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="2001:db8:1:2:3::4")
    assert lockout_address(request) == "2001:db8:1:2::"
    assert lockout_address(RequestFactory().get("/", REMOTE_ADDR="198.51.100.7")) == "198.51.100.7"


@pytest.mark.parametrize(
    ("address", "expected"),
    [("198.51.100.7", "198.51.100.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("", "")],
)
def test_the_network(address: str, expected: str) -> None:
    assert client_network(RequestFactory().get("/", REMOTE_ADDR=address)) == expected
