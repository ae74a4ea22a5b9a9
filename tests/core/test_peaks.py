from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from simsearch.core.peaks import Peak, PeakColumns, find_peaks, objects, peak_columns, strongest
from simsearch.core.tiles import tile_cores

Floats = NDArray[np.float64]

MAPS = npst.arrays(
    np.float64, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(-3, 3).map(float)
)  # of few values: full of plateaus


def surrounded(values: Floats, radius: int) -> Floats:
    return np.pad(values, radius, constant_values=-np.inf)


def vertex(before: float, centre: float, after: float) -> float:
    """Find where the parabola through three values is highest, by least squares."""
    if not np.isfinite([before, after]).all():
        return 0.0
    a, b, _ = np.polyfit([-1, 0, 1], [before, centre, after], 2)
    return float(np.clip(-b / (2 * a), -0.5, 0.5)) if a < -1e-9 else 0.0


def oracle(values: Floats, radius: int, floor: float) -> list[tuple[float, float, float]]:
    """Look at every pair of positions; the first of equals wins."""
    height, width = values.shape
    wide = surrounded(values, 1)
    peaks = []
    for y, x in np.ndindex(height, width):
        neighbours = [
            (v, u)
            for v in range(max(0, y - radius), min(height, y + radius + 1))
            for u in range(max(0, x - radius), min(width, x + radius + 1))
            if (v, u) != (y, x)
        ]
        beaten = any(
            values[n] > values[y, x] or (values[n] == values[y, x] and n < (y, x))  # tuples compare in reading order
            for n in neighbours
        )
        if values[y, x] >= floor and not beaten:
            dy = vertex(wide[y, x + 1], wide[y + 1, x + 1], wide[y + 2, x + 1])
            dx = vertex(wide[y + 1, x], wide[y + 1, x + 1], wide[y + 1, x + 2])
            peaks.append((y + dy, x + dx, values[y, x]))
    return peaks


@given(MAPS, st.integers(1, 3), st.integers(-3, 3).map(float))
@settings(max_examples=60)
def test_peaks_equal_a_search_through_all_pairs(values: Floats, radius: int, floor: float) -> None:
    expected = np.array(oracle(values, radius, floor)).reshape(-1, 3)
    np.testing.assert_allclose(find_peaks(surrounded(values, radius), radius, floor), expected, atol=1e-6)


@given(MAPS, st.integers(1, 3), st.integers(1, 9))
def test_any_tiling_finds_what_the_whole_map_has(values: Floats, radius: int, tile: int) -> None:
    wide = surrounded(values, radius)
    tiled = []
    for core in tile_cores(values.shape, tile):
        halo = wide[core.y0 : core.y1 + 2 * radius, core.x0 : core.x1 + 2 * radius]
        tiled += np.round(find_peaks(halo, radius, -3.0) + np.array([core.y0, core.x0, 0]), 9).tolist()
    whole = find_peaks(wide, radius, -3.0).round(9).tolist()
    assert sorted(tiled) == sorted(whole)


def test_a_plateau_across_seams_is_one_peak() -> None:
    values = np.zeros((12, 12))
    values[5:7, 5:7] = 1.0  # where four tiles of 6 meet
    wide = surrounded(values, 2)
    found = [
        find_peaks(wide[core.y0 : core.y1 + 4, core.x0 : core.x1 + 4], 2, floor=0.5) for core in tile_cores((12, 12), 6)
    ]
    assert [len(peaks) for peaks in found] == [1, 0, 0, 0]


@given(st.floats(-0.49, 0.49), st.floats(-0.49, 0.49), st.floats(0.01, 10), st.floats(0.01, 10))
def test_the_vertex_of_a_sampled_parabola_is_found_exactly(dy: float, dx: float, a: float, b: float) -> None:
    y, x = np.mgrid[:7, :7].astype(float)
    values = 5 - a * (y - 3 - dy) ** 2 - b * (x - 3 - dx) ** 2
    (peak,) = find_peaks(surrounded(values, 2), 2, floor=-np.inf)[:1]
    assert peak[:2] == pytest.approx((3 + dy, 3 + dx), abs=1e-9)


def test_a_peak_at_the_border_is_not_refined_towards_the_outside() -> None:
    values = np.array([[3.0, 1.0], [2.0, 0.0]])
    assert find_peaks(surrounded(values, 1), 1, floor=0.0).tolist() == [[0.0, 0.0, 3.0]]


def test_no_peak_lies_below_the_floor() -> None:
    values = np.zeros((9, 9))
    values[2, 2], values[6, 6] = 0.6, 0.4
    assert find_peaks(surrounded(values, 2), 2, floor=0.5)[:, 2].tolist() == [0.6]
    assert find_peaks(surrounded(values, 2), 2, floor=0.7).shape == (0, 3)


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
