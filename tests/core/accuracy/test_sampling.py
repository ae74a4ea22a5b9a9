"""What a judged random sample says of all places: its intervals cover the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from simsearch.core.accuracy.sampling import Bounded, SampleEstimate, choose_sample, estimate_from_sample

THRESHOLD = 0.5
TRIALS = 500
TRUST = {  # what share is right, of places of a confidence
    "calibrated": lambda score: score,
    "too sure": lambda score: score**2,
    "not sure enough": np.sqrt,
    "hardly told apart": lambda score: 0.3 + 0.4 * score,
    "mostly wrong": lambda score: np.full_like(score, 0.08),
}


def population(trust: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make confidences as models give them, most of them low, and what is right."""
    scores = np.where(rng.random(n) < 0.2, rng.beta(4, 1.2, n), rng.beta(0.6, 4, n)).clip(0.05, 1.0)
    return scores, rng.random(n) < TRUST[trust](scores)


def judge(scores: np.ndarray, is_right: np.ndarray, n: int, rng: np.random.Generator) -> SampleEstimate:
    chosen = choose_sample(scores, np.zeros(len(scores), bool), THRESHOLD, n, rng)
    return estimate_from_sample(scores, chosen, is_right[chosen], THRESHOLD, THRESHOLD)


@pytest.mark.parametrize("n_judged", [20, 60])
def test_intervals_of_nine_in_ten_cover_the_truth_nine_times_in_ten(n_judged: int) -> None:
    rng = np.random.default_rng(3)
    covered = []
    for trial in range(TRIALS):
        scores, is_right = population(list(TRUST)[trial % len(TRUST)], 2000, rng)
        told = judge(scores, is_right, n_judged, rng)
        n_right, n_all = int((is_right & (scores >= THRESHOLD)).sum()), int(is_right.sum())
        truths = ((told.precision, n_right / told.n_found), (told.recall, n_right / n_all), (told.total, n_all))
        covered.append([bounded.low <= truth <= bounded.high for bounded, truth in truths])
    for share in np.mean(covered, axis=0):
        assert 0.87 <= share <= 0.93, np.mean(covered, axis=0)


def test_estimates_are_right_on_average() -> None:
    rng = np.random.default_rng(4)
    scores, is_right = population("too sure", 3000, rng)
    told = [judge(scores, is_right, 20, rng) for _ in range(300)]
    assert np.mean([each.total.value for each in told]) == pytest.approx(is_right.sum(), rel=0.1)
    truth = is_right[scores >= THRESHOLD].mean()
    assert np.mean([each.precision.value for each in told]) == pytest.approx(truth, rel=0.05)


def test_all_judged_leaves_nothing_open() -> None:
    scores, is_right = np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False])
    told = estimate_from_sample(scores, np.arange(4), is_right, THRESHOLD, THRESHOLD)
    assert told == SampleEstimate(2, 4, Bounded(0.5, 0.5, 0.5), Bounded(0.5, 0.5, 0.5), Bounded(2.0, 2.0, 2.0))


def test_another_threshold_uses_the_same_answers() -> None:
    scores, is_right = np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.1]), np.array([True, True, False, False, True, False])
    told = estimate_from_sample(scores, np.arange(6), is_right, THRESHOLD, 0.75)
    assert (told.n_found, told.precision.value, told.recall.value) == (2, 1.0, pytest.approx(2 / 3))


def test_nothing_judged_is_nothing_known() -> None:
    told = estimate_from_sample(np.array([0.9, 0.2]), np.array([], int), np.array([], bool), THRESHOLD, THRESHOLD)
    assert np.isnan([told.precision.value, told.recall.value, told.total.value]).all()


def test_nothing_found_has_no_precision() -> None:
    told = estimate_from_sample(np.array([0.2, 0.1]), np.arange(2), np.array([True, False]), THRESHOLD, THRESHOLD)
    assert told.n_found == 0
    assert np.isnan(told.precision.value)
    assert (told.recall.value, told.total.value) == (0.0, 1.0)


def test_a_half_that_is_too_small_leaves_its_places_to_the_other() -> None:
    scores = np.r_[np.full(3, 0.9), np.full(50, 0.2)]
    chosen = choose_sample(scores, np.zeros(53, bool), THRESHOLD, 20, np.random.default_rng(0))
    assert ((scores[chosen] >= THRESHOLD).sum(), len(set(chosen.tolist()))) == (3, 20)


def test_what_is_taken_is_not_chosen_again() -> None:
    scores, rng = np.linspace(0.05, 1, 40), np.random.default_rng(0)
    is_taken = np.zeros(40, bool)
    is_taken[choose_sample(scores, is_taken, THRESHOLD, 10, rng)] = True
    more = choose_sample(scores, is_taken, THRESHOLD, 20, rng)
    assert (len(more), is_taken[more].any()) == (10, False)
    is_taken[more] = True
    assert ((scores >= THRESHOLD) & is_taken).sum() == 10
