"""A list as its reader wants it: the columns chosen by keyboard, kept after logging out."""

from typing import Any

from playwright.sync_api import Page, expect

from e2e.conftest import Open
from e2e.test_pages import serious

LIST = "/admin/training/anomaly/"


def headers(page: Page) -> list[str]:
    texts = page.locator("#result_list thead th .text, #result_list thead th a").all_inner_texts()
    return [text.strip() for text in texts if text.strip()]


def test_columns_are_chosen_and_kept(open_as: Open, picture: Any) -> None:
    page = open_as("paul", LIST)
    assert "Section" not in " ".join(headers(page))
    page.get_by_role("link", name="Columns").click()
    assert serious(page) == []
    picture(page, "columns")
    page.get_by_label("Owner section", exact=True).check()
    page.get_by_label("Criticality", exact=True).uncheck()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LIST}")
    chosen = headers(page)
    assert any("section" in header.lower() for header in chosen)
    assert "Criticality" not in chosen

    again = open_as("paul", LIST)  # another browser
    assert headers(again) == chosen
    again.get_by_role("link", name="Columns").click()
    again.get_by_role("button", name="Move up: Owner section").press("Enter")
    expect(again.get_by_role("button", name="Move up: Owner section")).to_have_attribute("autofocus", "")
    again.get_by_role("button", name="Back to default").click()
    again.wait_for_url(f"**{LIST}")
    assert "Criticality" in headers(again)


def test_on_a_phone_no_column_is_out_of_reach(open_as: Open, picture: Any) -> None:
    page = open_as("paul", f"{LIST}columns/", phone=True, dark=True, language="fr")
    picture(page, "columns-phone-dark-fr")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
