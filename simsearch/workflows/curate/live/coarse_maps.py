"""Similarity maps of images too large to be held: coarse, and filled while workers search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.feature_grid import to_level0

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simsearch.runtime.tasks.search import SearchTask
    from simsearch.runtime.views import View


@dataclass(frozen=True, slots=True, eq=False)
class SimilarityMap:
    """How similar an image is to a class."""

    values: NDArray[np.float32]
    """(h, w) similarity in [-1, 1]; NaN where nothing was searched."""
    origin: tuple[float, float]
    """Row and column of the first value in level-0 pixels."""
    step: float
    """Level-0 pixels between values."""


def map_of(values: NDArray[np.float32], view: View, coarseness: int = 1) -> SimilarityMap:
    """Lay a map over an image, of which each value stands for so many positions along y and x."""
    step = grid_step(view)
    first = to_level0(0.0, view.image.downsampling) + step * (coarseness - 1) / 2
    return SimilarityMap(values, (first, first), step * coarseness)


def grid_step(view: View) -> float:
    """Return the level-0 pixels between positions."""
    return view.extractor.grid.stride * view.image.downsampling


class CoarseMaps:
    """The highest similarity in each square of large images, a byte each."""

    def __init__(self) -> None:
        self._maps: dict[tuple[str, str], tuple[View, int, NDArray[np.uint8]]] = {}

    def clear(self) -> None:
        """Let go of all: another search begins."""
        self._maps = {}

    def add(self, task: SearchTask, classes: Sequence[str], found: NDArray[np.uint8]) -> None:
        """Take what `find_candidates` tells of the squares that a tile reaches into, of each class."""
        view, coarseness = task.view, task.coarseness
        y, x = task.window.y0 // coarseness, task.window.x0 // coarseness
        shape = tuple(-(-side // coarseness) for side in view.grid_shape)
        for name, values in zip(classes, found, strict=True):
            key = name, view.image.meta.name
            if key not in self._maps:
                self._maps[key] = view, coarseness, np.zeros(shape, np.uint8)
            there = self._maps[key][2][y : y + values.shape[0], x : x + values.shape[1]]
            np.maximum(there, values, out=there)

    def of(self, class_name: str, image: str) -> SimilarityMap | None:
        """Return what was found so far; None if that is nothing."""
        kept = self._maps.get((class_name, image))
        if kept is None:
            return None
        view, coarseness, found = kept
        values = np.where(found > 0, (found.astype(np.float32) - 1) / 254, np.float32(np.nan))
        return map_of(values, view, coarseness)
