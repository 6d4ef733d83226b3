import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact, mannwhitneyu, wasserstein_distance

from tests.training.ml.frames import frame_of, row
from training.ml.records import SCORE_COLUMNS
from training.ml.shift import Effect, effect_of, score_shift, uniformity


def scores(*counts: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """So many of 1, 2, 3, 4, 5."""
    return np.repeat(np.arange(1.0, 1.0 + len(counts)), counts)


def test_the_distance_is_wasserstein_s() -> None:
    now, before = scores(10, 5, 0, 0, 15), scores(100, 30, 20, 10, 40)
    shift = score_shift(now, before)
    assert shift.distance == pytest.approx(wasserstein_distance(now, before))
    assert (shift.mean, shift.reference_mean) == (now.mean(), before.mean())


def test_the_same_distribution_has_not_moved() -> None:
    shift = score_shift(scores(10, 5, 3, 2, 1), scores(100, 50, 30, 20, 10))
    assert shift.distance == pytest.approx(0, abs=1e-12)
    assert shift.p_value == 1.0


def test_a_large_shift_gets_a_p_value_from_more_draws() -> None:
    assert score_shift(scores(0, 0, 0, 0, 40), scores(200, 50, 20, 10, 5)).p_value == 1e-5


def test_a_shift_too_small_to_matter_does_not() -> None:
    shift = score_shift(scores(400, 600, 0, 0, 0), scores(3000, 2000, 0, 0, 0))
    assert (round(shift.distance, 2), shift.p_value) == (0.2, 0.001)


def test_p_values_of_chance_are_spread_evenly() -> None:
    rng = np.random.default_rng(0)
    shares = [0.5, 0.2, 0.15, 0.1, 0.05]
    p_values = [
        score_shift(scores(*rng.multinomial(60, shares)), scores(*rng.multinomial(600, shares))).p_value
        for _ in range(200)
    ]
    assert np.quantile(p_values, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.08)


def scored(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return frame_of(*(row(**dict(zip(SCORE_COLUMNS, each, strict=True))) for each in rows))


def test_the_commonest_combination() -> None:
    now = scored(*[(3, 1, 3)] * 6, *[(1, 1, 1)] * 2)
    reference = scored(*[(1, 1, 1)] * 9, (3, 1, 3))
    uniform = uniformity(now, reference)
    assert (uniform.scores, uniform.share, uniform.reference_share) == ((3, 1, 3), 0.75, 0.1)
    assert uniform.excess == pytest.approx((0.75 - 0.1) / 0.9)
    expected = fisher_exact([[6, 2], [1, 9]], alternative="greater").pvalue
    assert uniform.p_value == pytest.approx(expected)


def test_nothing_but_one_combination_ever_is_no_excess() -> None:
    assert uniformity(scored((1, 1, 1)), scored((1, 1, 1))).excess == 0.0


def test_the_effect_of_a_term() -> None:
    with_term, others = scores(0, 0, 0, 2, 8), scores(30, 20, 10, 5, 5)
    effect = effect_of(with_term, others)
    assert effect.difference == pytest.approx(with_term.mean() - others.mean())
    assert effect.p_value == pytest.approx(mannwhitneyu(with_term, others, method="asymptotic").pvalue)
    assert effect.moves


def test_where_all_scores_are_the_same_nothing_moves() -> None:
    assert effect_of(scores(3), scores(9)) == Effect(difference=0.0, p_value=1.0)


@pytest.mark.parametrize(
    ("difference", "p_value", "moves"),
    [(0.5, 0.003, True), (-0.5, 0.003, True), (0.49, 0.0, False), (3.0, 0.004, False)],
)
def test_what_moves_scores_is_large_and_significant(difference: float, p_value: float, moves: bool) -> None:
    assert Effect(difference=difference, p_value=p_value).moves is moves
