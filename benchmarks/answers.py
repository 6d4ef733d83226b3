"""What every server is asked to answer: the same plain values, from the same fitted scorer."""

from collections.abc import Mapping
from typing import Any

from training.ml.scorer import Suggestion

DECIMALS = 4  # as the product answers
STATED = ("description", "equipment_name", "equipment_id", "system", "section")


def plain(suggestions: Mapping[str, Suggestion]) -> list[dict[str, dict[str, Any]]]:
    """A dict a report, by target: score, distribution, expected score and confidence."""
    by_target = [_rows(suggestion) for suggestion in suggestions.values()]
    return [dict(zip(suggestions, row, strict=True)) for row in zip(*by_target, strict=True)]


def _rows(suggestion: Suggestion) -> list[dict[str, Any]]:
    names = ("score", "distribution", "expected", "confidence")
    columns = (getattr(suggestion, name).round(DECIMALS).tolist() for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
