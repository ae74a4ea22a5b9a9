"""What to look at next: the few suggestions whose answer would change most (beside most, least and flagged)."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from simsearch.curation.state import Patch, Places, singled_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.state import Curation

N_QUESTIONS = 12
"""As many as fit in a sight."""

_PER_SIDE = 1  # of an image, at first
_APART = 0.01  # of similarity: what is nearer tells much the same
_CANDIDATES = 10  # times as many are looked at, the nearest to the threshold


def open_questions(
    curation: Curation, class_name: str, images: Sequence[str], found: RankedPeaks, least: float, n: int = N_QUESTIONS
) -> list[int]:
    """Choose of the suggestions for a class those of which to ask a person next.

    They are nearest to the threshold, as many above it as below where there are so many, and nobody has judged them one
    by one. They differ from one another: no two of a side are nearer than 0.01 in similarity, and no three are on one
    image, unless that leaves too few.

    Parameters
    ----------
    curation : Curation
        What was said.
    class_name : str
        Of which class it is asked.
    images : sequence of str
        Names that the peaks refer to.
    found : RankedPeaks
        What is suggested for the class, whatever the threshold.
    least : float
        The threshold.
    n : int, optional
        How many at most.

    Returns
    -------
    list of int
        Rows of the peaks, the nearest to the threshold first.

    Raises
    ------
    CurationError
        If there is no such class.
    """
    roi_class = curation.roi_class(class_name)
    shape = curation.shape_of(roi_class)
    if shape is None:
        return []
    judged = Places((*singled_out(roi_class), *roi_class.negatives), shape)

    def is_open(row: int) -> bool:
        at = Patch("", images[found.image[row]], float(found.y[row]), float(found.x[row]))
        return judged.near(at) is None

    n_above = int((found.score >= least).sum())  # the best come first
    sides = range(n_above - 1, -1, -1), range(n_above, len(found))
    above, below = (list(islice(filter(is_open, side), _CANDIDATES * n)) for side in sides)
    n_below = min(len(below), max(n // 2, n - len(above)))
    chosen = [*_spread(above, found, n - n_below), *_spread(below, found, n_below)]
    return sorted(chosen, key=lambda row: (abs(float(found.score[row]) - least), row))


def _spread(rows: Sequence[int], found: RankedPeaks, n: int) -> list[int]:
    """Choose rows that differ in image and score, as far as there are such; those that come first if not."""
    on_image: Counter[int] = Counter()
    chosen: list[int] = []
    for per_image, apart in ((_PER_SIDE, _APART), (2 * _PER_SIDE, _APART), (n, 0.0)):
        for row in rows:
            image, score = int(found.image[row]), found.score[row]
            is_other = row not in chosen and all(abs(score - found.score[each]) >= apart for each in chosen)
            if len(chosen) < n and on_image[image] < per_image and is_other:
                chosen.append(row)
                on_image[image] += 1
    return chosen
