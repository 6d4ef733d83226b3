"""From a number of a confusion matrix to the anomalies that it counts."""

from typing import Any

import pytest
from playwright.sync_api import expect

from e2e.conftest import Open
from e2e.test_pages import serious


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_cell_opens_its_anomalies(open_as: Open, picture: Any, language: str, dark: bool) -> None:
    page = open_as("owner", dark=dark, language=language)
    cell = page.locator(".tp-confusion a").last
    count = cell.inner_text()
    cell.scroll_into_view_if_needed()
    picture(page, f"confusion-{language}-{'dark' if dark else 'light'}")
    assert serious(page) == []
    cell.click()
    page.wait_for_url("**/held-out/?score=process_safety&actual=*&suggested=*")
    picture(page, f"held-out-{language}-{'dark' if dark else 'light'}")
    assert serious(page) == []
    expect(page.get_by_role("status")).to_contain_text(count)
    first = page.locator(".tp-measured tbody a").first
    name = first.inner_text()
    first.click()
    page.wait_for_url("**/anomaly/*/change/")
    assert name in page.content()
