"""An expert reviews without the mouse; two reviewers, blind to each other; a phone."""

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from e2e.conftest import Open
from e2e.product import Product, beside

REVIEW = "/admin/training/anomaly/review/"
ANOMALIES = 30


@pytest.fixture(autouse=True, scope="module")
def enough_to_do(product: Product) -> None:
    product.shell("from e2e.people import report_again; report_again(80)")


def shown(page: Page) -> str:
    """The key of the anomaly on the screen."""
    return page.locator(".rv-form [name=anomaly]").input_value()


def status_of(product: Product, key: str) -> str:
    return product.shell(f"from training.models import Anomaly; print(Anomaly.objects.get(pk={key}).status)")


def approved(product: Product) -> int:
    return int(
        product.shell("from training.models import Anomaly; print(Anomaly.objects.approved().count())")
    )


def press_and_wait(page: Page, key: str) -> None:
    """The key, and the answer to the decision that it makes."""
    with page.expect_response(lambda response: REVIEW in response.url and response.request.method == "POST"):
        page.keyboard.press(key)
    expect(page.locator("#rv-desk")).to_have_attribute("data-unsent", "0")
    page.wait_for_function("document.activeElement.type === 'radio' || !document.querySelector('.rv-row')")


def open_looking_ahead(open_as: Open, name: str = "marie") -> Page:
    """With the following card fetched."""
    page = open_as(name)
    with page.expect_response(lambda response: "after=" in response.url):
        page.goto(page.url.split("/admin/")[0] + REVIEW)
    page.wait_for_timeout(100)  # until the script has read it
    return page


def hold_decisions(page: Page) -> list[Route]:
    """Decisions are not sent on until the test does so."""
    held: list[Route] = []
    page.route(
        f"**{REVIEW}*",
        lambda route: held.append(route) if route.request.method == "POST" else route.continue_(),
    )
    return held


def until_held(page: Page, held: list[Route], count: int) -> None:
    for _ in range(100):
        if len(held) == count:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{len(held)} decisions are sent, not {count}")


def number(page: Page) -> int:
    return int(page.locator(".rv-number").inner_text())


def test_thirty_anomalies_by_keys_alone(
    product: Product, open_as: Open, picture: Any, record_property: Any
) -> None:
    page = open_as("marie", REVIEW)
    expect(page.locator(".rv-row").first).to_be_visible()
    picture(page, "review")
    before = approved(product)
    begin = time.monotonic()
    for number in range(ANOMALIES):
        if number % 3 == 0:  # every third suggestion is corrected: all scores by digits
            for digit in "231":
                page.keyboard.press(digit)
        if number % 5 == 0:  # or one of them by arrows
            page.keyboard.press("ArrowUp")
            page.keyboard.press("ArrowLeft")
        press_and_wait(page, "Enter")
        expect(page.locator(".rv-success")).to_contain_text("is approved")
    seconds = time.monotonic() - begin
    record_property("seconds", seconds)
    print(f"\n{ANOMALIES} anomalies approved by keys in {seconds:.1f} s")
    expect(page.locator(".rv-progress")).to_contain_text(f"{ANOMALIES + 1} of")
    assert approved(product) - before == ANOMALIES


def test_digits_choose_and_the_sum_follows(open_as: Open) -> None:
    page = open_as("marie", REVIEW)
    page.keyboard.press("5")
    page.keyboard.press("4")
    page.keyboard.press("1")
    assert page.locator("input:checked").evaluate_all("keys => keys.map(key => key.value)") == ["5", "4", "1"]
    expect(page.locator("#rv-sum")).to_have_text("10")
    expect(page.locator("#rv-band")).to_have_text("critical")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#rv-sum")).to_have_text("10")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#rv-sum")).to_have_text("12")
    page.keyboard.press("ArrowUp")
    expect(page.locator(".rv-reasons:visible h3")).to_contain_text("fiability")


