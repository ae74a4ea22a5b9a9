"""What a detection found, in memory as columns: sorted, filtered and looked at a page at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.peaks import NEAREST, strongest
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.io.tables.peaks import well_and_field
from simsearch.workflows.run.objects import TABLE_NAME, read_known_detections

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.core.peaks import PeakColumns

ORDERS = ("image", "class", "confidence", "doubt", "row", "column")
"""What found objects can be sorted by; doubt is how far a confidence is from the threshold of its class."""

_NEARLY = 0.5  # of its threshold is the confidence of what is shown below it
_TYPES: dict[str, type[np.generic]] = {
    "image": np.int32,
    "kind": np.int16,
    "y": np.float32,
    "x": np.float32,
    "confidence": np.float32,
    "is_object": np.bool_,
}


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object of a detection, as far as it is looked at."""

    image: str
    class_name: str
    y: float
    """Row of the centre in level-0 pixels."""
    x: float
    """Column of the centre in level-0 pixels."""
    confidence: float
    is_object: bool
    """Whether it reaches the threshold of its class."""

    @property
    def well(self) -> str:
        """Name of its well; empty outside plates."""
        return well_and_field(self.image)[0] or ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of the found objects to list, and in which order."""

    class_name: str = ""
    """Empty for all."""
    within: str = ""
    """Name of an image or, where it ends with a slash, what the names of images begin with, such as a well's; empty for
    all."""
    find: str = ""
    """Part of the name of an image, or the name of a well, in capital or small letters; empty for all."""
    least: float = 0.0
    """Lowest confidence."""
    most: float = 1.0
    """Highest confidence."""
    order: str = "image"
    """One of `ORDERS`; what is equal is sorted by image, class and descending confidence."""
    is_descending: bool = False
    has_nearly: bool = False
    """Whether to list what nearly reaches the threshold, too."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundObjects:
    """Columns of equal length, sorted by image, class and descending confidence."""

    images: tuple[str, ...]
    """Names of the images on which something was detected."""
    classes: tuple[str, ...]
    """Names of all classes of the model."""
    patch_shapes: Mapping[str, tuple[float, float]]
    """Height and width of the patches of each class of which something was found, in level-0 pixels."""
    thresholds: Mapping[str, float]
    """Lowest confidence of an object of each class."""
    image: NDArray[np.int32]
    """Index in `images`."""
    kind: NDArray[np.int16]
    """Index in `classes`."""
    y: NDArray[np.float32]
    """Rows of the centres in level-0 pixels."""
    x: NDArray[np.float32]
    """Columns of the centres."""
    confidence: NDArray[np.float32]
    is_object: NDArray[np.bool_]
    """Of the others, the confidence is at least half of the threshold, and they lie at the place of no object."""
    by_class: Mapping[str, RankedPeaks]
    """The objects of each class of which there are some, the surest first."""

    def __len__(self) -> int:
        return len(self.confidence)

    def rows(self, wanted: Wanted) -> NDArray[np.intp]:
        """List some of them, in an order.

        Returns
        -------
        (n,) int array
            Indices of rows.
        """
        is_wanted = (self.confidence >= wanted.least) & (self.confidence <= wanted.most)
        is_wanted &= self.is_object | wanted.has_nearly
        if wanted.class_name:
            is_wanted &= self.kind == _index(self.classes, wanted.class_name)
        if wanted.within or wanted.find:
            is_wanted &= np.array([_is_meant(name, wanted) for name in self.images], bool)[self.image]
        rows = np.flatnonzero(is_wanted)
        key = self._key(rows, wanted.order)
        return rows[np.argsort(-key if wanted.is_descending else key, kind="stable")]

    def take(self, rows: NDArray[np.intp]) -> list[FoundObject]:
        """Return some of them as objects of Python."""
        names = ("image", "kind", "y", "x", "confidence", "is_object")
        columns = (getattr(self, name)[rows].tolist() for name in names)
        return [
            FoundObject(self.images[image], self.classes[kind], y, x, confidence, is_object)
            for image, kind, y, x, confidence, is_object in zip(*columns, strict=True)
        ]

    def over(self, images: tuple[str, ...]) -> FoundObjects:
        """Refer to other names of images, which hold all of its own."""
        known = {name: index for index, name in enumerate(images)}
        places = np.array([known[name] for name in self.images], np.int32)
        by_class = {name: replace(each, image=places[each.image]) for name, each in self.by_class.items()}
        return replace(self, images=images, image=places[self.image], by_class=by_class)

    def _key(self, rows: NDArray[np.intp], order: str) -> NDArray[np.floating]:
        if order == "doubt":
            limits = np.array([self.thresholds[name] for name in self.classes], np.float32)
            doubt: NDArray[np.float32] = np.abs(self.confidence[rows] - limits[self.kind[rows]])
            return doubt
        if order == "class":
            ranks = np.argsort(np.argsort(np.array(self.classes)))
            return ranks[self.kind[rows]].astype(np.float64)
        columns = {"image": self.image, "confidence": self.confidence, "row": self.y, "column": self.x}
        return columns[order][rows].astype(np.float64)


