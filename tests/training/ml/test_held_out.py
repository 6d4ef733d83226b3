from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.ml.frames import frame_of, row
from training.ml.errors import TamperedArtifactError
from training.ml.held_out import held_out_records, read_held_out, select, write_held_out
from training.ml.manifest import Manifest, sign_directory
from training.ml.records import TARGETS

AWKWARD = ["007", "NA", "", 'a"b', "a,b", "a\nb", "a\r\nb", "a\rb", " ", "=1+1", "œ火"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "version"
    path.mkdir()
    return path


def signed(path: Path, records: pd.DataFrame) -> Manifest:
    write_held_out(path, records)
    return sign_directory(path, key="test", kind="model", facts={})


def records(*scores: tuple[float, int], target: str = "availability") -> pd.DataFrame:
    """Of that target actual and suggested scores; of the others 1 and 1."""
    actual = frame_of(
        *(row(anomaly_id=f"A-{n}", **{f"{target}_score": a}) for n, (a, _s) in enumerate(scores))
    )
    suggested = {name: np.ones(len(scores), dtype=np.int64) for name in TARGETS}
    return held_out_records(actual, suggested | {target: np.array([s for _a, s in scores])})


def ids(found: pd.DataFrame) -> list[str]:
    return found["anomaly_id"].tolist()


@pytest.mark.parametrize("anomaly_id", AWKWARD)
def test_what_is_written_is_read(directory: Path, anomaly_id: str) -> None:
    written = records((2.5, 3), (1, 5)).assign(anomaly_id=[anomaly_id, "A-1"])
    pd.testing.assert_frame_equal(read_held_out(signed(directory, written)), written)


def test_what_was_altered_is_not_read(directory: Path) -> None:
    manifest = signed(directory, records((1, 1)))
    write_held_out(directory, records((1, 2)))
    with pytest.raises(TamperedArtifactError, match=r"^'held_out\.csv\.gz' in .+ was altered\.$"):
        read_held_out(manifest)


def test_it_is_small(tmp_path: Path) -> None:
    """The held-out records of a million."""
    rows = 200_000
    numbers = np.random.default_rng(1).integers(1, 6, size=(6, rows))
    columns = [f"{target}_{what}" for what in ("score", "suggested") for target in TARGETS]
    frame = pd.DataFrame(dict(zip(columns, numbers, strict=True)))
    frame.insert(0, "anomaly_id", [f"PLANT-2026-{n:07d}" for n in range(rows)])
    write_held_out(tmp_path, frame)
    assert (tmp_path / "held_out.csv.gz").stat().st_size < 4_000_000


def test_the_farthest_errors_come_first() -> None:
    found = records((4, 4), (5, 1), (2, 3), (1, 4))
    assert ids(select(found, target="availability")) == ["A-1", "A-3", "A-2", "A-0"]
    assert ids(select(found, target="fiability")) == ["A-0", "A-1", "A-2", "A-3"]


def test_a_cell_of_the_confusion_matrix() -> None:
    found = records((4, 2), (3.5, 2), (3.4, 2), (4, 3), (2, 4))
    assert ids(select(found, target="availability", actual=4, suggested=2)) == ["A-0", "A-1"]
    assert ids(select(found, target="availability", actual=4)) == ["A-0", "A-1", "A-3"]
    assert ids(select(found, target="availability", suggested=4)) == ["A-4"]
    assert ids(select(found, target="fiability", actual=4)) == []


def test_without_a_target_any_of_the_three() -> None:
    one, other = records((4, 2)), records((4, 2), target="process_safety")
    found = pd.concat([one, other.assign(anomaly_id="B")])
    assert ids(select(found, actual=4, suggested=2)) == ["A-0", "B"]
    assert ids(select(found, actual=4, suggested=1)) == []
    assert ids(select(found)) == ["A-0", "B"]


def test_without_a_target_the_errors_add_up() -> None:
    near, far = records((1, 3), (1, 1)), records((1, 2), (1, 2), target="fiability")
    found = near.assign(fiability_suggested=far["fiability_suggested"])
    assert ids(select(found)) == ["A-0", "A-1"]
    assert ids(select(found.iloc[::-1])) == ["A-0", "A-1"]


def test_of_nothing_nothing_is_selected() -> None:
    assert select(records((1, 1))[:0]).empty
