"""The digests find what a comparison of all rows, field by field, finds."""

from collections.abc import Iterator

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from training.datafiles.cells import derive_ids
from training.datafiles.repeats import Ledger, Repetition, compare, digests
from training.ml.records import COLUMNS, SCORE_COLUMNS


def frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    dtypes = (
        dict.fromkeys(COLUMNS[:6], "str")
        | {"detected_at": "datetime64[us]"}
        | dict.fromkeys(COLUMNS[7:], "float")
    )
    made = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dtypes)
    return made.assign(anomaly_id=made["anomaly_id"].mask(made["anomaly_id"] == "", derive_ids(made)))


def found(ledger: Ledger, rows: pd.DataFrame) -> list[Repetition]:
    duplicates, unclear = ledger.repetitions()
    if not len(unclear):
        return list(duplicates)
    some, more = unclear[:2], unclear[2:]  # compared in pieces, as files are read
    return list(duplicates + compare([rows.loc[some], rows.loc[more]], ledger.lines(unclear)))


def compared_plainly(rows: pd.DataFrame) -> Iterator[Repetition]:
    """Row by row and value by value, with everything in memory."""
    firsts: dict[str, int] = {}
    derived = derive_ids(rows)
    for position, row in rows.astype(object).where(rows.notna(), None).iterrows():
        at = int(str(position))
        before = firsts.setdefault(row["anomaly_id"], at)
        if before == at:
            continue
        first = rows.astype(object).where(rows.notna(), None).loc[before]
        fields = tuple(name for name in COLUMNS if row[name] != first[name])
        if row["anomaly_id"] == derived[at] and not set(fields) & set(SCORE_COLUMNS):
            fields = ()
        yield Repetition(position=at, line=at + 2, line_before=before + 2, fields=fields)


few = st.sampled_from(["", "a"])
few_rows = st.lists(
    st.tuples(
        st.sampled_from(["", "", "A", "B"]),
        *[few] * 5,
        st.sampled_from([None, pd.Timestamp("2024-01-02 03:04:05")]),
        *[st.sampled_from([1.0, 2.5])] * 3,
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(few_rows, st.integers(1, 5), st.integers(1, 3))
def test_digests_find_what_comparing_all_rows_finds(
    rows: list[tuple[object, ...]], piece: int, apart: int
) -> None:
    whole = frame(rows)
    whole.index = pd.RangeIndex(0, len(rows) * apart, apart)  # rows in between were refused
    lines = pd.Series(whole.index + 2, index=whole.index)
    ledger = Ledger()
    for start in range(0, max(len(rows), 1), piece):
        ledger.enter(whole[start : start + piece], lines)
    assert found(ledger, whole) == list(compared_plainly(whole))


def test_a_derived_id_given_to_another_report_is_told_from_its_own() -> None:
    own = frame([("", "fuite", "", "p-1", "", "", None, 1, 1, 1)])
    other = own.assign(description="bruit")
    rows = pd.concat([other, own, own.assign(section="MEC")], ignore_index=True)
    ledger = Ledger()
    ledger.enter(rows, rows.index.to_series() + 2)
    assert found(ledger, rows) == [
        Repetition(position=1, line=3, line_before=2),
        Repetition(position=2, line=4, line_before=2),
    ]


def test_an_id_is_sixteen_bytes_whatever_they_are() -> None:
    ids = [f"imp-{number}" for number in range(2_000)]  # among them digests that end with a NUL
    assert len(set(digests(ids).tolist())) == 2_000
    assert digests(ids[:1])[0] == digests(["imp-0"])[0]
