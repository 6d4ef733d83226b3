from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework.exceptions import ParseError

from predictions.validation import Report, validate_many, validate_one
from training.errors import InvalidRecordsError

VALID = {"description": "fuite vapeur", "equipment_id": "eq-1"}


def refusal(records: list[Any]) -> list[str]:
    with pytest.raises(InvalidRecordsError) as refused:
        validate_many(records)
    return refused.value.errors


def test_the_least_that_is_accepted() -> None:
    assert validate_one(VALID) == Report(
        anomaly_id=None,
        description="fuite vapeur",
        equipment_id="eq-1",
        equipment_name="",
        system="",
        section="",
        detected_at=None,
    )


def test_everything_that_may_be_said() -> None:
    record = VALID | {
        "anomaly_id": "A-1",
        "equipment_name": "Vanne",
        "system": "vapeur",
        "section": "34MC",
        "detected_at": "2026-03-01T07:30:00+01:00",
        "color": "unknown fields are ignored",
    }
    assert validate_one(record) == Report(
        anomaly_id="A-1",
        description="fuite vapeur",
        equipment_id="eq-1",
        equipment_name="Vanne",
        system="vapeur",
        section="34MC",
        detected_at=datetime(2026, 3, 1, 6, 30, tzinfo=UTC),
    )


@pytest.mark.parametrize("name", ["anomaly_id", "equipment_name", "system", "section", "detected_at"])
def test_null_says_nothing_in_an_optional_field(name: str) -> None:
    assert validate_one(VALID | {name: None}) == validate_one(VALID)


@pytest.mark.parametrize("anomaly_id", ["", "A-1", 7, 10**40])
def test_an_anomaly_id_is_any_text_or_whole_number(anomaly_id: str | int) -> None:
    assert validate_one(VALID | {"anomaly_id": anomaly_id}).anomaly_id == anomaly_id


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"description": ""}, "description must not be blank"),
        ({"description": " \n"}, "description must not be blank"),
        ({"description": None}, "description must be a string, got null"),
        ({"description": 5}, "description must be a string, got int"),
        ({"description": "x" * 2_001}, "description must be at most 2,000 characters, got 2,001"),
        ({"description": "a\0b"}, "description must not contain NUL characters"),
        ({"description": "a\ud800b"}, "description must not contain lone surrogates"),
        ({"equipment_id": " "}, "equipment_id must not be blank"),
        ({"equipment_id": 5}, "equipment_id must be a string, got int"),
        ({"equipment_id": "x" * 256}, "equipment_id must be at most 255 characters, got 256"),
        ({"equipment_name": ["Vanne"]}, "equipment_name must be a string, got list"),
        ({"equipment_name": "x" * 501}, "equipment_name must be at most 500 characters, got 501"),
        ({"equipment_name": "\udfff"}, "equipment_name must not contain lone surrogates"),
        ({"anomaly_id": True}, "anomaly_id must be a string, got bool"),
        ({"anomaly_id": 1.5}, "anomaly_id must be a string, got float"),
        ({"anomaly_id": float("nan")}, "anomaly_id must be a string, got float"),
        ({"anomaly_id": "\udfff"}, "anomaly_id must not contain lone surrogates"),
        ({"system": 5}, "system must be a string, got int"),
        ({"section": {}}, "section must be a string, got dict"),
        (
            {"detected_at": "yesterday"},
            "detected_at must be an ISO 8601 date and time between the years 1900 and 2199",
        ),
        ({"detected_at": 20260301}, "detected_at must be a string, got int"),
    ],
)
def test_each_rule(changes: dict[str, Any], problem: str) -> None:
    record = VALID | changes
    assert refusal([VALID, record]) == [f"Record 2: {problem}"]
    with pytest.raises(ParseError) as refused:
        validate_one(record)
    assert str(refused.value.detail) == problem


def test_a_description_of_2000_characters_is_accepted() -> None:
    assert validate_one(VALID | {"description": "x" * 2_000}).description == "x" * 2_000


def test_everything_wrong_is_said_at_once() -> None:
    assert refusal([{}, VALID, 5, None, {"description": "", "section": 1}]) == [
        "Record 1: Missing required fields: ['description', 'equipment_id']",
        "Record 3: must be a JSON object, got int",
        "Record 4: must be a JSON object, got null",
        "Record 5: Missing required fields: ['equipment_id']",
        "Record 5: description must not be blank",
        "Record 5: section must be a string, got int",
    ]
    with pytest.raises(ParseError) as refused:
        validate_one({"description": 5})
    assert str(refused.value.detail) == (
        "Missing required fields: ['equipment_id']; description must be a string, got int"
    )


@pytest.mark.parametrize("payload", ["text", 5, None, True])
def test_one_that_is_no_object(payload: object) -> None:
    with pytest.raises(ParseError, match="must be a JSON object, got"):
        validate_one(payload)


def test_the_size_of_a_batch() -> None:
    assert refusal([]) == ["A batch holds 1 to 6,000 anomalies, got 0"]
    assert refusal([VALID] * 6_001) == ["A batch holds 1 to 6,000 anomalies, got 6,001"]
    assert len(validate_many([VALID] * 6_000)) == 6_000


def test_the_same_anomaly_may_be_asked_about_twice() -> None:
    record = VALID | {"anomaly_id": "A-1"}
    assert validate_many([record, record]) == [validate_one(record)] * 2
