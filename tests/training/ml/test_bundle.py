import pickle
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn

from tests.training.ml.frames import reports
from training.ml import bundle
from training.ml.bundle import read_neighbours, read_scorer, read_twin, write_bundle
from training.ml.errors import IncompatibleArtifactError, TamperedArtifactError
from training.ml.features import count_reports
from training.ml.held_out import held_out_records, read_held_out
from training.ml.manifest import Manifest, sign_directory
from training.ml.neighbours import NeighbourIndex, index_records
from training.ml.records import TARGETS
from training.ml.scorer import AnomalyScorer

READERS = pytest.mark.parametrize(
    ("read", "name"),
    [(read_scorer, "features.pkl"), (read_twin, "twin.pkl"), (read_neighbours, "neighbours.pkl")],
)
Read = Callable[[Manifest], AnomalyScorer | NeighbourIndex]


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def scorer() -> AnomalyScorer:
    return AnomalyScorer().fit(reports())


@pytest.fixture(scope="module")
def twin() -> AnomalyScorer:
    return AnomalyScorer().fit(reports()[:100])


@pytest.fixture(scope="module")
def neighbours(scorer: AnomalyScorer) -> NeighbourIndex:
    return index_records(scorer.features_, count_reports(reports()), reports())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "version"
    path.mkdir()
    return path


@pytest.fixture
def facts(
    directory: Path, scorer: AnomalyScorer, twin: AnomalyScorer, neighbours: NeighbourIndex
) -> dict[str, Any]:
    return write_bundle(directory, scorer=scorer, twin=twin, neighbours=neighbours)


def signed(path: Path, facts: dict[str, Any]) -> Manifest:
    return sign_directory(path, key="test", kind="model", facts=facts)


def bits(scorer: AnomalyScorer) -> list[bytes]:
    suggestions = scorer.predict(reports())
    return [suggestions[target].distribution.tobytes() for target in TARGETS]


def test_reads_back_what_was_written(
    directory: Path, facts: dict[str, Any], scorer: AnomalyScorer, twin: AnomalyScorer
) -> None:
    manifest = signed(directory, facts)
    assert bits(read_scorer(manifest)) == bits(scorer)
    assert bits(read_twin(manifest)) == bits(twin)
    assert bits(scorer) != bits(twin)


def test_reads_back_the_records_to_compare_with(
    directory: Path, facts: dict[str, Any], neighbours: NeighbourIndex
) -> None:
    read = read_neighbours(signed(directory, facts))
    assert read.anomaly_ids == neighbours.anomaly_ids
    assert (read.terms != neighbours.terms).nnz == 0


def test_writes_the_files_of_the_guide(directory: Path, facts: dict[str, Any]) -> None:
    assert sorted(path.name for path in directory.iterdir()) == [
        "availability_model.pkl",
        "features.pkl",
        "fiability_model.pkl",
        "neighbours.pkl",
        "process_safety_model.pkl",
        "twin.pkl",
    ]


def test_the_held_out_records_are_one_more_file(
    directory: Path, scorer: AnomalyScorer, twin: AnomalyScorer, neighbours: NeighbourIndex
) -> None:
    suggested = {target: twin.predict(reports())[target].score for target in TARGETS}
    held_out = held_out_records(reports(), suggested)
    facts = write_bundle(directory, scorer=scorer, twin=twin, neighbours=neighbours, held_out=held_out)
    manifest = signed(directory, facts)
    pd.testing.assert_frame_equal(read_held_out(manifest), held_out)
    assert bits(read_scorer(manifest)) == bits(scorer)


def test_facts_name_format_libraries_and_targets(facts: dict[str, Any]) -> None:
    assert facts["format"] == bundle.FORMAT
    assert facts["targets"] == ["availability", "fiability", "process_safety"]
    assert facts["scikit-learn"] == sklearn.__version__
    assert facts["python"] == platform.python_version()
    assert set(facts) == {"format", "targets", "python", "scikit-learn", "numpy", "scipy"}


def test_without_twin(directory: Path, scorer: AnomalyScorer, neighbours: NeighbourIndex) -> None:
    manifest = signed(directory, write_bundle(directory, scorer=scorer, twin=None, neighbours=neighbours))
    assert bits(read_scorer(manifest)) == bits(scorer)
    with pytest.raises(TamperedArtifactError, match=r"holds no file 'twin\.pkl'"):
        read_twin(manifest)


@READERS
@pytest.mark.parametrize(
    ("fact", "value"), [("format", 1), ("format", 3), ("scikit-learn", "1.0"), ("targets", ["availability"])]
)
def test_other_facts_are_refused_before_unpickling(
    directory: Path, facts: dict[str, Any], *, read: Read, name: str, fact: str, value: object
) -> None:
    joblib.dump(Bomb(directory.parent / "exploded"), directory / name)
    with pytest.raises(IncompatibleArtifactError) as raised:
        read(signed(directory, facts | {fact: value}))
    assert (
        str(raised.value) == f"The model was written with {fact} {value}; this program needs {facts[fact]}."
    )
    assert not (directory.parent / "exploded").exists()


@READERS
def test_missing_facts_are_refused(directory: Path, facts: dict[str, Any], read: Read, name: str) -> None:
    with pytest.raises(IncompatibleArtifactError, match="format None"):
        read(signed(directory, {}))


@READERS
def test_bytes_changed_after_verification_are_not_unpickled(
    directory: Path, facts: dict[str, Any], read: Read, name: str
) -> None:
    manifest = signed(directory, facts)
    joblib.dump(Bomb(directory.parent / "exploded"), directory / name)
    with pytest.raises(TamperedArtifactError):
        read(manifest)
    assert not (directory.parent / "exploded").exists()


@READERS
def test_a_genuine_file_that_needs_other_code_is_incompatible(
    directory: Path, facts: dict[str, Any], read: Read, name: str
) -> None:
    (directory / name).write_bytes(pickle.dumps(Bomb(directory)).replace(b"touch", b"tooch"))
    with pytest.raises(IncompatibleArtifactError, match=f"^{name} needs other code than this program's"):
        read(signed(directory, facts))


@READERS
def test_a_genuine_file_that_holds_something_else_is_incompatible(
    directory: Path, facts: dict[str, Any], read: Read, name: str
) -> None:
    joblib.dump({}, directory / name)
    with pytest.raises(IncompatibleArtifactError, match=f"^{name} holds a dict, not a"):
        read(signed(directory, facts))


def test_a_model_that_cannot_answer_is_incompatible(
    directory: Path, facts: dict[str, Any], twin: AnomalyScorer
) -> None:
    joblib.dump(twin.features_, directory / "features.pkl")
    with pytest.raises(IncompatibleArtifactError, match=r"^The model cannot answer a report: "):
        read_scorer(signed(directory, facts))


def test_a_model_that_answers_nonsense_is_incompatible(
    directory: Path, facts: dict[str, Any], scorer: AnomalyScorer
) -> None:
    broken = joblib.load(directory / "fiability_model.pkl")
    broken.intercept_ = np.full(4, np.nan)
    joblib.dump(broken, directory / "fiability_model.pkl")
    with pytest.raises(IncompatibleArtifactError, match=r"^The model's probabilities do not add up to 1\.$"):
        read_scorer(signed(directory, facts))
