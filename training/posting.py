"""One POST to an address that somebody typed in: never into the house's own network, unless it is allowed.

The name is resolved once, every address it has is checked, and the connection goes to an address that was
checked: a name that changes its mind in between gains nothing. Redirects and proxies are not followed.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, quote, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from training.errors import TrainingError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SCHEMES = {"http": 80, "https": 443}
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
PATH_CHARACTERS = "/%:=&?~+!$,;'@()*[]"  # that stay as they are


class PostError(TrainingError):
    """Nothing was posted, or nobody answered."""


def check_url(url: str) -> SplitResult:
    """The address taken apart. Raises PostError when it could never be posted to; asks no name server."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise PostError(_("This is no address: %(error)s.") % {"error": error}) from error
    if parts.scheme not in SCHEMES or not parts.hostname or port == 0:
        raise PostError(_("An address begins with https:// and a host name."))
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise PostError(_("An address holds no password and no fragment."))
    with suppress(ValueError):
        _require_allowed(ipaddress.ip_address(parts.hostname), parts)
    return parts


def post(url: str, *, body: bytes, headers: Mapping[str, str], seconds: float) -> int:
    """The status of the answer, whatever it is. Raises PostError; ends soon after `seconds` either way."""
    parts = check_url(url)
    deadline = time.monotonic() + seconds
    error: Exception = PostError(_("The name has no address."))
    for address in _addresses(parts):
        connection = _Connection(parts, address, max(deadline - time.monotonic(), 0.1))
        try:
            return connection.post(_path_of(parts), body, headers)
        except (OSError, http.client.HTTPException) as problem:
            error = TimeoutError() if connection.was_cut else problem
        if connection.was_connected or time.monotonic() >= deadline:
            break
    raise PostError(_in_words(error, seconds)) from error


def _addresses(parts: SplitResult) -> list[Address]:
    """All addresses of the host. Raises PostError when one of them must not be asked."""
    try:
        found = socket.getaddrinfo(parts.hostname, _port_of(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise PostError(_("The name %(name)s is not known.") % {"name": parts.hostname}) from error
    addresses = [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_rest, sockaddr in found]
    for address in addresses:
        _require_allowed(address, parts)
    return list(dict.fromkeys(addresses))


def _require_allowed(address: Address, parts: SplitResult) -> None:
    address = getattr(address, "ipv4_mapped", None) or address
    if any(address in network for network in settings.WEBHOOK_ALLOWED_NETWORKS):
        return
    if not _is_public(address):
        text = _("%(address)s is an internal address; WEBHOOK_ALLOWED_NETWORKS does not allow it.")
        raise PostError(text % {"address": address})
    if parts.scheme != "https":
        raise PostError(_("Outside of WEBHOOK_ALLOWED_NETWORKS an address begins with https://."))


def _is_public(address: Address) -> bool:
    """A public host of its own: nothing private, reserved or multicast, and no IPv4 host in disguise."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    is_disguised = address.sixtofour is not None or address.teredo is not None
    return address in GLOBAL_UNICAST and address.is_global and not is_disguised


def _port_of(parts: SplitResult) -> int:
    return parts.port or SCHEMES[parts.scheme]


def _path_of(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=PATH_CHARACTERS)
    return f"{path}?{quote(parts.query, safe=PATH_CHARACTERS)}" if parts.query else path


def _in_words(error: Exception, seconds: float) -> str:
    if isinstance(error, PostError):
        return str(error)
    if isinstance(error, TimeoutError):
        return _("No answer within %(seconds)s s.") % {"seconds": f"{seconds:g}"}
    if isinstance(error, ssl.SSLCertVerificationError):
        return _("The certificate is not valid: %(problem)s.") % {"problem": error.verify_message}
    if isinstance(error, http.client.HTTPException):
        return _("The answer is no HTTP.")
    return _("No connection: %(problem)s.") % {"problem": getattr(error, "strerror", None) or error}


class _Connection(http.client.HTTPConnection):
    """To the host of `parts`, at the address that was checked; cut when its time is over.

    A socket's own timeout counts anew with every byte: an answer that drips would hold it for ever.
    """

    def __init__(self, parts: SplitResult, address: Address, seconds: float) -> None:
        super().__init__(parts.hostname or "", _port_of(parts), timeout=seconds)
        self.default_port = SCHEMES[parts.scheme]  # so the Host header leaves it out
        self.address = address
        self.context = ssl.create_default_context() if parts.scheme == "https" else None
        self.seconds = seconds
        self.was_connected = self.was_cut = False

    def connect(self) -> None:
        family = socket.AF_INET6 if self.address.version == 6 else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(self.seconds)
        self.sock.connect((str(self.address), self.port))
        self.was_connected = True
        if self.was_cut:
            raise TimeoutError
        if self.context:
            self.sock = secure = self.context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            secure.do_handshake()

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        timer = threading.Timer(self.seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            self.request("POST", path, body, dict(headers))
            with self.getresponse() as response:
                if self.was_cut:  # in the middle of its head, which looks like the end of it
                    raise TimeoutError
                return response.status
        finally:
            timer.cancel()
            self.close()

    def _cut(self) -> None:
        self.was_cut = True
        if sock := self.sock:
            with suppress(OSError):  # past TLS, which would wait for the other side
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
