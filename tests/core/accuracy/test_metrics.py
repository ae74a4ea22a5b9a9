from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.accuracy.metrics import match, precision_recall

Points = list[tuple[int, int]]
POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8, unique=True)


def matched_by_loops(points: Points, scores: list[int], truth: Points, distance: float) -> list[bool]:
    hits = [False] * len(points)
    free = list(truth)
    for i in sorted(range(len(points)), key=lambda i: -scores[i]):
        gaps = [((points[i][0] - y) ** 2 + (points[i][1] - x) ** 2) ** 0.5 for y, x in free]
        if gaps and min(gaps) < distance:
            free.pop(gaps.index(min(gaps)))
            hits[i] = True
    return hits


@given(POINTS, POINTS, st.sampled_from([0.5, 1.0, 2.5, 5.0]), st.randoms())
def test_points_are_matched_as_one_by_one(points: Points, truth: Points, distance: float, random: object) -> None:
    scores = list(range(len(points)))
    random.shuffle(scores)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    got = match(np.array(points).reshape(-1, 2), np.array(scores), np.array(truth).reshape(-1, 2), distance)
    assert got.tolist() == matched_by_loops(points, scores, truth, distance)


def test_an_object_is_found_once_by_the_most_similar_point() -> None:
    points, truth = np.array([[10, 10], [10, 12], [50, 50]]), np.array([[10, 11], [90, 90]])
    assert match(points, np.array([0.5, 0.9, 0.8]), truth, distance=5).tolist() == [False, True, False]


def test_a_point_at_the_distance_itself_misses() -> None:
    assert not match(np.array([[0, 3]]), np.array([1.0]), np.array([[0, 0]]), distance=3).any()


def test_average_precision_is_what_a_pencil_gives() -> None:
    # By falling score: hit 1/1, miss 1/2, hit 2/3, hit 3/4; one of four objects is never found.
    hits = [np.array([True, False]), np.array([True, True])]
    scores = [np.array([0.9, 0.8]), np.array([0.3, 0.5])]
    curve = precision_recall(hits, scores, n_objects=4)
    assert curve.score.tolist() == [0.9, 0.8, 0.5, 0.3]
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4])
    assert curve.recall == pytest.approx([1 / 4, 1 / 4, 2 / 4, 3 / 4])
    assert curve.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 4)


def test_average_precision_goes_from_0_to_1() -> None:
    none, every = np.zeros(3, bool), np.ones(3, bool)
    scores = np.array([0.1, 0.2, 0.3])
    assert precision_recall([none], [scores], 3).average_precision == 0
    assert precision_recall([every], [scores], 3).average_precision == 1
    assert precision_recall([np.zeros(0, bool)], [np.zeros(0)], 3).average_precision == 0
