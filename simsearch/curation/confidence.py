"""What a model says at the places that people have judged: how precise and complete it is at each threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.accuracy.intervals import wilson_interval
from simsearch.core.peaks import NEAREST, strongest
from simsearch.curation.checks import common_shape, without
from simsearch.curation.state import clean_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.state import Curation, Patch, RoiClass

THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.01), 2)
"""Confidence thresholds that estimates are made for."""
_NEAR = 0.5  # of the patch's shorter side: what lies nearer to a judged place is the same object


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Precision and recall of a class on judged places, over `THRESHOLDS`, with 95 % Wilson intervals."""

    n_objects: int
    """Judged places of the class."""
    n_others: int
    """Judged places that are something else: other classes, negatives of the class, background."""
    precision: NDArray[np.float64]
    """Share of the class's own among all judged places that the model takes for the class; NaN where it takes none."""
    precision_low: NDArray[np.float64]
    precision_high: NDArray[np.float64]
    recall: NDArray[np.float64]
    """Share of the class's places that the model takes for it; NaN without places."""
    recall_low: NDArray[np.float64]
    recall_high: NDArray[np.float64]
    n_unjudged: NDArray[np.int64]
    """Objects that the model finds where nobody judged anything, of which precision says nothing."""


def estimate_confidence(
    curation: Curation, images: Sequence[str], by_class: Mapping[str, RankedPeaks]
) -> dict[str, Estimate]:
    """Estimate precision and recall on what people have judged on some images.

    Each class is looked at for itself, whatever the thresholds of others. The model was trained on these places:
    estimates are too good, the more so the fewer places there are. Precision holds for the mix of places that were
    judged, which is not that of the images.

    Parameters
    ----------
    curation : Curation
        What was judged.
    images : sequence of str
        Which images were looked at.
    by_class : mapping of str to RankedPeaks
        All that the model found there, by class, down to the lowest of `THRESHOLDS`.

    Returns
    -------
    dict of str to Estimate
        For each class of the model that is in the curation.
    """
    if curation.patch_shape is None:
        return {}
    known = {each.name: each for each in curation.classes}
    return {name: _of_class(curation, known[name], images, peaks) for name, peaks in by_class.items() if name in known}


def _of_class(curation: Curation, roi_class: RoiClass, images: Sequence[str], peaks: RankedPeaks) -> Estimate:
    own_shape = common_shape(curation, roi_class)
    own = clean_objects(roi_class, own_shape)
    others, negatives = [], roi_class.negatives
    for each in curation.classes:
        if each.name != roi_class.name:
            objects = clean_objects(each, common_shape(curation, each))
            shape = common_shape(curation, roi_class, each)
            negatives = without(negatives, objects, shape)  # what is flagged for one class may be of another
            others.append((objects, shape))
    others += [(list(patches), own_shape) for patches in (negatives, curation.background)]
    confidences = [_confidences(patches, images, peaks, shape) for patches, shape in ((own, own_shape), *others)]
    n_unjudged = _unjudged([(own, own_shape), *others], images, peaks, own_shape)
    return _estimate(confidences[0], np.concatenate(confidences[1:]), n_unjudged)


def _unjudged(
    judged: Sequence[tuple[Sequence[Patch], tuple[float, float]]],
    images: Sequence[str],
    peaks: RankedPeaks,
    shape: tuple[float, float],
) -> NDArray[np.int64]:
    """Count objects over `THRESHOLDS` that are not near judged places, given with the shape that says what is near."""
    is_left = np.zeros(len(peaks), bool)
    for index, name in enumerate(images):
        rows = np.flatnonzero(peaks.image == index)
        points = np.stack([peaks.y[rows], peaks.x[rows]], axis=1)
        is_object = strongest(points, peaks.score[rows], NEAREST * min(shape))
        for patches, reach in judged:
            for patch in patches:
                if patch.image == name:
                    is_object &= np.hypot(*(points - (patch.y, patch.x)).T) >= _NEAR * min(reach)
        is_left[rows] = is_object
    return np.asarray((peaks.score[is_left][:, None] >= THRESHOLDS).sum(axis=0))


def _confidences(
    patches: Sequence[Patch], images: Sequence[str], peaks: RankedPeaks, shape: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the highest confidence near each patch that lies on one of the images; 0 where nothing was found."""
    near = _NEAR * min(shape)
    indices = {name: index for index, name in enumerate(images)}
    found = []
    for patch in patches:
        if patch.image in indices:
            here = (peaks.image == indices[patch.image]) & (np.hypot(peaks.y - patch.y, peaks.x - patch.x) < near)
            found.append(float(peaks.score[here].max(initial=0.0)))
    return np.array(found)


def _estimate(own: NDArray[np.float64], others: NDArray[np.float64], n_unjudged: NDArray[np.int64]) -> Estimate:
    n_true = (own[:, None] >= THRESHOLDS).sum(axis=0)
    n_taken = n_true + (others[:, None] >= THRESHOLDS).sum(axis=0)
    n_own = np.full_like(n_true, len(own))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = n_true / n_taken, n_true / n_own
    return Estimate(
        len(own), len(others),
        precision, *wilson_interval(n_true, n_taken),
        recall, *wilson_interval(n_true, n_own),
        n_unjudged,
    )  # fmt: skip
