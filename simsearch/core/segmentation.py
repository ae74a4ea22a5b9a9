"""From probabilities on the feature grid to a class for each pixel (paper section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.feature_grid import from_level0
from simsearch.core.tiles import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BAND = 256  # rows of pixels at a time: probabilities of all classes take many times the memory of labels


def grid_window(region: Region, step: tuple[int, float], shape: tuple[int, int]) -> Region:
    """Return the positions of the feature grid between which the pixels of a region lie.

    Parameters
    ----------
    region : Region
        Level-0 pixels, inside the image.
    step : (int, float)
        Downsampling of the searched scale, and stride of the grid in pixels of it.
    shape : (int, int)
        How many positions lie in the image along y and x.

    Returns
    -------
    Region
        Half-open range of indices; at the border pixels take the value of the last position.
    """
    y0, y1 = _span(region.y0, region.y1, step, shape[0])
    x0, x1 = _span(region.x0, region.x1, step, shape[1])
    return Region(y0, y1, x0, x1)


def label_pixels(
    probabilities: NDArray[np.floating],
    window: Region,
    region: Region,
    step: tuple[int, float],
    thresholds: Sequence[float],
) -> NDArray[np.uint8]:
    """Give each pixel its most probable class, if that is probable enough.

    Parameters
    ----------
    probabilities : (classes, h, w) array
        On the positions of `window`; class 0 is background.
    window : Region
        Of `grid_window`.
    region : Region
        Level-0 pixels to label.
    step : (int, float)
        As for `grid_window`.
    thresholds : sequence of float
        Lowest confidence of each class but the background.

    Returns
    -------
    (H, W) uint8 array
        Index of the class; probabilities are interpolated linearly between positions of the grid.
    """
    rows, row_weights = _between(region.y0, region.y1, step, window.y0, window.shape[0])
    columns, column_weights = _between(region.x0, region.x1, step, window.x0, window.shape[1])
    across = _mixed(probabilities, columns, column_weights, axis=2)
    least = np.array([0.0, *thresholds], np.float32)[:, None, None]
    labels = np.empty(region.shape, np.uint8)
    for top in range(0, region.shape[0], _BAND):
        band = slice(top, top + _BAND)
        mixed = _mixed(across, rows[band], row_weights[band], axis=1)
        best = mixed.argmax(axis=0)
        is_confident = np.take_along_axis(mixed >= least, best[None], axis=0)[0]
        labels[band] = np.where(is_confident, best, 0)
    return labels


def _span(start: int, stop: int, step: tuple[int, float], n: int) -> tuple[int, int]:
    downsampling, stride = step
    first = int(np.floor(from_level0(start, downsampling) / stride))
    last = int(np.floor(from_level0(stop - 1, downsampling) / stride)) + 1
    return int(np.clip(first, 0, n - 1)), int(np.clip(last, 0, n - 1)) + 1


def _between(
    start: int, stop: int, step: tuple[int, float], first: int, n: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return for each pixel the position before it, and how far it is on the way to the next."""
    downsampling, stride = step
    at = ((np.arange(start, stop) + 0.5) / downsampling - 0.5) / stride - first
    at = np.clip(at, 0, n - 1)
    before = np.minimum(at.astype(np.intp), max(n - 2, 0))
    return before, (at - before).astype(np.float32)


def _mixed(
    values: NDArray[np.floating], before: NDArray[np.intp], weights: NDArray[np.float32], axis: int
) -> NDArray[np.floating]:
    after = np.minimum(before + 1, values.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = -1
    weight = weights.reshape(shape)
    mixed: NDArray[np.floating] = values.take(before, axis) * (1 - weight) + values.take(after, axis) * weight
    return mixed
