from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.datafiles.files import FAN, PUMP, TEXTS, TITLES, write_customer
from training.datafiles import CUSTOMER_FILES, read_customer_directory, read_files, write_customer_files
from training.datafiles.cells import derive_ids
from training.datafiles.reading import _read_plainly, _read_quickly
from training.ml.records import COLUMNS

ROWS = [
    PUMP,
    FAN,
    'p;2,,"dit ""coup de bélier"", fort",2024-01-04 00:00:00,,MEC 1/1/1',
    'p-3,Eau,"deux\nlignes",2024-01-05 10:11:12.000013,Pompe,MEC 1/4.25/1',
    "p-4,Eau,  - appoint d'huile ,,Pompe, 2/1/1",
    "p-5,Eau,- Fuite d'huile (palier du moteur),,Pompe, 2/1/1",
]


def frame(*rows: tuple[object, ...]) -> pd.DataFrame:
    dtypes = (
        dict.fromkeys(COLUMNS[:6], "str")
        | {"detected_at": "datetime64[us]"}
        | dict.fromkeys(COLUMNS[7:], "float")
    )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dtypes)


def test_what_was_read_is_written_byte_for_byte(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, *ROWS)
    (tmp_path / "out").mkdir()
    records = read_files(paths)
    assert write_customer_files(tmp_path / "out", lambda: [records.frame[:2], records.frame[2:]]) == 6
    for path in paths:
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_bad_rows_and_duplicates_are_all_that_is_missing(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP, PUMP, "p-1,Eau,,,Pompe,MEC 1/2/3", FAN)
    records = read_files(paths)
    write_customer_files(tmp_path, lambda: [records.frame])
    assert [path.read_bytes() for path in paths] == [
        path.read_bytes() for path in write_customer(tmp_path, PUMP, FAN)
    ]


def test_ids_that_cannot_be_derived_have_a_column(tmp_path: Path) -> None:
    rows = frame(
        ("", "fuite", "", "p-1", "", "", "2024-01-02", 1, 2, 3),
        ("=A", "fuite", "", "p-1", "", "", None, 1, 2, 3),
    )
    rows["anomaly_id"] = rows["anomaly_id"].mask(rows["anomaly_id"] == "", derive_ids(rows))
    calls = 0

    def read_frames() -> Iterator[pd.DataFrame]:
        nonlocal calls
        calls += 1
        yield rows[:1]
        yield rows[1:]

    assert (write_customer_files(tmp_path, read_frames), calls) == (2, 2)
    assert (tmp_path / "fiabilite.csv").read_text() == (
        f"{TEXTS},{TITLES[1]},anomaly_id\n"
        f"p-1,,fuite,2024-01-02 00:00:00,,,2,{rows['anomaly_id'][0]}\n"
        "p-1,,fuite,,,,2,'=A\n"
    )
    assert pd.concat(read_customer_directory(tmp_path)).equals(rows)


def test_an_empty_training_set_is_written_and_read(tmp_path: Path) -> None:
    assert write_customer_files(tmp_path, list) == 0
    assert (tmp_path / "disponibilite.csv").read_text() == f"{TEXTS},{TITLES[0]}\n"
    assert pd.concat(read_customer_directory(tmp_path)).equals(frame())


# Everything that PostgreSQL stores, with a taste for what files are bad at.
texts = st.text(
    st.one_of(
        st.sampled_from("'=+-@\t\r\n\",; \ufeff\u2028"), st.characters(codec="utf-8", exclude_characters="\0")
    ),
    max_size=12,
)
scores = st.floats(1, 5)
times = st.one_of(st.none(), st.datetimes())
ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)
some_rows = st.lists(
    st.tuples(ids, texts, texts, texts, texts, texts, times, scores, scores, scores),
    max_size=5,
    unique_by=lambda row: row[0],
)


@settings(max_examples=40, deadline=None)
@given(some_rows, st.booleans())
def test_whatever_is_stored_comes_back(rows: list[tuple[object, ...]], derived: bool) -> None:
    stored = frame(*rows)
    if derived:
        stored = stored.assign(anomaly_id=derive_ids(stored)).drop_duplicates("anomaly_id", ignore_index=True)
    with TemporaryDirectory() as name:
        assert write_customer_files(Path(name), lambda: [stored]) == len(stored)
        for read in (_read_quickly, _read_plainly):
            assert pd.concat(read(Path(name))).equals(stored)
        header = (Path(name) / "disponibilite.csv").read_text(encoding="utf-8").split("\n")[0]
        assert header.endswith("anomaly_id") == (not derived and len(stored) > 0)


def test_an_error_leaves_the_files_of_before(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP)
    before = [path.read_bytes() for path in paths]

    def break_off() -> Iterator[pd.DataFrame]:
        yield read_files(paths).frame
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_customer_files(tmp_path, break_off)
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(
        CUSTOMER_FILES.values()
    )
