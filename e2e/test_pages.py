"""Every page of the desk: no serious accessibility finding, no overflow, both languages."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from e2e.conftest import Open

PAGES = {
    "start": "/admin/",
    "review": "/admin/training/anomaly/review/",
    "adjudication": "/admin/training/anomaly/adjudication/",
    "imports": "/admin/training/fileimport/",
    "import": "/admin/training/fileimport/add/",
    "anomalies": "/admin/training/anomaly/",
    "anomaly": "/admin/training/anomaly/1/change/",
    "history": "/admin/training/anomaly/1/history/",
    "predictions": "/admin/predictions/prediction/",
    "labels": "/admin/training/labelfinding/",
    "sessions": "/admin/training/trainingsession/",
    "session": "/admin/training/trainingsession/1/change/",
    "versions": "/admin/training/modelversion/",
    "version": "/admin/training/modelversion/1/change/",
    "held-out": "/admin/training/modelversion/1/held-out/?score=availability",
    "backups": "/admin/training/backup/",
    "restore": "/admin/training/backup/1/restore/",
    "schedule": "/admin/django_q/schedule/1/change/",
    "users": "/admin/auth/user/",
    "webhooks": "/admin/training/webhook/",
    "timeline": "/admin/training/activation/",
}


def serious(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the elements."""
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {[node['target'] for node in violation['nodes']][:3]}"
        for violation in found
        if violation["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_nobody_is_kept_out(open_as: Open, name: str, dark: bool) -> None:
    page = open_as("owner", PAGES[name], dark=dark)
    page.wait_for_load_state("networkidle")
    assert serious(page) == []


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_its_window(open_as: Open, picture: Any, name: str, phone: bool) -> None:
    page = open_as("owner", PAGES[name], phone=phone, language="fr")
    picture(page, f"page-{name}-{'phone' if phone else 'desktop'}-fr")
    assert page.evaluate("document.documentElement.scrollWidth") <= (375 if phone else 1280)


def test_the_language_can_be_switched(open_as: Open, picture: Any) -> None:
    page = open_as("owner", language="fr")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.get_by_role("link", name="backup Sauvegardes")).to_be_visible()
    page.get_by_role("button", name="EN", exact=True).click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    picture(page, "start")
    expect(page.get_by_role("link", name="backup Backups")).to_be_visible()
