"""The explorer: offline, and clean under the content security policy."""

import re
from html.parser import HTMLParser

import pytest
from django.contrib.staticfiles import finders
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db
URL = "/api/v1/docs/"


class Tags(HTMLParser):
    """What a page loads, and what it would run inline."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [value for name in ("src", "href") if (value := given.get(name))]
        self.inline += [name for name in given if name.startswith("on")]
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)


def test_the_page_loads_only_files_of_this_server_and_runs_nothing_inline() -> None:
    response = APIClient().get(URL)
    tags = Tags()
    tags.feed(response.content.decode())
    assert response.status_code == 200
    assert tags.inline == []
    assert len(tags.addresses) == 5
    for address in tags.addresses:
        assert address.startswith(("/static/drf_spectacular_sidecar/", URL)), address
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")), address


def test_the_policy_allows_no_inline_script_and_no_other_host() -> None:
    policy = APIClient().get(URL)["Content-Security-Policy"]
    directives = dict(part.split(maxsplit=1) for part in policy.split("; "))
    assert "'unsafe-inline'" not in directives["script-src"]
    assert directives["default-src"] == "'self'"
    assert not re.search(r"https?:|\*", policy)


def test_its_script_names_the_schema() -> None:
    response = APIClient().get(URL, {"script": ""})
    assert response["Content-Type"].startswith("application/javascript")
    assert "schema/" in response.content.decode()
