import pandas as pd
import pytest

from training.datafiles.checks import find_faults, parse_scores, parse_times

SOUND = {
    "description": "fuite",
    "equipment_name": "",
    "equipment_id": "p-1",
    "detected_at": "",
    "availability_score": "1",
    "fiability_score": " 2.5 ",
    "process_safety_score": "3,5",
}


def rows(*changes: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame([SOUND | change for change in changes], dtype=object)


def test_a_sound_row_has_no_fault() -> None:
    long = {
        "description": "x" * 2000,
        "equipment_name": "n" * 500,
        "detected_at": "2024-01-02T03:04:05.000006Z",
    }
    assert find_faults(rows({}, long)) == []


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"description": " "}, "description", "description must not be blank"),
        ({"equipment_id": ""}, "equipment_id", "equipment_id must not be blank"),
        (
            {"description": "x" * 2001},
            "description",
            "description must be at most 2,000 characters, got 2,001",
        ),
        (
            {"equipment_name": "x" * 501},
            "equipment_name",
            "equipment_name must be at most 500 characters, got 501",
        ),
        ({"description": "a\0b"}, "description", "description must not contain NUL characters"),
        ({"equipment_name": "a\udce9"}, "equipment_name", "equipment_name must not contain lone surrogates"),
        (
            {"availability_score": "", "process_safety_score": " "},
            "availability_score",
            "Missing required fields: ['availability_score', 'process_safety_score']",
        ),
        ({"fiability_score": "6"}, "fiability_score", "fiability_score must be between 1 and 5, got 6"),
        ({"fiability_score": "0.5"}, "fiability_score", "fiability_score must be between 1 and 5, got 0.5"),
        ({"fiability_score": "-3"}, "fiability_score", "fiability_score must be between 1 and 5, got -3"),
        (
            {"fiability_score": "9" * 400},
            "fiability_score",
            "fiability_score must be a finite number, got inf",
        ),
        ({"fiability_score": "nan"}, "fiability_score", "fiability_score must be a finite number, got 'nan'"),
        ({"fiability_score": "1_0"}, "fiability_score", "fiability_score must be a finite number, got '1_0'"),
        (
            {"fiability_score": "True"},
            "fiability_score",
            "fiability_score must be a finite number, got 'True'",
        ),
        ({"fiability_score": "٣"}, "fiability_score", "fiability_score must be a finite number, got '٣'"),
        (
            {"detected_at": "31/01/2024"},
            "detected_at",
            "detected_at must be an ISO 8601 date and time between the years 1900 and 2199, got '31/01/2024'",
        ),
        (
            {"detected_at": "2024-02-30"},
            "detected_at",
            "detected_at must be an ISO 8601 date and time between the years 1900 and 2199, got '2024-02-30'",
        ),
        (
            {"detected_at": "0001-01-01 00:00:00+10:00"},
            "detected_at",
            (
                "detected_at must be an ISO 8601 date and time between the years 1900 and 2199, "
                "got '0001-01-01 00:00:00+10:00'"
            ),
        ),
    ],
)
def test_every_fault_is_named(change: dict[str, str], field: str, message: str) -> None:
    assert find_faults(rows({}, change)) == [(1, field, message)]


def test_all_faults_of_a_row_are_said_in_the_order_of_rows() -> None:
    faults = find_faults(
        rows({"fiability_score": "x"}, {"description": "", "detected_at": "y"}, {"description": ""})
    )
    assert [(position, field) for position, field, _ in faults] == [
        (0, "fiability_score"),
        (1, "description"),
        (1, "detected_at"),
        (2, "description"),
    ]


def test_positions_are_those_of_the_index() -> None:
    assert find_faults(rows({}, {"description": ""}).set_axis([4, 7]))[0][0] == 7


def test_scores_are_read_to_the_last_digit() -> None:
    scores = parse_scores(pd.Series(["1", "2,5", " 3.1000000000000001 ", "5.", "", "x"], dtype=object))
    assert scores[:4].tolist() == [1.0, 2.5, 3.1, 5.0]
    assert scores[4:].isna().all()


def test_times_are_read_as_utc() -> None:
    texts = [
        "2024-01-02 03:04:05",
        "2024-01-02",
        "2024-01-02T03:04",
        "2024-01-02T03:04:05.5+02:00",
        "2024",
        "",
    ]
    times = parse_times(pd.Series(texts, dtype=object))
    assert times.dtype == "datetime64[us]"
    assert [time.isoformat() for time in times[:4]] == [
        "2024-01-02T03:04:05",
        "2024-01-02T00:00:00",
        "2024-01-02T03:04:00",
        "2024-01-02T01:04:05.500000",
    ]
    assert times[4:].isna().all()
