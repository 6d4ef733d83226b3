"""Which measure finds wrong labels best: 5 % of the scores are spoiled on purpose, and searched for.

    python benchmarks/label_noise.py disponibilite.csv fiabilite.csv process_safty.csv

Prints for each measure the precision among the most suspicious 1 % and 5 % and the AUC, means over the three
targets and two seeds, for each of three ways to spoil and for all; then what `check_labels` would list. About
a minute of CPU for 4,551 reports.
"""

import itertools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import django
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "anomalyproject.settings")
django.setup()  # the files' rules are those of the database's rows

from training.datafiles import read_files
from training.ml.features import count_reports
from training.ml.implausible import (
    FOLDS,
    IMPLAUSIBLE_BELOW,
    expected_by_chance,
    margin_of,
    out_of_fold,
    probability_of,
)
from training.ml.ordinal import SCORES, Floats
from training.ml.progress import Steps
from training.ml.records import TARGETS, whole_scores
from training.ml.scorer import Suggestion

SPOILED = 0.05
SEEDS = (0, 1)
Measure = Callable[[Floats, Floats], Floats]
K = np.array(SCORES, dtype=np.float64)


def other_score(scores: Floats, rng: np.random.Generator) -> Floats:
    """Any other score, each as likely."""
    return np.asarray((scores - 1 + rng.integers(1, 5, len(scores))) % 5 + 1)


def usual_score(scores: Floats, rng: np.random.Generator) -> Floats:
    """Another score, as often as the data have it."""
    drawn = [rng.choice(scores[scores != score]) for score in scores]
    return np.asarray(drawn)


def next_score(scores: Floats, rng: np.random.Generator) -> Floats:
    """One more or one less."""
    step = rng.choice([-1.0, 1.0], len(scores))
    return np.asarray(scores + np.where(scores == 1, 1, np.where(scores == 5, -1, step)))


def above(distribution: Floats) -> Floats:
    """P(score > 1 … 4), shape (n, 4)."""
    return np.asarray(1 - np.cumsum(distribution, axis=1)[:, :-1])


def adjusted(distribution: Floats, scores: Floats) -> Floats:
    """Self-confidence less the class's mean: the thresholds of confident learning."""
    own, classes = probability_of(distribution, scores), whole_scores(scores)
    means = pd.Series(own).groupby(classes).transform("mean").to_numpy()
    return np.asarray(means - own)


def entropy_weighted(distribution: Floats, scores: Floats) -> Floats:
    entropy = -(distribution * np.log(distribution.clip(1e-12))).sum(axis=1)
    return np.asarray(-probability_of(distribution, scores) / (entropy + 1e-9))


def ranked(distribution: Floats, scores: Floats) -> Floats:
    """The ranked probability score."""
    return np.asarray(((above(distribution) - (scores[:, None] > K[:-1])) ** 2).sum(axis=1))


def ordinal_loss(distribution: Floats, scores: Floats) -> Floats:
    right = np.where(scores[:, None] > K[:-1], above(distribution), 1 - above(distribution))
    return np.asarray(-np.log(right.clip(1e-6)).sum(axis=1))


def tail(distribution: Floats, scores: Floats) -> Floats:
    """1 − P(a score at least as far out)."""
    below = (distribution * (scores[:, None] >= K)).sum(axis=1)
    beyond = (distribution * (scores[:, None] <= K)).sum(axis=1)
    return np.asarray(1 - np.minimum(below, beyond))


MEASURES: Mapping[str, Measure] = {
    "self-confidence, 1 − P(score)": lambda distribution, scores: 1 - probability_of(distribution, scores),
    "normalised margin": margin_of,
    "self-confidence, adjusted by class": adjusted,
    "confidence-weighted entropy": entropy_weighted,
    "distance to the expected score": lambda distribution, scores: np.abs(scores - distribution @ K),
    "expected distance": lambda d, scores: np.asarray((d * np.abs(K - scores[:, None])).sum(axis=1)),
    "distance × (1 − P(score))": lambda d, s: np.abs(s - d @ K) * (1 - probability_of(d, s)),
    "ranked probability score": ranked,
    "log loss of the four questions": ordinal_loss,
    "tail probability": tail,
}


def spoiled(
    frame: pd.DataFrame, spoil: Callable[[Floats, np.random.Generator], Floats], seed: int
) -> tuple[pd.DataFrame, dict[str, NDArray[np.bool_]]]:
    """The frame with 5 % of each target's scores replaced, and which ones."""
    rng, frame, wrong = np.random.default_rng(seed), frame.copy(), {}
    for target in TARGETS:
        scores = frame[f"{target}_score"].to_numpy(dtype=np.float64)
        wrong[target] = np.zeros(len(frame), dtype=bool)
        wrong[target][rng.choice(len(frame), int(SPOILED * len(frame)), replace=False)] = True
        frame[f"{target}_score"] = np.where(wrong[target], spoil(scores, rng), scores)
    return frame, wrong


def search(frame: pd.DataFrame) -> dict[str, Suggestion]:
    return out_of_fold(frame, count_reports(frame), folds=FOLDS, steps=Steps(0, None))


def rank(doubt: Floats, wrong: NDArray[np.bool_]) -> dict[str, float]:
    """How high a measure ranks what is wrong."""
    worst = wrong[np.argsort(-doubt, kind="stable")]
    return {
        "top 1 %": worst[: len(worst) // 100].mean(),
        "top 5 %": worst[: len(worst) // 20].mean(),
        "AUC": roc_auc_score(wrong, doubt),
    }


def listing(suggestion: Suggestion, scores: Floats, wrong: NDArray[np.bool_]) -> dict[str, float]:
    """What the report would list."""
    listed = probability_of(suggestion.distribution, scores) < IMPLAUSIBLE_BELOW
    return {
        "listed": np.count_nonzero(listed),
        "by chance": expected_by_chance(suggestion),
        "wrong": np.count_nonzero(wrong & listed),
        "precision": wrong[listed].mean(),
        "recall": listed[wrong].mean(),
    }


def main(paths: list[str]) -> None:
    frame = read_files([Path(path) for path in paths]).frame.reset_index(drop=True)
    ranks, lists = [], []
    for spoil, seed in itertools.product((other_score, usual_score, next_score), SEEDS):
        worse, wrong = spoiled(frame, spoil, seed)
        for target, suggestion in search(worse).items():
            scores = worse[f"{target}_score"].to_numpy(dtype=np.float64)
            for name, measure in MEASURES.items():
                doubt = measure(suggestion.distribution, scores)
                ranks.append({"spoiled": spoil.__name__, "measure": name} | rank(doubt, wrong[target]))
            lists.append(
                {"spoiled": spoil.__name__, "target": target} | listing(suggestion, scores, wrong[target])
            )
    table = pd.DataFrame(ranks)
    for keys in (["spoiled", "measure"], ["measure"]):
        print(table.groupby(keys, sort=False).mean(numeric_only=True).round(3).to_string(), "\n")
    print(pd.DataFrame(lists).groupby(["spoiled", "target"], sort=False).mean().round(2).to_string())


if __name__ == "__main__":
    main(sys.argv[1:])
