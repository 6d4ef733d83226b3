"""The admin's login: bounded for each client, whatever names it tries, and for each name by django-axes."""

from typing import Any

from axes.helpers import get_cool_off
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from training.api.rates import attempt_to_wait


def login(request: HttpRequest) -> HttpResponse:
    """The admin's own login, unless its client tries too often."""
    if request.method == "POST" and (wait := attempt_to_wait(request)) is not None:
        return _come_back(request, "throttled.html", wait)
    if request.method == "HEAD" and admin.site.has_permission(request):
        return redirect("admin:index")  # as Django's login answers GET alone
    return admin.site.login(request)


def locked_out(request: HttpRequest, _response: object, _credentials: object) -> HttpResponse:
    """What django-axes answers for a name and address with too many failures."""
    cool_off: Any = get_cool_off(request)
    return _come_back(request, "lockout.html", int(cool_off.total_seconds()))


def _come_back(request: HttpRequest, template: str, seconds: int) -> HttpResponse:
    response = render(request, template, status=429)
    response["Retry-After"] = str(seconds)
    return response
