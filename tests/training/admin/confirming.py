"""Whoever reads a confirmation page and says yes."""

import re
from html import unescape
from typing import Any

from django.test import Client

FORM = re.compile(r'<form method="post" class="tp-confirm"[^>]*>(.*?)</form>', re.DOTALL)
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


def sentences(response: Any) -> list[str]:
    """What the page says will change."""
    return [str(change) for change in response.context["confirmation"].changes]


def confirm(client: Client, response: Any, **typed: str) -> Any:
    """Send the page's form as the browser would."""
    (form,) = FORM.findall(response.content.decode())
    data: dict[str, Any] = {}
    for name, value in HIDDEN.findall(form):
        data.setdefault(name, []).append(unescape(value))
    return client.post(response.wsgi_request.get_full_path(), data | typed)
