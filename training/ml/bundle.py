"""A model version's files: written here, and read back from bytes that were verified before.

features.pkl  availability_model.pkl  fiability_model.pkl  process_safety_model.pkl   the model
twin.pkl                                                                              its twin, if any
held_out.csv.gz                                 the records that the twin was measured on, as it saw them
neighbours.pkl                                      the records that it learned from, to be found again
"""

import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
import pandas as pd

from training.ml import libraries
from training.ml.errors import IncompatibleArtifactError
from training.ml.failpoints import failpoint
from training.ml.features import ReportFeatures
from training.ml.held_out import write_held_out
from training.ml.manifest import Manifest
from training.ml.neighbours import NeighbourIndex
from training.ml.ordinal import OrdinalClassifier
from training.ml.records import TARGETS, TEXT_COLUMNS
from training.ml.scorer import AnomalyScorer

T = TypeVar("T")

FORMAT = libraries.FORMAT
FEATURES = "features.pkl"
MODELS = {target: f"{target}_model.pkl" for target in TARGETS}
TWIN = "twin.pkl"
NEIGHBOURS = "neighbours.pkl"
COMPRESSION = ("zlib", 1)

_REQUIRED_LIBRARIES = ("format", "scikit-learn")  # others may differ, as long as the files can be read
# What unpickling raises where a class, or what it is made of, is another one.
_OTHER_CODE = (AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError, EOFError)


def write_bundle(
    path: Path,
    *,
    scorer: AnomalyScorer,
    twin: AnomalyScorer | None,
    neighbours: NeighbourIndex,
    held_out: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Write the files into the directory; the facts to be signed with them."""
    files: dict[str, object] = {FEATURES: scorer.features_, NEIGHBOURS: neighbours}
    files |= {name: scorer.classifiers_[target] for target, name in MODELS.items()}
    if twin is not None:
        files[TWIN] = twin
    with ThreadPoolExecutor() as pool:  # zlib lets go of the interpreter lock
        for _ in pool.map(lambda name: _dump(files[name], path / name), files):
            pass
    if held_out is not None:
        write_held_out(path, held_out)
    return libraries.installed() | {"targets": list(TARGETS)}


def read_scorer(manifest: Manifest) -> AnomalyScorer:
    """The model of a verified directory, after a prediction to try it.

    Raises IncompatibleArtifactError, before anything is unpickled when the facts already say so, and
    TamperedArtifactError when a file is no longer what was signed.
    """
    _check_facts(manifest.facts)
    scorer = AnomalyScorer()
    scorer.features_ = _load(manifest, FEATURES, ReportFeatures)
    scorer.classifiers_ = {
        target: _load(manifest, name, OrdinalClassifier) for target, name in MODELS.items()
    }
    return _tried(scorer)


def read_twin(manifest: Manifest) -> AnomalyScorer:
    """The twin of a verified directory that has one. Raises as `read_scorer` does."""
    _check_facts(manifest.facts)
    return _tried(_load(manifest, TWIN, AnomalyScorer))


def read_neighbours(manifest: Manifest) -> NeighbourIndex:
    """The index of a verified directory. Raises as `read_scorer` does."""
    _check_facts(manifest.facts)
    return _load(manifest, NEIGHBOURS, NeighbourIndex)


def _dump(value: object, path: Path) -> None:
    failpoint("bundle.file")
    joblib.dump(value, path, compress=COMPRESSION)


def _check_facts(facts: Mapping[str, Any]) -> None:
    own = libraries.installed()
    needed = {name: own[name] for name in _REQUIRED_LIBRARIES} | {"targets": list(TARGETS)}
    for name, required in needed.items():
        if facts.get(name) != required:
            raise IncompatibleArtifactError(
                f"The model was written with {name} {facts.get(name)}; this program needs {required}."
            )


def _load(manifest: Manifest, name: str, expected: type[T]) -> T:
    content = manifest.read(name)
    try:
        value = joblib.load(BytesIO(content))
    except (*_OTHER_CODE, pickle.UnpicklingError) as error:
        raise IncompatibleArtifactError(f"{name} needs other code than this program's: {error}.") from error
    if not isinstance(value, expected):
        raise IncompatibleArtifactError(f"{name} holds a {type(value).__name__}, not a {expected.__name__}.")
    return value


def _tried(scorer: AnomalyScorer) -> AnomalyScorer:
    """The scorer, once it has answered a report as it should."""
    report = pd.DataFrame([dict.fromkeys(TEXT_COLUMNS, "essai")])
    try:
        suggestions = scorer.predict(report)
        sound = all(np.isclose(suggestions[target].distribution.sum(), 1.0) for target in TARGETS)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise IncompatibleArtifactError(f"The model cannot answer a report: {error}.") from error
    if not sound:
        raise IncompatibleArtifactError("The model's probabilities do not add up to 1.")
    return scorer
