"""Peaks are what a look at all pairs of positions gives, however maps are cut, and on whatever device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from simsearch.core.tiles import tile_cores
from simsearch.nn.peaks import find_peaks, peaks_in_maps

Floats = NDArray[np.float64]
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_GPU])]

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


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("radius", [1, 3, 9])
def test_maps_together_have_the_peaks_of_each_alone(device: str, radius: int) -> None:
    rng = np.random.default_rng(radius)
    maps = np.stack([rng.normal(size=(70, 50)), rng.integers(0, 40, (70, 50))]).astype(np.float32)  # one of plateaus
    maps[:, :9], maps[0, 30:33, 20:22] = -np.inf, -np.inf  # a side of the image, and a hole in it
    found = peaks_in_maps(torch.from_numpy(maps).to(device), radius, 0.5).cpu().numpy()
    assert found.dtype == np.float64
    for index, values in enumerate(maps):
        alone = find_peaks(values, radius, 0.5)
        assert len(alone)
        np.testing.assert_array_equal(found[found[:, 0] == index, 1:], alone)
