"""Which of two scores ranks better: what is planted is found, and chance is not."""

from __future__ import annotations

import numpy as np
import pytest

from simsearch.core.accuracy.paired import compare_ranks

IS_RIGHT = np.arange(24) < 12


def scores(seed: int, apart: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, len(IS_RIGHT)) + apart * IS_RIGHT


def test_a_planted_difference_is_found_whichever_way() -> None:
    good, bad = scores(0, 3.0), scores(1, 0.0)
    found, other = compare_ranks(IS_RIGHT, good, bad), compare_ranks(IS_RIGHT, bad, good)
    assert found.first > 0.95
    assert found.first > found.second + 0.2
    assert found.surely_first > 0.95
    assert (other.second, other.surely_first) == (found.first, pytest.approx(1 - found.surely_first))
    assert compare_ranks(IS_RIGHT, good, bad) == found  # by chance that is always the same


def test_ranks_equal_the_slow_count_of_pairs_and_ties_count_half() -> None:
    first, second = np.round(scores(2, 1.0)), np.round(scores(3, 1.0))
    found = compare_ranks(IS_RIGHT, first, second)
    for score, share in ((first, found.first), (second, found.second)):
        pairs = [(r > w) + (r == w) / 2 for r in score[IS_RIGHT] for w in score[~IS_RIGHT]]
        assert share == pytest.approx(sum(pairs) / len(pairs))


def test_alike_is_alike_and_one_place_of_few_is_chance() -> None:
    assert compare_ranks(IS_RIGHT, scores(0, 1.0), 7 * scores(0, 1.0)).surely_first == 0.5
    is_right, first = np.arange(10) < 5, -np.arange(10.0)
    second = first.copy()
    second[[4, 5]] = first[[5, 4]]  # one pair of 25
    found = compare_ranks(is_right, first, second)
    assert (found.first, found.second) == (1.0, 0.96)
    assert 0.5 < found.surely_first < 0.9


def test_of_two_scores_that_are_equally_good_one_seldom_seems_better() -> None:
    found = [compare_ranks(IS_RIGHT, scores(2 * i, 1.0), scores(2 * i + 1, 1.0)).surely_first for i in range(60)]
    assert sum(share >= 0.9 for share in found) <= 12
    assert sum(share <= 0.1 for share in found) <= 12
