from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simsearch.core.peaks import Peak, PeakColumns, objects, peak_columns, strongest

Floats = NDArray[np.float64]


def strongest_one_by_one(points: Floats, scores: Floats, distances: Floats) -> list[int]:
    """Compare each point with all that are kept, the strongest first."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if np.all(np.hypot(*(points[kept] - points[i]).T) >= np.minimum(distances[kept], distances[i])):
            kept.append(int(i))
    return sorted(kept)


@given(st.integers(0, 2**32 - 1), st.integers(0, 200), st.sampled_from([(3.0,), (5.0,), (12.5, 2.0)]), st.booleans())
@settings(max_examples=60)
def test_the_strongest_are_those_that_a_comparison_one_by_one_keeps(
    seed: int, n: int, some: tuple[float, ...], is_whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    points, scores = rng.uniform(-30, 30, (n, 2)), rng.choice(np.linspace(0, 1, 20), n)
    if is_whole:  # many are exactly as far apart as is far enough, and many at one place
        points = points.round()
    distances = rng.choice(some, n)
    expected = strongest_one_by_one(points, scores, distances)
    assert np.flatnonzero(strongest(points, scores, distances)).tolist() == expected
    if len(some) == 1:
        assert np.flatnonzero(strongest(points, scores, some[0])).tolist() == expected


def test_a_chain_of_competitors_is_decided_from_its_strongest_on() -> None:
    points = np.stack([np.zeros(50_001), np.arange(50_001.0)], axis=1)
    kept = strongest(points, np.linspace(0, 1, 50_001), distance=1.5)
    assert np.array_equal(np.flatnonzero(kept), np.arange(0, 50_001, 2))


PEAKS = [
    Peak("1", "b", 3.0, 4.0, (40.0, 20.0), 0.5),
    Peak("2", "a", 3.0, 4.0, (40.0, 20.0), 0.6),
    Peak("1", "a", 2.0, 9.0, (30.0, 20.0), 0.5),
    Peak("1", "a", 2.0, 8.0, (30.0, 20.0), 0.5),
    Peak("1", "a", 7.0, 1.0, (30.0, 20.0), 0.9),
]


def test_columns_hold_the_peaks_of_an_image_in_their_order() -> None:
    first, second = peak_columns(PEAKS)
    assert [*first, *second] == [PEAKS[i] for i in (0, 2, 3, 4, 1)]
    assert (len(first), len(second)) == (4, 1)
    assert list(first.take(np.array([3, 0]))) == [PEAKS[4], PEAKS[0]]
    assert list(first.in_order()) == [PEAKS[i] for i in (4, 3, 2, 0)]
    assert peak_columns([]) == []


def test_columns_of_many_peaks_can_be_looped_over() -> None:
    n = 25_001
    columns = PeakColumns("1", ("a",), np.zeros(n, int), np.arange(n) / 2, *np.ones((4, n)))
    assert [peak.y for peak in columns] == (np.arange(n) / 2).tolist()


def test_an_object_is_of_the_class_that_it_is_most_similar_to() -> None:
    def peak(image: str, class_name: str, x: float, similarity: float) -> Peak:
        return Peak(image, class_name, 5.0, x, (40.0, 20.0), similarity)

    a, b = peak("1", "a", 10, 0.8), peak("1", "b", 12, 0.9)
    far, low, other_image = peak("1", "a", 30, 0.5), peak("1", "b", 90, 0.3), peak("2", "a", 12, 0.6)

    assert objects([a, b, far, low, other_image], {"a": 0.4, "b": 0.4}) == [b, far, other_image]


@pytest.mark.parametrize(("apart", "n_objects"), [(0.45, 2), (0.35, 1)])
def test_touching_objects_are_two_if_they_are_smaller_than_their_patches(apart: float, n_objects: int) -> None:
    near = [Peak("1", "a", 50.0, x, (60.0, 48.0), 0.9) for x in (50.0, 50.0 + 48 * apart)]
    assert len(objects(near, {"a": 0.5})) == n_objects
