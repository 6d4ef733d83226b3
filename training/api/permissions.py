"""Who may do what over HTTP.

The guide's writes and `/api/v1/` ask for a permission of the user whose token or session comes with
the request. In the open development mode the guide's writes also work without credentials, as its
curl calls are printed: from this very machine, not through a proxy, not from another site's page.
"""

import ipaddress

from django.conf import settings
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

PROXY_HEADERS = ("HTTP_FORWARDED", "HTTP_X_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


class MayRead(BasePermission):
    """The contract's reads: anybody where settings.ANONYMOUS_READ is on, else whoever is known."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return settings.ANONYMOUS_READ or request.user.is_authenticated


def requires(permission: str, *, open_in_development: bool = False) -> type[BasePermission]:
    """A permission class: the user must have `permission`, such as "training.train_models".

    With `open_in_development`, requests without credentials pass in the open development mode.
    """

    class Requires(BasePermission):
        message = f"This needs the permission {permission}."

        def has_permission(self, request: Request, view: APIView) -> bool:
            if request.user.is_authenticated:
                return request.user.has_perm(permission)
            return open_in_development and is_open(request)

    return Requires


def is_open(request: Request) -> bool:
    """The open development mode holds for this request."""
    return (
        settings.OPEN_DEVELOPMENT_MODE
        and _is_loopback(request.META.get("REMOTE_ADDR", ""))
        and not any(name.startswith(PROXY_HEADERS) for name in request.META)
        and not _is_cross_site(request)
    )


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _is_cross_site(request: Request) -> bool:
    """A browser says where a request comes from; curl and scripts say nothing."""
    here = f"{request.scheme}://{request.get_host()}"
    return request.META.get("HTTP_ORIGIN", here) != here or request.META.get(
        "HTTP_SEC_FETCH_SITE", "none"
    ) not in {"same-origin", "none"}
