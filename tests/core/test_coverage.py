"""A few candidates are chosen that cover what all have."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from simsearch.core.coverage import choose_covering


def coverage(closeness: np.ndarray, chosen: list[int]) -> float:
    return float(closeness[chosen].max(axis=0).sum())


@pytest.mark.parametrize("seed", range(5))
def test_it_covers_nearly_as_well_as_the_best_choice(seed: int) -> None:
    closeness = np.random.default_rng(seed).uniform(0, 1, (9, 40))
    best = max(coverage(closeness, list(some)) for some in combinations(range(9), 3))
    chosen = choose_covering(closeness, 3)

    assert len(set(chosen)) == 3
    assert coverage(closeness, chosen) >= (1 - 1 / np.e) * best
    assert chosen[0] == int(closeness.sum(axis=1).argmax())


def test_of_each_group_in_turn_as_far_as_they_go() -> None:
    closeness = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 0.8], [0.1, 0.1, 0.1]])
    assert choose_covering(closeness, 2) == [0, 2]
    assert choose_covering(closeness, 2, [[0, 1], [3]]) == [0, 3]
    assert choose_covering(closeness, 4, [[0, 1, 2], [3]]) == [0, 3, 2, 1]
    assert choose_covering(closeness, 1, [[3], [0]]) == [3]


def test_no_more_than_there_are() -> None:
    assert sorted(choose_covering(np.eye(3), 5)) == [0, 1, 2]
