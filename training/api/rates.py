"""How often one caller may ask, by kind of request: settings.THROTTLES.

Counted in Django's cache: for all web processes together where the cache is shared, else for each by itself.
"""

import math
import time

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

from training.api.addresses import client_network


def seconds_to_wait(scope: str, caller: str, *, cost: int = 1) -> int | None:
    """Count a request of the caller, or the work it asks for; None when it may pass, else when to come back.

    It passes while anything of the rate is left: one that costs more than that is its window's last. The
    windows are fixed, so that one atomic step counts in any cache: at the border of two of them a caller gets
    twice its rate once.
    """
    rate = settings.THROTTLES.get(scope)
    if rate is None:
        return None
    window, passed = divmod(time.time(), rate.seconds)
    key = f"throttle:{scope}:{int(window)}:{caller}"
    cache.add(key, 0, timeout=2 * rate.seconds)
    try:
        count = cache.incr(key, cost)
    except ValueError:  # the cache was full and forgot it
        return None
    return None if count - cost < rate.limit else math.ceil(rate.seconds - passed)


def attempt_to_wait(request: HttpRequest) -> int | None:
    """Count an attempt to log in, or a wrong token, of the request's client."""
    return seconds_to_wait("login", client_network(request))
