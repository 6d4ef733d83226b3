import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.errors import InvalidRecordsError
from training.validation import validate_batch

GUIDES = {
    "anomaly_id": "MAINT_001",
    "description": "Pump bearing overheating during high-load operation",
    "equipment_name": "Primary Circulation Pump",
    "equipment_id": "pump-uuid-123",
    "availability_score": 2,
    "fiability_score": 1,
    "process_safety_score": 3,
}
NUMBERS = {"availability_score": 2.0, "fiability_score": 1.0, "process_safety_score": 3.0}


def record(**changes: object) -> dict[str, Any]:
    return GUIDES | changes


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GUIDES.items() if name not in names}


def errors_of(payload: object) -> list[str]:
    with pytest.raises(InvalidRecordsError) as caught:
        validate_batch(payload)
    return caught.value.errors


def test_the_guides_record_is_accepted() -> None:
    [report] = validate_batch([record()])
    assert asdict(report) == GUIDES | NUMBERS | {"system": None, "section": None, "detected_at": None}
    assert [type(getattr(report, name)) for name in NUMBERS] == [float, float, float]


def test_a_single_object_counts_as_a_list_of_one() -> None:
    assert validate_batch(record()) == validate_batch([record()])


def test_the_guides_own_two_errors_are_told_together() -> None:
    payload = [record(availability_score=6), without("equipment_id") | {"anomaly_id": "B"}]
    assert errors_of(payload) == [
        "Record 1: availability_score must be between 1 and 5, got 6",
        "Record 2: Missing required fields: ['equipment_id']",
    ]


def test_everything_wrong_with_a_record_is_told_in_the_guides_order() -> None:
    wrong = {"process_safety_score": True, "description": " ", "anomaly_id": 7, "system": 3}
    missing = ["equipment_name", "equipment_id", "availability_score", "fiability_score"]
    assert errors_of([wrong]) == [
        f"Record 1: Missing required fields: {missing}",
        "Record 1: anomaly_id must be a string, got int",
        "Record 1: description must not be blank",
        "Record 1: process_safety_score must be a finite number, got bool",
        "Record 1: system must be a string, got int",
    ]


@pytest.mark.parametrize(
    ("entry", "name"),
    [([], "list"), ("text", "str"), (3, "int"), (None, "null"), (True, "bool"), (1.5, "float")],
)
def test_an_entry_that_is_no_object_is_named(entry: object, name: str) -> None:
    assert errors_of([record(), entry]) == [f"Record 2: must be a JSON object, got {name}"]


@pytest.mark.parametrize(("payload", "name"), [("text", "str"), (3, "int"), (None, "null"), (True, "bool")])
def test_a_body_that_is_no_list_is_refused(payload: object, name: str) -> None:
    assert errors_of(payload) == [f"The body must be a list of records, got {name}"]


def test_a_batch_holds_1_to_1000_records() -> None:
    many = [record(anomaly_id=f"M-{n}") for n in range(1_001)]
    assert errors_of([]) == ["A batch holds 1 to 1,000 records, got 0"]
    assert errors_of(many) == ["A batch holds 1 to 1,000 records, got 1,001"]
    assert len(validate_batch(many[:1_000])) == 1_000
    assert len(validate_batch(many[:1])) == 1


@pytest.mark.parametrize("name", list(GUIDES))
def test_each_of_the_guides_fields_is_required(name: str) -> None:
    assert errors_of([without(name)]) == [f"Record 1: Missing required fields: ['{name}']"]


@pytest.mark.parametrize("name", ["anomaly_id", "description", "equipment_name", "equipment_id"])
@pytest.mark.parametrize(
    ("value", "shown"), [(5, "int"), (None, "null"), (["x"], "list"), ({}, "dict"), (True, "bool")]
)
def test_texts_are_strings(name: str, value: object, shown: str) -> None:
    assert errors_of([record(**{name: value})]) == [f"Record 1: {name} must be a string, got {shown}"]


@pytest.mark.parametrize("name", ["anomaly_id", "description", "equipment_id"])
@pytest.mark.parametrize("value", ["", "   ", "\n\t", "\u00a0"])
def test_texts_are_not_blank(name: str, value: str) -> None:
    assert errors_of([record(**{name: value})]) == [f"Record 1: {name} must not be blank"]


@pytest.mark.parametrize("name", ["equipment_name", "system", "section"])
def test_what_plants_leave_blank_may_be_blank(name: str) -> None:
    [report] = validate_batch([record(**{name: ""})])
    assert getattr(report, name) == ""


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("anomaly_id", 255),
        ("description", 2_000),
        ("equipment_name", 500),
        ("equipment_id", 255),
        ("system", 255),
        ("section", 255),
    ],
)
def test_texts_have_a_longest_length(name: str, limit: int) -> None:
    [report] = validate_batch([record(**{name: "é" * limit})])
    assert getattr(report, name) == "é" * limit
    assert errors_of([record(**{name: "é" * (limit + 1)})]) == [
        f"Record 1: {name} must be at most {limit:,} characters, got {limit + 1:,}"
    ]


@pytest.mark.parametrize(
    "name", ["anomaly_id", "description", "equipment_name", "equipment_id", "system", "section"]
)
def test_texts_hold_nothing_that_cannot_be_stored(name: str) -> None:
    assert errors_of([record(**{name: "a\0b"})]) == [f"Record 1: {name} must not contain NUL characters"]
    assert errors_of([record(**{name: "a\udc80"})]) == [f"Record 1: {name} must not contain lone surrogates"]