def test_skip_reject_and_undo_by_keys(product: Product, open_as: Open) -> None:
    page = open_as("marie", REVIEW)
    skipped = shown(page)
    press_and_wait(page, "s")
    rejected = shown(page)
    assert rejected != skipped
    page.keyboard.press("r")
    page.keyboard.type("reported twice")
    press_and_wait(page, "Enter")
    expect(page.locator(".rv-success")).to_contain_text("is rejected")
    assert status_of(product, rejected) == "rejected"
    press_and_wait(page, "u")
    assert shown(page) == rejected
    assert status_of(product, rejected) == "pending"
    press_and_wait(page, "u")
    assert shown(page) == skipped


def test_the_keys_are_shown(open_as: Open, picture: Any) -> None:
    page = open_as("marie", REVIEW)
    page.keyboard.press("?")
    expect(page.locator("#rv-help")).to_be_visible()
    picture(page, "review-keys")
    page.keyboard.press("Escape")
    expect(page.locator("#rv-help")).to_be_hidden()
    page.keyboard.press("Tab")


def test_two_reviewers_never_have_the_same_anomaly(open_as: Open) -> None:
    pages = [open_as(name, REVIEW) for name in ("marie", "paul")]
    assert shown(pages[0]) != shown(pages[1])


def test_double_review_and_adjudication(product: Product, open_as: Open, picture: Any, scratch: Path) -> None:
    product.shell("from training.models import ReviewLease; ReviewLease.objects.all().delete()")
    with beside(product, scratch, DOUBLE_REVIEW_PERCENT="100") as strict:
        marie = open_as("marie", REVIEW, at=strict.url)
        first = shown(marie)
        for digit in "123":
            marie.keyboard.press(digit)
        press_and_wait(marie, "Enter")
        expect(marie.locator(".rv-success")).to_contain_text("a second reviewer is asked")
        assert status_of(product, first) == "pending"
        paul = open_as("paul", REVIEW, at=strict.url)
        assert shown(paul) == first
        for digit in "125":
            paul.keyboard.press(digit)
        press_and_wait(paul, "Enter")
        expect(paul.locator(".rv-success")).to_contain_text("disagree")
        owner = open_as("owner", "/admin/training/anomaly/adjudication/", at=strict.url)
        expect(owner.locator("[name=anomaly]")).to_have_value(first)
        expect(owner.locator(".rv-keys")).to_have_count(1)
        picture(owner, "adjudication")
        owner.locator(".rv-key").nth(3).click()
        owner.get_by_role("button", name="Settle and approve").click()
        expect(owner.get_by_text("is settled and approved")).to_be_visible()
        assert status_of(product, first) == "approved"


def test_the_next_card_does_not_wait_for_the_answer(product: Product, open_as: Open) -> None:
    page = open_looking_ahead(open_as)
    held = hold_decisions(page)
    first, count = shown(page), number(page)
    page.keyboard.press("Enter")
    expect(page.locator(".rv-form [name=anomaly]")).not_to_have_value(first)
    second = shown(page)
    assert number(page) == count + 1
    assert page.evaluate("document.activeElement.type") == "radio"
    until_held(page, held, 1)
    assert status_of(product, first) == "pending"
    page.keyboard.press("2")
    page.keyboard.press(
        "Enter"
    )  # the one behind it is not there yet: this one stays, and is sent when its turn comes
    expect(page.locator(".rv-card")).to_have_attribute("aria-busy", "true")
    page.keyboard.press("5")
    assert page.locator("input:checked").first.input_value() == "2"
    page.wait_for_timeout(300)
    assert len(held) == 1
    held[0].continue_()
    expect(page.locator(".rv-form [name=anomaly]")).not_to_have_value(second)
    until_held(page, held, 2)
    assert status_of(product, first) == "approved"
    held[1].continue_()
    expect(page.locator("#rv-desk")).to_have_attribute("data-unsent", "0")
    expect(page.locator(".rv-success")).to_have_count(1)
    assert status_of(product, second) == "approved"
    assert number(page) == count + 2


