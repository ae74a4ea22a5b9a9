"""Whether a model would rank what was answered one by one worse than the search that it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.accuracy.paired import compare_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simsearch.io.tables.answered import AnsweredPlace
    from simsearch.nn.carried_search import SearchShare

FEWEST = 5
"""Right and wrong places that are compared at least: of fewer than 25 pairs, one place decides a fifth and more."""
SURELY = 0.9
"""In what share of bootstrap draws one must rank better to decide alone."""
_IMAGES = 2
_LEAST_SPREAD = 1e-9
_BUT = "they were asked where the search is least sure, so that it stays"
_SAID, _BACK = "of {n} places that you answered one by one,", "`train --no-search` leaves it out"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How well a search and a model rank places that were answered one by one, by cross-validation over images."""

    n_right: int
    n_wrong: int
    n_images: int
    search: float | None = None
    """Share of pairs of a right and a wrong place that the search ranks right; None where there are too few."""
    model: float | None = None
    """The same of what would decide otherwise: the network, with its share of the search where that has one."""
    better: str = ""
    """search or model, where it is better by more than chance. A search that is better decides alone; no network does:
    answers are asked for where the search is least sure, not where the network errs (benchmarks/RESULTS.md)."""


def compare(places: Sequence[AnsweredPlace], share: SearchShare) -> Comparison:
    """Compare the search of a class with the network and the search together, or where it is alone with the network.

    Parameters
    ----------
    places : sequence of AnsweredPlace
        Of the class; those of which one of them says nothing are left out.
    share : SearchShare
        How far the search would decide.
    """
    known = [each for each in places if math.isfinite(each.network) and math.isfinite(each.search)]
    is_right = np.array([each.is_right for each in known], bool)
    n_right, n_wrong = int(is_right.sum()), int((~is_right).sum())
    n_images = len({each.image for each in known})
    if min(n_right, n_wrong) < FEWEST or n_images < _IMAGES:
        return Comparison(n_right, n_wrong, n_images)
    network, search = (np.array([getattr(each, who) for each in known]) for who in ("network", "search"))
    found = compare_ranks(is_right, search, network if share.weight == 1 else mixed(network, search, share.weight))
    surely = found.surely_first
    better = "search" if surely >= SURELY else "model" if surely <= 1 - SURELY else ""
    return Comparison(n_right, n_wrong, n_images, round(found.first, 4), round(found.second, 4), better)


def mixed(network: NDArray[np.floating], search: NDArray[np.floating], weight: float) -> NDArray[np.float64]:
    """Mix two scores of the same places as a model does, in which both vary as much.

    Examples
    --------
    >>> mixed(np.array([0.0, 2.0]), np.array([0.5, 0.25]), 0.25)
    array([1., 2.])
    """
    scaled = [score / max(float(np.std(score)), _LEAST_SPREAD) for score in (network, search)]
    return np.asarray((1 - weight) * scaled[0] + weight * scaled[1])


def in_words(share: SearchShare | None, found: Comparison | None) -> str:
    """Say who decides about a class, and what answers say of that; nothing where the network always does.

    Examples
    --------
    >>> from simsearch.nn.carried_search import SearchShare
    >>> in_words(SearchShare(0.35, 8.0, 0.5), Comparison(3, 1, 1))[:66]
    'the network, and by 35% the search (not compared: 3 right and 1 wr'
    >>> in_words(SearchShare(1.0, 8.0, 0.5), Comparison(14, 10, 4, 0.93, 0.71, "search"))[:75]
    'the search alone: of 24 places that you answered one by one, it ranks more '
    >>> in_words(None, None)
    ''
    """
    who = _who(share)
    if found is None or share is None:
        return who
    if found.search is None or found.model is None:
        return f"{who} (not compared: {_too_few(found)})"
    said, search, model = _SAID.format(n=found.n_right + found.n_wrong), f"{found.search:.2f}", f"{found.model:.2f}"
    other = "both together" if share.finer == 1 else "the network"
    if not found.better:
        return f"{who} ({said} neither ranks clearly more right: the search {search}, {other} {model})"
    if found.better == "search":
        return f"{who}: {said} it ranks more of them right ({search} against {model} of {other}); {_BACK}"
    if share.finer == 1:
        return f"{who} ({said} {other} rank more of them right: {model} against {search})"
    return f"{who} ({said} {other} ranks more of them right: {model} against {search}; {_BUT})"


def _who(share: SearchShare | None) -> str:
    if share is None or share.weight == 0:
        return ""
    if share.finer > 1:
        return f"the search alone, which sees it {share.finer} times as large as the network would"
    return "the search alone" if share.weight == 1 else f"the network, and by {share.weight:.0%} the search"


def _too_few(found: Comparison) -> str:
    on = f"{found.n_images} image{'' if found.n_images == 1 else 's'}"
    return (
        f"{found.n_right} right and {found.n_wrong} wrong places on {on} were answered one by one, and it takes "
        f"{FEWEST} of each on {_IMAGES}"
    )