def test_all_faults_of_one_text_are_told() -> None:
    assert errors_of([record(description="\0\ud800" * 1_001)]) == [
        "Record 1: description must be at most 2,000 characters, got 2,002",
        "Record 1: description must not contain NUL characters",
        "Record 1: description must not contain lone surrogates",
    ]


@pytest.mark.parametrize("name", list(NUMBERS))
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("true", "bool"),
        ("false", "bool"),
        ("null", "null"),
        ('"3"', "str"),
        ("[3]", "list"),
        ("{}", "dict"),
        ("NaN", "nan"),
        ("Infinity", "inf"),
        ("-Infinity", "-inf"),
        ("1e999", "inf"),
    ],
)
def test_scores_are_finite_numbers(name: str, text: str, shown: str) -> None:
    refused = [record(**{name: json.loads(text)})]
    assert errors_of(refused) == [f"Record 1: {name} must be a finite number, got {shown}"]


@pytest.mark.parametrize("name", list(NUMBERS))
@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (6, "6"), (-1, "-1"), (0.999, "0.999"), (5.0001, "5.0001"), (10**60, "1" + "0" * 39 + "…")],
)
def test_scores_lie_between_1_and_5(name: str, value: float, shown: str) -> None:
    refused = [record(**{name: value})]
    assert errors_of(refused) == [f"Record 1: {name} must be between 1 and 5, got {shown}"]


@pytest.mark.parametrize("value", [1, 5, 2.5, 1.0, 4.999])
def test_scores_may_be_fractional(value: float) -> None:
    [report] = validate_batch([record(fiability_score=value)])
    assert report.fiability_score == value


def test_a_repeated_anomaly_id_names_both_records() -> None:
    payload = [record(), record(anomaly_id="B"), record(), without("description") | {"anomaly_id": "B"}]
    assert errors_of(payload) == [
        "Record 4: Missing required fields: ['description']",
        "Record 3: anomaly_id 'MAINT_001' is already used by record 1",
        "Record 4: anomaly_id 'B' is already used by record 2",
    ]


def test_ids_that_differ_in_case_are_different() -> None:
    assert len(validate_batch([record(anomaly_id="a"), record(anomaly_id="A")])) == 2


def test_what_an_error_echoes_is_short() -> None:
    long_id = "x" * 300
    [too_long, again_too_long, repeated] = errors_of([record(anomaly_id=long_id), record(anomaly_id=long_id)])
    assert repeated == f"Record 2: anomaly_id '{'x' * 40}…' is already used by record 1"
    assert too_long == "Record 1: anomaly_id must be at most 255 characters, got 300"
    assert again_too_long == "Record 2: anomaly_id must be at most 255 characters, got 300"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-12-05T14:30:22Z", datetime(2024, 12, 5, 14, 30, 22, tzinfo=UTC)),
        ("2024-12-05T14:30:22", datetime(2024, 12, 5, 14, 30, 22, tzinfo=UTC)),
        ("2024-12-05T14:30:22.5+01:00", datetime(2024, 12, 5, 13, 30, 22, 500_000, tzinfo=UTC)),
        ("2024-12-05 14:30", datetime(2024, 12, 5, 14, 30, tzinfo=UTC)),
        ("2024-12-05", datetime(2024, 12, 5, tzinfo=UTC)),
    ],
)
def test_a_time_of_detection_is_iso_8601_and_utc_by_default(text: str, moment: datetime) -> None:
    [report] = validate_batch([record(detected_at=text)])
    assert report.detected_at == moment
    assert report.detected_at.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "05/12/2024",
        "2024-13-01",
        "2024-12-05T25:00",
        "0001-01-01T00:00:00+14:00",
        "1899-12-31",
        "9999-12-31T23:59:59-14:00",
        "2024-12-05T14:30\0",
        "\ud800",
    ],
)
def test_another_time_of_detection_is_refused(text: str) -> None:
    assert errors_of([record(detected_at=text)]) == [
        "Record 1: detected_at must be an ISO 8601 date and time between the years 1900 and 2199"
    ]


def test_a_time_of_detection_is_a_string() -> None:
    assert errors_of([record(detected_at=1733409022)]) == ["Record 1: detected_at must be a string, got int"]


def test_optional_fields_may_be_there_absent_or_null() -> None:
    [told] = validate_batch([record(system="Circuit eau", section="Chaudière")])
    assert (told.system, told.section, told.detected_at) == ("Circuit eau", "Chaudière", None)
    [silent] = validate_batch([record(system=None, section=None, detected_at=None)])
    assert silent == validate_batch([record()])[0]
    assert (silent.system, silent.section, silent.detected_at) == (None, None, None)


def test_unknown_fields_are_ignored() -> None:
    assert validate_batch([record(extra={"deep": [1]}, status="rejected")]) == validate_batch([record()])


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, categories=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
near_records = st.fixed_dictionaries(
    {},
    optional={name: json_values | st.just(value) for name, value in GUIDES.items()}
    | {"detected_at": json_values},
)


@given(payload=json_values | st.lists(near_records, max_size=4))
def test_every_payload_is_accepted_or_refused_with_reasons(payload: object) -> None:
    try:
        reports = validate_batch(payload)
    except InvalidRecordsError as error:
        told = error.errors
    else:
        told = [report.anomaly_id for report in reports]
    assert told
    assert {type(text) for text in told} == {str}
