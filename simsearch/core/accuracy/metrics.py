"""How well peaks agree with ground truth (paper section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision and recall as the threshold falls from the highest score to the lowest."""

    precision: NDArray[np.float64]
    """(N,) share of found objects among what is found."""
    recall: NDArray[np.float64]
    """(N,) share of found objects among all."""
    score: NDArray[np.float64]
    """(N,) thresholds, descending."""

    @property
    def average_precision(self) -> float:
        """Area under the curve: mean precision over the objects, an object never found counting zero."""
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))


def match(points: NDArray[np.floating], scores: NDArray[np.floating], truth: NDArray[np.floating], distance: float
          ) -> NDArray[np.bool_]:  # fmt: skip
    """Tell which points of one image find an object.

    Parameters
    ----------
    points : (N, 2) array
        Centres found, y and x in pixels.
    scores : (N,) array
        In descending order a point takes the nearest object that is still free.
    truth : (M, 2) array
        Centres of the objects, y and x in pixels.
    distance : float
        A point finds an object that is nearer than this, in pixels. The paper takes 3 strides.

    Returns
    -------
    (N,) bool array
    """
    is_hit = np.zeros(len(points), bool)
    if not len(truth):
        return is_hit
    is_free = np.ones(len(truth), bool)
    for i in np.argsort(-scores, kind="stable"):
        gaps = np.where(is_free, np.hypot(*(truth - points[i]).T), np.inf)
        nearest = int(gaps.argmin())
        if gaps[nearest] < distance:
            is_hit[i], is_free[nearest] = True, False
    return is_hit


def precision_recall(
    hits: Sequence[NDArray[np.bool_]], scores: Sequence[NDArray[np.floating]], n_objects: int
) -> PrecisionRecall:
    """Compute the curve over the points of all images together.

    Parameters
    ----------
    hits : sequence of (N,) bool arrays
        For each image, which points found an object.
    scores : sequence of (N,) arrays
        For each image, their scores.
    n_objects : int
        Number of objects in all images, at least 1.

    Examples
    --------
    >>> precision_recall([np.array([True, False])], [np.array([0.9, 0.8])], 2).average_precision
    0.5
    """
    score, hit = np.concatenate(list(scores)), np.concatenate(list(hits))
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(hit[order])
    return PrecisionRecall(found / np.arange(1, len(found) + 1), found / n_objects, score[order].astype(np.float64))


def best_f1(curve: PrecisionRecall) -> tuple[float, float]:
    """Return the highest F1 score on a curve and the threshold that reaches it.

    Examples
    --------
    >>> best_f1(precision_recall([np.array([True, False])], [np.array([0.9, 0.8])], 1))
    (1.0, 0.9)
    """
    if not len(curve.score):
        return 0.0, 0.0
    total = curve.precision + curve.recall
    f1 = np.where(total > 0, 2 * curve.precision * curve.recall / np.maximum(total, 1e-12), 0.0)
    best = int(f1.argmax())
    return float(f1[best]), float(curve.score[best])


def bootstrap_interval(
    hits: Sequence[NDArray[np.bool_]],
    scores: Sequence[NDArray[np.floating]],
    n_objects: Sequence[int],
    *,
    n_draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Estimate between which values the average precision lies with 95 % confidence.

    Parameters
    ----------
    hits : sequence of (N,) bool arrays
        For each image, which points found an object.
    scores : sequence of (N,) arrays
        For each image, their scores.
    n_objects : sequence of int
        For each image, the number of objects.
    n_draws : int
        How often to draw as many images as there are, with replacement. Objects of one image are no independent
        witnesses, so images are drawn, not objects.
    seed : int
        Of the draws.

    Returns
    -------
    (float, float)
        The 2.5th and the 97.5th percentile; NaN with fewer than two images. Draws without objects count for nothing.
    """
    if len(hits) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_draws):
        drawn = rng.integers(len(hits), size=len(hits))
        total = sum(n_objects[i] for i in drawn)
        if total:
            curve = precision_recall([hits[i] for i in drawn], [scores[i] for i in drawn], total)
            found.append(curve.average_precision)
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)