def read_found(folder: Path, thresholds: Mapping[str, float]) -> FoundObjects:
    """Read what a detection found: its objects, and what nearly is one.

    Parameters
    ----------
    folder : Path
        Of the detection.
    thresholds : mapping of str to float
        Lowest confidence of an object of each class of the model.

    Raises
    ------
    AnnotationError
        If the table of detections cannot be read, or has classes without a threshold.
    """
    classes, images, shapes = tuple(thresholds), list[str](), dict[str, tuple[float, float]]()
    parts: list[tuple[NDArray[np.generic], ...]] = [tuple(np.empty(0, dtype) for dtype in _TYPES.values())]
    for peaks in read_known_detections(folder / TABLE_NAME, classes):
        mask, is_object = _objects_and_nearly(peaks, thresholds)
        here = peaks.take(mask)
        kinds = np.array([_index(classes, name) for name in here.classes], np.int16)[here.class_index]
        for index in np.unique(here.class_index):
            first = int(np.argmax(here.class_index == index))
            shapes[here.classes[index]] = (float(here.height[first]), float(here.width[first]))
        numbers = (here.y, here.x, here.score, is_object[mask])
        parts.append((np.full(len(here), len(images)), kinds, *numbers))
        images.append(peaks.image)
    columns: dict[str, Any] = {
        name: np.concatenate(column).astype(dtype)
        for (name, dtype), column in zip(_TYPES.items(), zip(*parts, strict=True), strict=True)
    }
    by_class = _by_class(classes, **columns)
    return FoundObjects(tuple(images), classes, shapes, dict(thresholds), **columns, by_class=by_class)


def _by_class(
    classes: tuple[str, ...],
    image: NDArray[np.int32],
    kind: NDArray[np.int16],
    y: NDArray[np.float32],
    x: NDArray[np.float32],
    confidence: NDArray[np.float32],
    is_object: NDArray[np.bool_],
) -> dict[str, RankedPeaks]:
    found = {}
    for index, name in enumerate(classes):
        rows = np.flatnonzero(is_object & (kind == index))
        rows = rows[np.argsort(-confidence[rows], kind="stable")]
        if rows.size:
            found[name] = RankedPeaks(image[rows], y[rows].astype(float), x[rows].astype(float), confidence[rows])
    return found


def _objects_and_nearly(
    peaks: PeakColumns, thresholds: Mapping[str, float]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which peaks of an image are objects, as `core.peaks.object_mask` has it, or nearly; and which of both."""
    lowest = np.array([thresholds[name] for name in peaks.classes])[peaks.class_index]
    is_above, mask = peaks.score >= lowest, peaks.score >= _NEARLY * lowest
    if mask.any():
        points = np.stack([peaks.y[mask], peaks.x[mask]], axis=1)
        best_first = np.lexsort((-peaks.score[mask], ~is_above[mask]))  # what nearly is one takes no object's place
        ranks = np.empty(len(points))
        ranks[best_first] = np.arange(len(points), 0, -1)
        mask[mask] = strongest(points, ranks, NEAREST * np.minimum(peaks.height, peaks.width)[mask])
    return mask, is_above & mask


def _is_meant(name: str, wanted: Wanted) -> bool:
    if wanted.within and not (name.startswith(wanted.within) if wanted.within.endswith("/") else name == wanted.within):
        return False
    text = wanted.find.strip().casefold()
    return text in name.casefold() or (well_and_field(name)[0] or "").casefold() == text


def _index(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -1
