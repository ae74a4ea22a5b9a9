"""Peaks of one class over several images as columns, the best first: what pages draw and filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from simsearch.core.peaks import Peak


@dataclass(frozen=True, slots=True, eq=False)
class RankedPeaks:
    """Peaks of one class as columns of equal length, sorted by descending score."""

    image: NDArray[np.int32]
    """Index into the names of the images that they go with."""
    y: NDArray[np.float64]
    """Rows of the centres in level-0 pixels."""
    x: NDArray[np.float64]
    """Columns of the centres."""
    score: NDArray[np.float32]
    """Similarity in [-1, 1], or a model's confidence in [0, 1]."""

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> RankedPeaks:
        """Return some of the peaks."""
        return RankedPeaks(self.image[rows], self.y[rows], self.x[rows], self.score[rows])


def ranked_peaks(peaks: Iterable[Peak], images: Sequence[str]) -> RankedPeaks:
    """Turn peaks of one class into columns.

    Parameters
    ----------
    peaks : iterable of Peak
        In any order.
    images : sequence of str
        Names that the columns refer to.
    """
    indices = {name: index for index, name in enumerate(images)}
    ordered = sorted(peaks, key=lambda peak: (-peak.score, indices[peak.image], peak.y, peak.x))
    return RankedPeaks(
        np.array([indices[peak.image] for peak in ordered], np.int32),
        np.array([peak.y for peak in ordered], np.float64),
        np.array([peak.x for peak in ordered], np.float64),
        np.array([peak.score for peak in ordered], np.float32),
    )


def ranked_tables(tables: Sequence[NDArray[np.float64]]) -> RankedPeaks:
    """Turn peaks of one class into columns.

    Parameters
    ----------
    tables : sequence of (N, 3) array
        y, x and score of the peaks of each image.
    """
    image = np.repeat(np.arange(len(tables), dtype=np.int32), [len(table) for table in tables])
    y, x, score = np.concatenate([np.empty((0, 3)), *tables]).T
    order = np.lexsort((x, y, image, -score))
    return RankedPeaks(image[order], y[order], x[order], score[order].astype(np.float32))
