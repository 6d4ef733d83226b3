"""From where a request comes, as far as our own proxies vouch for it."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest

IPV6_NETWORK = 64  # bits: one customer of a provider has as many addresses as it likes within


def client_address(request: HttpRequest) -> str:
    """The address that the outermost trusted proxy saw; what a client claims beyond that is ignored.

    Behind TRUSTED_PROXIES proxies that is so many places from the end of X-Forwarded-For. Where that is
    no address, it is the peer of the connection.
    """
    peer: str = request.META.get("REMOTE_ADDR", "")
    if not settings.TRUSTED_PROXIES:
        return peer
    claimed = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[-settings.TRUSTED_PROXIES :]
    return _address(claimed[0].strip()) or peer


def client_network(request: HttpRequest) -> str:
    """What counts as one client that is not known by name: an IPv4 address, or a /64 of IPv6."""
    address = client_address(request)
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
