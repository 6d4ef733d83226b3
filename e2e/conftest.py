"""One running product and one browser for all that is shown here."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from e2e.product import PASSWORD, Product, running

SHOTS = Path(os.environ.get("E2E_SHOTS", Path(__file__).parent / "shots"))
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
DESKTOP, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=375, height=740)
PEOPLE = {"marie": "review_anomaly view_anomaly", "paul": "review_anomaly view_anomaly"}

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("product")


@pytest.fixture(scope="session")
def product(scratch: Path) -> Iterator[Product]:
    with running(scratch) as product:
        product.shell(f"from e2e.people import add_people; add_people({PEOPLE!r}, {PASSWORD!r})")
        yield product


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_as(browser: Browser, product: Product) -> Iterator[Open]:
    """A page of somebody who has logged in. What the browser complains about fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(
        name: str,
        path: str = "/admin/",
        *,
        phone: bool = False,
        dark: bool = False,
        language: str = "en",
        at: str | None = None,
    ) -> Page:
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            color_scheme="dark" if dark else "light",
            locale=language,
            has_touch=phone,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on(
            "console",
            lambda said: complaints.append(f"{page.url}: {said.text}") if said.type == "error" else None,
        )
        page.goto(f"{at or product.url}/admin/login/?next={path}")
        page.fill("[name=username]", name)
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_url(f"**{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def picture() -> Callable[[Page, str], None]:
    """Keep what the page looks like, for the README and docs/."""
    SHOTS.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.wait_for_timeout(300)  # fonts, charts
        page.screenshot(path=SHOTS / f"{name}.png")

    return take
