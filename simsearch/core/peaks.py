"""Peaks of maps: places that look like a class, and which of them are objects."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

NEAREST = 0.4
"""How near objects can be to each other, as a part of the shorter side of a patch."""

_SLICE = 10_000  # peaks that are objects of Python at a time


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


@dataclass(frozen=True, slots=True, eq=False)
class PeakColumns:
    """Peaks of one image as arrays: a million of them take no more room than their numbers."""

    image: str
    """Name of the image."""
    classes: tuple[str, ...]
    """Names of the classes."""
    class_index: NDArray[np.integer]
    """(N,) index of each peak's class in `classes`."""
    y: NDArray[np.float64]
    """(N,) rows of the centres, in level-0 pixels."""
    x: NDArray[np.float64]
    """(N,) columns of the centres."""
    height: NDArray[np.float64]
    """(N,) heights of the patches."""
    width: NDArray[np.float64]
    """(N,) widths of the patches."""
    score: NDArray[np.float64]
    """(N,) similarities or confidences."""

    def __len__(self) -> int:
        return len(self.score)

    def __iter__(self) -> Iterator[Peak]:
        for start in range(0, len(self), _SLICE):
            part = self.take(slice(start, start + _SLICE))
            columns = (part.class_index, part.y, part.x, part.height, part.width, part.score)
            for index, y, x, height, width, score in zip(*(column.tolist() for column in columns), strict=True):
                yield Peak(self.image, self.classes[index], y, x, (height, width), score)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> PeakColumns:
        """Return some of the peaks, chosen as numpy chooses elements of an array."""
        names = ("class_index", "y", "x", "height", "width", "score")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def in_order(self) -> PeakColumns:
        """Sort by name of the class, descending score, y and x."""
        rank = np.argsort(np.argsort(np.array(self.classes)))
        return self.take(np.lexsort((self.x, self.y, -self.score, rank[self.class_index])))


def peak_columns(peaks: Iterable[Peak]) -> list[PeakColumns]:
    """Gather peaks by image: images and the peaks of each in the order in which they come."""
    by_image: dict[str, list[Peak]] = defaultdict(list)
    for peak in peaks:
        by_image[peak.image].append(peak)
    return [_columns(image, here) for image, here in by_image.items()]


def _columns(image: str, peaks: Sequence[Peak]) -> PeakColumns:
    classes = list(dict.fromkeys(peak.class_name for peak in peaks))
    index = np.array([classes.index(peak.class_name) for peak in peaks], np.intp)
    numbers = np.array([(p.y, p.x, *p.patch_shape, p.score) for p in peaks], np.float64).reshape(-1, 5)
    return PeakColumns(image, tuple(classes), index, *numbers.T)


def strongest(
    points: NDArray[np.floating], scores: NDArray[np.floating], distance: float | NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Choose between points that compete for one object, such as peaks of several classes.

    Parameters
    ----------
    points : (N, 2) array
        y and x in pixels.
    scores : (N,) array
        The higher wins; among equals the first.
    distance : float or (N,) array
        Points nearer than this compete, in pixels; of two points the lesser of theirs counts.

    Returns
    -------
    (N,) bool array
        In descending order of score, a point is kept if none that is kept lies nearer.

    Examples
    --------
    >>> strongest(np.array([[0.0, 0.0], [0.0, 3.0], [0.0, 9.0]]), np.array([0.5, 0.9, 0.1]), distance=5.0)
    array([False,  True,  True])
    """
    is_beaten = np.zeros(len(points), bool)
    stronger, weaker = _competitors(points, scores, np.broadcast_to(distance, scores.shape))
    places = np.searchsorted(stronger, np.arange(len(points) + 1))
    order = np.argsort(-scores, kind="stable")
    has_weaker = places[1:] > places[:-1]
    for i in order[has_weaker[order]]:
        if not is_beaten[i]:
            is_beaten[weaker[places[i] : places[i + 1]]] = True
    return ~is_beaten


def _competitors(
    points: NDArray[np.floating], scores: NDArray[np.floating], distances: NDArray[np.floating]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the indices of the stronger and the weaker of each two points that are too near, sorted by the former."""
    found = [_near_pairs(points, distances, float(distance)) for distance in np.unique(distances)]
    first, second = np.concatenate(found or [np.empty((0, 2), np.int32)]).T
    is_first = scores[first] >= scores[second]
    stronger, weaker = np.where(is_first, first, second), np.where(is_first, second, first)
    order = np.argsort(stronger, kind="stable")
    return stronger[order], weaker[order]


def _near_pairs(points: NDArray[np.floating], distances: NDArray[np.floating], distance: float) -> NDArray[np.int32]:
    """Return the (N, 2) indices of each two points whose lesser distance is a certain one, and that are nearer."""
    rows = np.flatnonzero(distances >= distance).astype(np.int32)
    tree = cKDTree(points[rows])
    pairs = tree.query_pairs(distance * (1 + 1e-9), output_type="ndarray")  # it rounds otherwise than hypot does
    first, second = rows[pairs.T]  # in each pair the first index is the lower
    is_near = np.hypot(*(points[second] - points[first]).T) < distance
    is_near &= np.minimum(distances[first], distances[second]) == distance
    return np.stack([first[is_near], second[is_near]], axis=1)


def objects(peaks: Sequence[Peak], thresholds: Mapping[str, float]) -> list[Peak]:
    """Take peaks as objects: those with a high enough score, and at each place that of the best class.

    A place reaches 0.4 of the shorter side of a patch, of two classes the smaller one: touching objects are nearer than
    half of it, if a patch is larger than they are.

    Parameters
    ----------
    peaks : sequence of Peak
        Of any images and classes.
    thresholds : mapping of str to float
        Lowest score of an object of each class.
    """
    by_image: dict[str, list[Peak]] = defaultdict(list)
    for peak in peaks:
        if peak.score >= thresholds[peak.class_name]:
            by_image[peak.image].append(peak)
    return [
        peak
        for image, here in by_image.items()
        for peak, is_object in zip(here, object_mask(_columns(image, here), thresholds), strict=True)
        if is_object
    ]


def object_mask(peaks: PeakColumns, thresholds: Mapping[str, float]) -> NDArray[np.bool_]:
    """Tell which peaks of an image `objects` takes.

    Returns
    -------
    (N,) bool array
    """
    lowest = np.array([thresholds[name] for name in peaks.classes])
    mask: NDArray[np.bool_] = peaks.score >= lowest[peaks.class_index]
    if mask.any():
        points = np.stack([peaks.y[mask], peaks.x[mask]], axis=1)
        mask[mask] = strongest(points, peaks.score[mask], NEAREST * np.minimum(peaks.height, peaks.width)[mask])
    return mask
