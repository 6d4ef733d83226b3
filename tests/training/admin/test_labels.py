from datetime import timedelta

import pytest
from django.utils import timezone, translation

from training.admin import labels


@pytest.mark.parametrize(
    ("ago", "english", "french"),
    [
        (timedelta(seconds=5), "just now", "à l'instant"),
        (timedelta(minutes=90), "1\xa0hour ago", "il y a 1\xa0heure"),
        (timedelta(days=400), "1\xa0year ago", "il y a 1\xa0année"),
    ],
)
def test_ages_in_words(ago: timedelta, english: str, french: str) -> None:
    moment = timezone.now() - ago
    assert labels.age(moment) == english
    with translation.override("fr"):
        assert labels.age(moment) == french


def test_never_is_a_dash() -> None:
    assert labels.age(None) == "–"


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (4.24, "4.2 s"), (185.4, "3 min 5 s")])
def test_durations(seconds: float, words: str) -> None:
    assert labels.duration(seconds) == words


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (3.0, "3"), (2.5, "2.5")])
def test_whole_numbers_have_no_decimals(value: float | None, text: str) -> None:
    assert labels.number(value) == text


def test_numbers_in_french_have_a_comma() -> None:
    with translation.override("fr"):
        assert labels.number(2.5) == "2,5"


def test_a_badge_escapes_its_text() -> None:
    html = labels.badge("<b>", "danger")
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
