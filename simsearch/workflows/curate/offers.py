"""What is suggested of what a live search has found: thresholds, and what may be background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.peaks import Peak
from simsearch.curation.state import BACKGROUND
from simsearch.curation.suggestions import background_patches, marked_patches
from simsearch.workflows.curate.live_search import level0_peaks
from simsearch.workflows.curate.suggest import N_BACKGROUND
from simsearch.workflows.find.peaks import split_similarities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.curation.state import Curation, Patch
    from simsearch.workflows.curate.live_search import Findings


def suggested_thresholds(curation: Curation, found: Findings) -> dict[str, float]:
    """Suggest a similarity threshold for each class that was looked for, as `suggested_threshold` does."""
    suggested = {}
    for name, peaks in found.by_class.items():
        is_other = np.ones(len(peaks), bool)
        for patch in curation.roi_class(name).prototypes:
            if patch.image in found.images and curation.patch_shape is not None:
                near = np.hypot(peaks.y - patch.y, peaks.x - patch.x) < min(curation.patch_shape) / 2
                is_other &= ~(near & (peaks.image == found.images.index(patch.image)))
        suggested[name] = split_similarities(peaks.score[is_other].astype(np.float64))
    return suggested


def suggested_background(curation: Curation, found: Findings) -> tuple[list[Patch], list[Patch]]:
    """Choose what may be background, difficult and easy, where nobody has marked anything (paper algorithm 1)."""
    highest, lowest = _extremes(curation, found)
    return background_patches(curation, highest, lowest, marked_patches(curation), N_BACKGROUND)


def _extremes(curation: Curation, found: Findings) -> tuple[Sequence[Peak], Sequence[Peak]]:
    """Return the local maxima and minima of the mean similarity to all prototypes."""
    if found.candidates is not None:
        return found.candidates.highest, found.candidates.lowest
    shape, sides = curation.patch_shape or (0.0, 0.0), []
    for sign in (1, -1):
        tables = [level0_peaks(sign * mean, view, -np.inf) for mean, view in zip(found.mean, found.views, strict=True)]
        rows = zip(found.images, tables, strict=True)
        sides.append(
            [Peak(name, BACKGROUND, y, x, shape, sign * score) for name, t in rows for y, x, score in t.tolist()]
        )
    return sides[0], sides[1]
