"""Local maxima of a map on the feature grid: each found once, wherever tiles meet."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Peak:
    """A place that looks like a class, in level-0 pixels."""

    image: str
    """Name of the image."""
    class_name: str
    """Name of the class."""
    y: float
    """Row of the centre."""
    x: float
    """Column of the centre."""
    patch_shape: tuple[float, float]
    """Height and width of the class's patches."""
    score: float
    """Height of the map there: similarity in [-1, 1], or a model's confidence in [0, 1]."""


def find_peaks(values: NDArray[np.floating], radius: int, floor: float) -> NDArray[np.float64]:
    """Find the local maxima of a map and refine them below the grid's spacing.

    Parameters
    ----------
    values : (H + 2 radius, W + 2 radius) array
        A map with a margin of `radius` on all sides; ``-inf`` outside the image.
    radius : int
        A peak is the highest value within this distance along y and x, at least 1. Among equal values the
        first in reading order is the peak, which no cut of the map into tiles can change.
    floor : float
        Lower values are no peaks.

    Returns
    -------
    (N, 3) array
        y and x in grid steps from the first position inside the margin, and the height on the grid.
        A parabola through each peak and its neighbours moves it by at most half a step.
    """
    core = values[radius:-radius, radius:-radius]
    is_peak = core >= floor
    earlier, later = _neighbourhood_maxima(values, radius)
    is_peak &= (core > earlier) & (core >= later)
    rows, columns = np.nonzero(is_peak)
    y = rows + _vertex_offset(values, rows + radius, columns + radius, axis=0)
    x = columns + _vertex_offset(values, rows + radius, columns + radius, axis=1)
    return np.stack([y, x, core[rows, columns]], axis=1).astype(np.float64)


def _neighbourhood_maxima(
    values: NDArray[np.floating], radius: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the highest value before and after each position, in reading order, in its neighbourhood."""
    side = 2 * radius + 1
    along = sliding_window_view(values, side, axis=1)
    row_maxima = along.max(axis=-1)
    rows = sliding_window_view(row_maxima, side, axis=0)
    left = along[radius:-radius, :, :radius].max(axis=-1)
    right = along[radius:-radius, :, radius + 1 :].max(axis=-1)
    above, below = rows[..., :radius].max(axis=-1), rows[..., radius + 1 :].max(axis=-1)
    return np.maximum(above, left), np.maximum(below, right)


def _vertex_offset(
    values: NDArray[np.floating], rows: NDArray[np.intp], columns: NDArray[np.intp], axis: int
) -> NDArray[np.float64]:
    """Return where the parabola through three neighbouring values has its vertex, in [-0.5, 0.5]."""
    dy, dx = (1, 0) if axis == 0 else (0, 1)
    before = values[rows - dy, columns - dx].astype(np.float64)
    centre = values[rows, columns].astype(np.float64)
    after = values[rows + dy, columns + dx].astype(np.float64)
    is_known = np.isfinite(before) & np.isfinite(after)
    before, after = np.where(is_known, before, centre), np.where(is_known, after, centre)
    curvature = before - 2 * centre + after
    is_known &= curvature < 0
    slope = np.where(is_known, before - after, 0.0)
    offset: NDArray[np.float64] = np.clip(slope / (2 * np.where(is_known, curvature, -1.0)), -0.5, 0.5)
    return offset


def strongest(points: NDArray[np.floating], scores: NDArray[np.floating], distance: float) -> NDArray[np.bool_]:
    """Choose between points that compete for one object, such as peaks of several classes.

    Parameters
    ----------
    points : (N, 2) array
        y and x in pixels.
    scores : (N,) array
        The higher wins; among equals the first.
    distance : float
        Points nearer than this compete, in pixels.

    Returns
    -------
    (N,) bool array
        In descending order of score, a point is kept if none that is kept lies nearer.

    Examples
    --------
    >>> strongest(np.array([[0.0, 0.0], [0.0, 3.0], [0.0, 9.0]]), np.array([0.5, 0.9, 0.1]), distance=5.0)
    array([False,  True,  True])
    """
    is_kept = np.zeros(len(points), bool)
    cells = np.floor(points / distance).astype(int)
    kept: dict[tuple[int, int], list[int]] = defaultdict(list)  # by cell: only neighbours can be nearer
    for i in np.argsort(-scores, kind="stable"):
        y, x = cells[i]
        near = [j for dy in (-1, 0, 1) for dx in (-1, 0, 1) for j in kept.get((y + dy, x + dx), ())]
        if np.all(np.hypot(*(points[near] - points[i]).T) >= distance):
            is_kept[i] = True
            kept[y, x].append(i)
    return is_kept


def objects(peaks: Sequence[Peak], thresholds: Mapping[str, float]) -> list[Peak]:
    """Take peaks as objects: those with a high enough score, and at each place that of the best class.

    Parameters
    ----------
    peaks : sequence of Peak
        Of any images and classes.
    thresholds : mapping of str to float
        Lowest score of an object of each class.
    """
    return [peaks[index] for index in object_indices(peaks, thresholds)]


def object_indices(peaks: Sequence[Peak], thresholds: Mapping[str, float]) -> list[int]:
    """Tell which peaks `objects` takes, image by image."""
    by_image: dict[str, list[int]] = defaultdict(list)
    for index, peak in enumerate(peaks):
        if peak.score >= thresholds[peak.class_name]:
            by_image[peak.image].append(index)
    found = []
    for indices in by_image.values():
        here = [peaks[index] for index in indices]
        points = np.array([(peak.y, peak.x) for peak in here])
        distance = min(min(peak.patch_shape) for peak in here) / 2
        is_kept = strongest(points, np.array([peak.score for peak in here]), distance)
        found += [index for index, keep in zip(indices, is_kept, strict=True) if keep]
    return found
