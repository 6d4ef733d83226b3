"""From where a request comes, as far as our own proxies vouch for it."""

import ipaddress
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

logger = logging.getLogger(__name__)

IPV6_NETWORK = 64  # bits: one customer of a provider has as many addresses as it likes within
# As proxies write it: with a port, an IPv6 one in brackets or not, perhaps with an interface's name.
WRITTEN = re.compile(
    r'"?(?:\[([0-9A-Fa-f:.]+)(?:%[^\]]*)?\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}|([0-9A-Fa-f:.]+)(?:%.*)?)"?'
)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ignored: set[str] = set()  # peers whose forwarded headers were ignored, and the log says so


def client_address(request: HttpRequest) -> str:
    """Return the address that the outermost trusted proxy saw; what a client claims beyond it is ignored.

    Behind TRUSTED_PROXIES proxies that is so many places from the end of X-Forwarded-For. Where that is
    no address, it is the next one that a proxy nearer to us wrote, or the peer of the connection. A peer
    outside TRUSTED_PROXY_NETWORKS is no proxy of ours.
    """
    peer: str = request.META.get("REMOTE_ADDR", "")
    if not comes_from_proxy(request.META):
        return str(parse_address(peer) or peer)
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[-settings.TRUSTED_PROXIES :]
    found = (parse_address(written) for written in [*forwarded, peer])
    return next((str(address) for address in found if address), peer)


def client_network(request: HttpRequest) -> str:
    """Return what counts as one client that is not known by name: an IPv4 address, or a /64 of IPv6."""
    address = client_address(request)
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))


def lockout_address(request: HttpRequest) -> str:
    """Return `client_network` as one address, its first, as failed logins are stored."""
    return client_network(request).partition("/")[0]


def comes_from_proxy(meta: Mapping[str, Any]) -> bool:
    """Return whether the peer may be a proxy of ours, so that its forwarded headers are believed."""
    if not settings.TRUSTED_PROXIES:
        return False
    peer = meta.get("REMOTE_ADDR", "")
    return not peer or is_within(peer, settings.TRUSTED_PROXY_NETWORKS)  # none on a Unix socket


def is_within(address: str, networks: list[Any]) -> bool:
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in networks)


def parse_address(written: str) -> Address | None:
    """Return the address without port, brackets and interface; an IPv4 one within IPv6 as IPv4."""
    found = WRITTEN.fullmatch(written.strip())
    try:
        address = ipaddress.ip_address("".join(found.groups("")) if found else "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def distrust_strangers(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: whoever reaches the port past the proxies does not choose its own X-Forwarded-Proto."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        claims = [name for name in request.META if name.startswith("HTTP_X_FORWARDED_")]
        if claims and settings.TRUSTED_PROXIES and not comes_from_proxy(request.META):
            _note_ignored(request.META.get("REMOTE_ADDR", ""))
            request.META["HTTP_X_FORWARDED_PROTO"] = ""  # that something was claimed still tells
        return get_response(request)

    return middleware


def _note_ignored(peer: str) -> None:
    """Log it once for each peer, so that a proxy that nobody listed is noticed."""
    if peer not in _ignored and len(_ignored) < 100:
        _ignored.add(peer)
        logger.warning("Forwarded headers from %s are ignored: not in TRUSTED_PROXY_NETWORKS", peer)