def test_a_refused_decision_comes_back(product: Product, open_as: Open, picture: Any) -> None:
    page = open_looking_ahead(open_as)
    held = hold_decisions(page)
    first, count = shown(page), number(page)
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    until_held(page, held, 1)
    second = shown(page)
    page.keyboard.press("5")
    product.shell(
        "from training import review; review.correct("
        f"anomaly=Anomaly.objects.get(pk={first}), scores={{'fiability_score': 3}}, user=None)"
    )
    held[0].continue_()
    expect(page.locator(".rv-warning")).to_contain_text("It comes again after this one.")
    picture(page, "review-refused")
    assert (shown(page), number(page)) == (second, count)
    assert page.locator("input:checked").first.input_value() == "5"
    page.keyboard.press("Enter")
    expect(page.locator(".rv-form [name=anomaly]")).to_have_value(first)
    assert page.locator("input:checked").first.input_value() == "4"
    until_held(page, held, 2)
    held[1].continue_()
    expect(page.locator("#rv-desk")).to_have_attribute("data-unsent", "0")
    expect(page.locator(".rv-warning")).to_have_count(1)
    page.keyboard.press("Enter")
    until_held(page, held, 3)
    held[2].continue_()
    expect(page.locator("#rv-desk")).to_have_attribute("data-unsent", "0")
    given = "Anomaly.objects.filter(pk__in=({}, {})).order_by('pk')".format(*sorted((first, second), key=int))
    scores = product.shell(f"print(*{given}.values_list('status', 'availability_score'))")
    expected = {first: ("approved", 4.0), second: ("approved", 5.0)}
    assert scores == " ".join(str(expected[key]) for key in sorted((first, second), key=int))


def test_a_decision_that_does_not_arrive_comes_back(product: Product, open_as: Open) -> None:
    page = open_looking_ahead(open_as)
    held = hold_decisions(page)
    first = shown(page)
    page.keyboard.press("r")
    page.keyboard.type("seen twice")
    page.keyboard.press("Enter")
    until_held(page, held, 1)
    second = shown(page)
    assert second != first
    held[0].fulfill(status=200, body="<html>Log in</html>", content_type="text/html")
    expect(page.locator(".rv-error")).to_contain_text("The server did not answer.")
    assert shown(page) == second
    page.keyboard.press("s")
    expect(page.locator(".rv-form [name=anomaly]")).to_have_value(first)
    assert page.locator("[name=reason]").input_value() == "seen twice"
    until_held(page, held, 2)
    held[1].continue_()
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    until_held(page, held, 3)
    held[2].continue_()
    expect(page.locator(".rv-success")).to_contain_text("is rejected")
    assert status_of(product, first) == "rejected"


def test_undo_keeps_what_was_begun(product: Product, open_as: Open) -> None:
    page = open_looking_ahead(open_as)
    first, count = shown(page), number(page)
    press_and_wait(page, "Enter")
    second = shown(page)
    page.keyboard.press("3")
    press_and_wait(page, "u")
    assert (shown(page), number(page)) == (first, count)
    assert status_of(product, first) == "pending"
    press_and_wait(page, "Enter")
    assert (shown(page), number(page)) == (second, count + 1)
    assert page.locator("input:checked").first.input_value() == "3"


def test_two_who_look_ahead_never_have_the_same(product: Product, open_as: Open) -> None:
    product.shell("from training.models import ReviewLease; ReviewLease.objects.all().delete()")
    pages = [open_looking_ahead(open_as, name) for name in ("marie", "paul")]
    seen = [shown(page) for page in pages]
    for page in pages:
        press_and_wait(page, "s")
    seen += [shown(page) for page in pages]
    assert len(set(seen)) == 4
    assert product.shell("from training.models import ReviewLease; print(ReviewLease.objects.count())") == "4"


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone(product: Product, open_as: Open, picture: Any, dark: bool) -> None:
    page = open_as("marie", REVIEW, phone=True, dark=dark, language="fr")
    picture(page, f"review-phone-{'dark' if dark else 'light'}-fr")
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    first = shown(page)
    page.locator(".rv-row").nth(2).locator(".rv-key").nth(3).tap()
    with page.expect_response(lambda response: REVIEW in response.url):
        page.locator("[value=approve]").tap()
    expect(page.locator(".rv-success")).to_contain_text("approuvée")
    assert status_of(product, first) == "approved"
