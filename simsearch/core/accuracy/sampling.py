"""How right results are, by a random sample of them that a person judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.9
"""What share of intervals covers the truth."""
_PRIOR = 0.5  # Jeffreys' of a share: its intervals cover what they say also for shares near 0 and 1
_DRAWS = 4000


class Bounded(NamedTuple):
    """A number that is estimated, and the bounds of its interval (`LEVEL`)."""

    value: float
    """NaN where nothing is known."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SampleEstimate:
    """What a judged sample tells of all places where something was found, at a threshold."""

    n_found: int
    """Places of at least the threshold."""
    n_judged: int
    """How many of all places were judged."""
    precision: Bounded
    """Share of what is right in what was found."""
    recall: Bounded
    """Share of what was found in all that is right. What has no place at all is not in it."""
    total: Bounded
    """All that is right, of at least the threshold or not."""


def choose_sample(
    scores: NDArray[np.floating],
    is_taken: NDArray[np.bool_],
    threshold: float,
    n: int,
    generator: np.random.Generator,
) -> NDArray[np.intp]:
    """Choose places at random: half of those of at least a threshold, and half of the others, as far as there are.

    Parameters
    ----------
    scores : (N,) array
        Of all places.
    is_taken : (N,) bool array
        What is in the sample already: it is not chosen again, and counts for its half.
    threshold : float
        The lowest score of what counts as found.
    n : int
        Places in the sample, with those taken already.
    generator : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    (n,) array
        Indices of what is new, in no order.

    Examples
    --------
    >>> scores = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    >>> chosen = choose_sample(scores, np.zeros(5, bool), 0.5, 4, np.random.default_rng(0))
    >>> (scores[chosen] >= 0.5).sum(), len(chosen)
    (np.int64(2), 4)
    """
    is_found = scores >= threshold
    n_found, n_below = int(is_found.sum()), int((~is_found).sum())
    wanted_found = min(n_found, max(n - n // 2, n - n_below))
    chosen = []
    for side, wanted in ((is_found, wanted_found), (~is_found, min(n_below, n - wanted_found))):
        free = np.flatnonzero(side & ~is_taken)
        chosen.append(generator.permutation(free)[: max(0, wanted - int((side & is_taken).sum()))])
    mixed: NDArray[np.intp] = generator.permutation(np.concatenate(chosen))
    return mixed


def estimate_from_sample(
    scores: NDArray[np.floating],
    judged: NDArray[np.intp],
    is_right: NDArray[np.bool_],
    chosen_at: float,
    threshold: float,
) -> SampleEstimate:
    """Estimate precision, recall and number at any threshold, from places that were chosen at random at one.

    Within each half of the sample each place was as likely as any other, so also within the part of it that is above
    or below another threshold. The unknown share of each part has a Beta distribution (Jeffreys' prior); intervals are
    quantiles of what follows from it for all places. The prior makes them wide where little was judged, and does not
    move the estimates, which are the shares themselves.

    Parameters
    ----------
    scores : (N,) array
        Of all places.
    judged : (n,) array
        Indices of those that were judged.
    is_right : (n,) bool array
        What was said of them.
    chosen_at : float
        The threshold at which the sample was chosen.
    threshold : float
        At which to estimate.
    """
    is_judged, right = np.zeros(len(scores), bool), np.zeros(len(scores), bool)
    is_judged[judged], right[judged] = True, is_right
    generator = np.random.default_rng(0)  # the same answers give the same bounds
    found, below = np.zeros(_DRAWS), np.zeros(_DRAWS)
    best = {True: 0.0, False: 0.0}
    for is_high in (True, False):
        for was_high in (True, False):
            part = ((scores >= threshold) == is_high) & ((scores >= chosen_at) == was_high)
            n_all, n, k = int(part.sum()), int((part & is_judged).sum()), int((part & right).sum())
            if n_all:
                share = generator.beta(k + _PRIOR, n - k + _PRIOR, _DRAWS)
                (found if is_high else below)[:] += k + generator.binomial(n_all - n, share)
                best[is_high] += n_all * k / n if n else np.nan
    n_found = int((scores >= threshold).sum())
    total = best[True] + best[False]
    with np.errstate(invalid="ignore", divide="ignore"):
        return SampleEstimate(
            n_found,
            len(judged),
            _bounded(np.divide(best[True], n_found), found / n_found),
            _bounded(np.divide(best[True], total), found / (found + below)),
            _bounded(total, found + below),
        )


def _bounded(value: float, draws: NDArray[np.float64]) -> Bounded:
    """Take the interval from draws; the estimate is not outside of it."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return Bounded(np.nan, np.nan, np.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Bounded(float(value), float(np.fmin(low, value)), float(np.fmax(high, value)))
