"""What is suggested of what a live search has found: thresholds, and what may be background."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.ranked_peaks import RankedPeaks, ranked_tables
from simsearch.curation.background import (
    BackgroundOffer,
    Similarities,
    amount_for,
    known_similarities,
    offer_background,
)
from simsearch.curation.checks import common_shape
from simsearch.curation.state import NEAR
from simsearch.workflows.curate.live.search import level0_peaks
from simsearch.workflows.find.peaks import split_similarities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.curation.state import Curation, Patch
    from simsearch.workflows.curate.live.search import Findings

_SPREADS_BELOW, _LEAST_SPREAD = 0.5, 0.03  # chosen on validation images (benchmarks/RESULTS.md)
_PROMISED = 0.9  # of what is suggested
_TELLING = 5  # answers that are right, from which on they alone tell


def suggested_thresholds(
    curation: Curation,
    images: Sequence[str],
    own: Mapping[str, RankedPeaks],
    left_out: Mapping[str, Sequence[float]],
) -> dict[str, float]:
    """Suggest a similarity threshold for each class, above which most are of it.

    It lies where peaks fall into two groups, but not far below what prototypes are to each other: of a rare class most
    peaks are something else, whatever group they fall into. Answers count more than either.

    Parameters
    ----------
    curation : Curation
        What was said.
    images : sequence of str
        Names that peaks refer to.
    own : mapping of str to RankedPeaks
        The peaks of each class that are its own (`own_peaks`).
    left_out : mapping of str to sequence of float
        Of each class how similar each prototype is to the others.
    """
    suggested = {}
    for name, peaks in own.items():
        roi_class = curation.roi_class(name)
        side = min(common_shape(curation, roi_class))
        is_drawn = _is_near(peaks, roi_class.prototypes, images, side / 2)
        is_right, is_wrong = (
            _is_near(peaks, patches, images, NEAR * side) for patches in (roi_class.confirmed, roi_class.negatives)
        )
        scores = peaks.score.astype(np.float64)
        right, wrong, others = scores[is_right], scores[is_wrong], scores[~is_drawn]
        level = most_open_level(right, wrong, others, left_out[name])
        suggested[name] = least_of_answers(right, wrong, least_similarity(others, left_out[name]), level)
    return suggested


def least_similarity(similarities: NDArray[np.floating], left_out: Sequence[float]) -> float:
    """Split the similarities of peaks that are no prototypes, not far below what prototypes are to each other."""
    split = split_similarities(similarities)
    if len(left_out) < 2:
        return split
    spread = max(_LEAST_SPREAD, float(np.std(left_out, ddof=1)))
    return round(max(split, float(np.mean(left_out)) - _SPREADS_BELOW * spread), 3)


def least_of_answers(right: NDArray[np.floating], wrong: NDArray[np.floating], least: float, most_open: float) -> float:
    """Move a threshold so that nine in ten of what was answered above it are right.

    Few answers only raise it, and only where one above it is wrong. Many lower it too, but not below where it is most
    open whether something is of the class: what lies there was not all asked about.
    """
    if len(right) < _TELLING:
        right, wrong = right[right >= least], wrong[wrong >= least]
        if not len(wrong):
            return least
    answered = np.sort(np.concatenate([right, wrong]))
    shares = np.array([(right >= at).sum() / (answered >= at).sum() for at in answered])
    good = answered[shares >= _PROMISED]
    told = float(good[0]) if len(good) else float(np.nextafter(wrong.max(), 2.0, dtype=np.float32))
    return max(told, most_open) if len(right) >= _TELLING else told


def most_open_level(
    right: NDArray[np.floating],
    wrong: NDArray[np.floating],
    similarities: NDArray[np.floating],
    left_out: Sequence[float],
) -> float:
    """Tell at which similarity it is most open whether something is of a class: there an answer changes most.

    That is half way between the mean of what is right, prototypes among it, and that of what is wrong, to which the
    usual peak belongs.
    """
    of_class = np.append(right, np.mean(left_out) if len(left_out) else np.max(similarities, initial=0.0))
    of_none = np.append(wrong, np.median(similarities) if len(similarities) else 0.0)
    return float(np.mean(of_class) + np.mean(of_none)) / 2


def _is_near(peaks: RankedPeaks, patches: Sequence[Patch], images: Sequence[str], radius: float) -> NDArray[np.bool_]:
    found = np.zeros(len(peaks), bool)
    for patch in patches:
        if patch.image in images:
            is_here = peaks.image == images.index(patch.image)
            found |= is_here & (np.hypot(peaks.y - patch.y, peaks.x - patch.x) < radius)
    return found


def suggested_background(
    curation: Curation, found: Findings, own: Mapping[str, RankedPeaks], suggested: Mapping[str, float], rounds: int = 1
) -> BackgroundOffer:
    """Choose what may be background, as much as the classes need, and what to ask about.

    Parameters
    ----------
    curation : Curation
        What was said.
    found : Findings
        What a live search has found.
    own : mapping of str to RankedPeaks
        The peaks of each class that are its own (`own_peaks`).
    suggested : mapping of str to float
        Similarity thresholds of the classes for which nobody has chosen one.
    rounds : int
        1, and one more for each time that more was asked for.
    """
    known = _known(found, own, thresholds(curation, suggested))
    return offer_background(curation, known, amount_for(curation, known, rounds))


def thresholds(curation: Curation, suggested: Mapping[str, float]) -> dict[str, float]:
    """Return the similarity thresholds of classes: those that somebody has chosen, and suggested ones."""
    chosen = {each.name: each.similarity_threshold for each in curation.classes}
    return {name: least if (own := chosen[name]) is None else own for name, least in suggested.items()}


def _known(found: Findings, own: Mapping[str, RankedPeaks], least: Mapping[str, float]) -> Similarities:
    """Gather what was found, with the local maxima and minima of the mean similarity to all prototypes."""
    if found.candidates is not None:
        return known_similarities(found.images, found.candidates.highest, found.candidates.lowest, own, least)
    high = tuple(ranked_tables([level0_peaks(mean, view, -np.inf) for mean, view in each]) for each in found.grounds)
    turned = (ranked_tables([level0_peaks(-mean, view, -np.inf) for mean, view in each]) for each in found.grounds)
    low = tuple(replace(each, score=-each.score) for each in turned)
    return Similarities(found.images, high, low, own, least)
