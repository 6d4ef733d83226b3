import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from tests.training.ml.frames import frame_of, reports, row
from training.ml.errors import NothingToLearnError
from training.ml.features import count_reports
from training.ml.records import SCORE_COLUMNS, TARGETS
from training.ml.scorer import AnomalyScorer, Suggestion

ROOT = Path(__file__).parents[3]
PRINT_DIGEST = (
    "from tests.training.ml.test_scorer import digest; from tests.training.ml.frames import reports;"
    "from training.ml.scorer import AnomalyScorer; print(digest(AnomalyScorer().fit(reports())))"
)


def digest(scorer: AnomalyScorer) -> str:
    """Of the exact bits of every probability."""
    suggestions = scorer.predict(reports())
    bits = b"".join(suggestions[target].distribution.tobytes() for target in TARGETS)
    return hashlib.sha256(bits).hexdigest()


def test_learns_what_the_words_say() -> None:
    suggestions = (
        AnomalyScorer()
        .fit(reports())
        .predict(
            frame_of(row(description="FISSURE, pompe 7"), row(description="calorifuge à reprendre vanne"))
        )
    )
    assert {target: suggestions[target].score.tolist() for target in TARGETS} == {
        "availability": [5, 1],
        "fiability": [3, 1],
        "process_safety": [4, 1],
    }


def test_suggestion_facts_follow_from_the_distribution() -> None:
    suggestion = Suggestion.of(np.array([[0.125, 0.25, 0.5, 0.125, 0.0], [0.0, 0.0, 0.0, 0.25, 0.75]]))
    assert suggestion.score.tolist() == [3, 5]
    assert suggestion.expected.tolist() == [2.625, 4.75]
    assert suggestion.confidence.tolist() == [0.5, 0.75]
    assert suggestion.serious.tolist() == [0.125, 1.0]


def test_a_quarter_of_a_serious_score_needs_attention() -> None:
    suggestion = Suggestion.of(np.array([[0.75, 0, 0, 0.125, 0.125], [0.5, 0.25, 0.125, 0.125, 0]]))
    assert suggestion.needs_attention.tolist() == [True, False]


def test_the_opposite_scale_is_read_from_the_other_end() -> None:
    mirrored = Suggestion.of(np.array([[0.75, 0, 0, 0.125, 0.125], [0, 0.25, 0.75, 0, 0]])).mirrored
    assert mirrored.distribution.tolist() == [[0.125, 0.125, 0, 0, 0.75], [0, 0, 0.75, 0.25, 0]]
    assert mirrored.score.tolist() == [5, 3]
    assert mirrored.expected.tolist() == [4.125, 3.25]
    assert mirrored.needs_attention.tolist() == [True, True]


def test_predicts_in_the_frame_s_order_whatever_its_index() -> None:
    frame = reports()
    scorer = AnomalyScorer().fit(frame)
    backwards = scorer.predict(frame[::-1])["availability"].distribution
    assert np.array_equal(backwards[::-1], scorer.predict(frame)["availability"].distribution)


def test_reviewed_scores_are_not_needed_to_predict() -> None:
    frame = reports()
    scorer = AnomalyScorer().fit(frame)
    blind = scorer.predict(frame.drop(columns=list(SCORE_COLUMNS)))
    assert np.array_equal(blind["fiability"].distribution, scorer.predict(frame)["fiability"].distribution)


def test_one_record_without_a_name() -> None:
    scorer = AnomalyScorer().fit(frame_of(row(equipment_name="", availability_score=4)))
    suggestions = scorer.predict(frame_of(row(description="tout autre chose", equipment_id="eq-unseen")))
    assert [suggestions[target].score.tolist() for target in TARGETS] == [[4], [1], [1]]


def test_nothing_to_predict() -> None:
    suggestions = AnomalyScorer().fit(reports()).predict(frame_of())
    assert [suggestions[target].distribution.shape for target in TARGETS] == [(0, 5)] * 3
    assert suggestions["availability"].score.tolist() == []


def test_nothing_to_learn() -> None:
    with pytest.raises(NothingToLearnError, match=r"^There is no approved anomaly to learn from"):
        AnomalyScorer().fit(frame_of())


def test_missing_score_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        AnomalyScorer().fit(frame_of(row(), row(fiability_score=float("nan"))))


def test_must_be_fitted() -> None:
    with pytest.raises(NotFittedError):
        AnomalyScorer().predict(reports())


def test_tells_when_a_target_is_fitted() -> None:
    told: list[str] = []
    frame = reports()
    AnomalyScorer().fit_counts(count_reports(frame), frame, on_fitted=told.append)
    assert told == list(TARGETS)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_frame_gives_the_same_bits_in_every_process(hash_seed: str) -> None:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "OPENBLAS_NUM_THREADS": hash_seed}
    printed = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == digest(AnomalyScorer().fit(reports()))
