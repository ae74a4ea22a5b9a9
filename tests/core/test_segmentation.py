"""Pixels get the class that linear interpolation between the positions of the grid makes most probable."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from simsearch.core.segmentation import grid_window, label_pixels
from simsearch.core.tiles import Region, tile_cores

SHAPE = (90, 130)


def drawn(step: tuple[int, float], n_classes: int = 3) -> tuple[np.ndarray, tuple[int, int]]:
    height, width = (int(np.ceil(side / step[0] / step[1])) for side in SHAPE)
    logits = np.random.default_rng(0).normal(size=(n_classes, height, width))
    return np.exp(logits) / np.exp(logits).sum(axis=0), (height, width)


def oracle(probabilities: np.ndarray, step: tuple[int, float], thresholds: list[float]) -> np.ndarray:
    """Label the whole image with scipy's interpolation."""
    downsampling, stride = step
    _, height, width = probabilities.shape
    axes = [((np.arange(side) + 0.5) / downsampling - 0.5) / stride for side in SHAPE]
    points = np.stack(np.meshgrid(*[np.clip(a, 0, n - 1) for a, n in zip(axes, (height, width), strict=True)],
                                  indexing="ij"), axis=-1)  # fmt: skip
    grid = (np.arange(height), np.arange(width))
    mixed = np.stack([RegularGridInterpolator(grid, p)(points) for p in probabilities])
    best = mixed.argmax(axis=0)
    confident = np.take_along_axis(mixed, best[None], axis=0)[0] >= np.array([0.0, *thresholds])[best]
    return np.where(confident, best, 0)


@pytest.mark.parametrize("step", [(1, 8.0), (2, 8.0), (1, 4.8)])
@pytest.mark.parametrize("tile", [32, 50, 200])
def test_tiles_have_no_seams(step: tuple[int, float], tile: int) -> None:
    probabilities, shape = drawn(step)
    labels = np.empty(SHAPE, np.uint8)
    for region in tile_cores(SHAPE, tile):
        window = grid_window(region, step, shape)
        inside = probabilities[:, *window.slices]
        labels[region.slices] = label_pixels(inside, window, region, step, [0.4, 0.5])

    expected = oracle(probabilities, step, [0.4, 0.5])
    assert (labels != expected).mean() < 1e-3  # ties in the last digit
    assert set(np.unique(expected)) == {0, 1, 2}


def test_a_threshold_above_all_leaves_background() -> None:
    probabilities, shape = drawn((1, 8.0))
    whole = Region(0, SHAPE[0], 0, SHAPE[1])
    window = grid_window(whole, (1, 8.0), shape)

    assert not label_pixels(probabilities, window, whole, (1, 8.0), [1.1, 1.1]).any()
