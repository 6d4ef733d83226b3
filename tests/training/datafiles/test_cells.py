import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datafiles.cells import derive_ids, field_of, format_times, neutralise, restore


def cells(*texts: str) -> "pd.Series[str]":
    return pd.Series(texts, dtype="str")


@pytest.mark.parametrize(
    ("title", "field"),
    [
        ("Disponibilté", "availability_score"),
        ("DISPONIBILITÉ", "availability_score"),
        ("fiabilite / integrite", "fiability_score"),
        ("Process_Safety", "process_safety_score"),
        ("Date de détection de l’anomalie", "detected_at"),
        ("Description de l'equipement ", "equipment_name"),
        ("Num équipement", "equipment_id"),
        ("equipment_id", "equipment_id"),
        ("Criticité", None),
        ("", None),
    ],
)
def test_titles_are_recognised_whatever_their_spelling(title: str, field: str | None) -> None:
    assert field_of(title) == field


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+33 6", "'+33 6"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("'=1+1", "''=1+1"),
        ("''-1", "'''-1"),
        ("'quoted'", "'quoted'"),
        ("a=1", "a=1"),
        ("", ""),
        # A list dash before prose is no formula …
        (
            "- Fuite d'huile, palier 2 (voir photo du quart).",
            "- Fuite d'huile, palier 2 (voir photo du quart).",
        ),
        # … but what could call, link or refer is.
        ("- SUM(A1)", "'- SUM(A1)"),
        ("- SUM (A1)", "'- SUM (A1)"),
        ("- SUM (A1 B2)", "'- SUM (A1 B2)"),
        ("- cmd|' /C calc'!A0", "'- cmd|' /C calc'!A0"),
        ('- x & "y"', '\'- x & "y"'),
        ("- 1", "'- 1"),
        ("-Fuite", "'-Fuite"),
        ("- Fuite\n=1", "'- Fuite\n=1"),
        ("'- Fuite d'huile", "''- Fuite d'huile"),
    ],
)
def test_formulas_are_neutralised_and_come_back(text: str, cell: str) -> None:
    assert neutralise(cells(text)).tolist() == [cell]
    assert restore(cells(cell)).tolist() == [text]


@given(st.lists(st.text(alphabet="'=+-@\t\r\n ab(|é\"", max_size=8), max_size=5))
def test_every_text_comes_back(texts: list[str]) -> None:
    assert restore(neutralise(cells(*texts))).tolist() == texts


def test_times_are_written_as_the_customer_writes_them() -> None:
    texts = ["2024-01-02 03:04:05", "2024-01-02 03:04:05.000600", "", "1999-12-31 00:00:00"]
    times = pd.Series(pd.to_datetime(texts, format="ISO8601")).astype("datetime64[us]")
    assert format_times(times).tolist() == texts


def test_ids_depend_on_equipment_text_and_time_alone() -> None:
    rows = pd.DataFrame(
        {
            "equipment_id": ["p-1", "p-1", "p-1x", "p-1", "p-1"],
            "description": ["x fuite", "x fuite", " fuite", "x fuite ", "x fuite"],
            "detected_at": pd.to_datetime(["2024-01-02", "2024-01-02", "2024-01-02", "2024-01-02", ""]),
            "section": ["A", "B", "A", "A", "A"],
        }
    ).astype({"detected_at": "datetime64[us]"})
    ids = derive_ids(rows)
    assert ids[0] == ids[1] == "imp-ebc1c137668ca0f66841"
    assert ids.nunique() == 4
