"""A client's address is what our own proxies saw, never what the client says."""

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from training.api.addresses import client_address, client_network

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
    ],
)
def test_the_address(proxies: int, forwarded: str, expected: str, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [("198.51.100.7", "198.51.100.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("", "")],
)
def test_the_network(address: str, expected: str) -> None:
    assert client_network(RequestFactory().get("/", REMOTE_ADDR=address)) == expected
