"""Choosing a few of many so that what they have covers what all have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def choose_covering(
    closeness: NDArray[np.floating], n: int, groups: Sequence[Sequence[int]] | None = None
) -> list[int]:
    """Choose candidates one after the other, each the one that brings all references closest to those chosen.

    This is the greedy solution of facility location, whose coverage is at least 1 - 1 / e of the best possible
    (Nemhauser, Wolsey and Fisher 1978, Math. Program. 14:265).

    Parameters
    ----------
    closeness : (candidates, references) array
        How close each candidate comes to each reference, at least -1.
    n : int
        How many to choose, at most as many as there are.
    groups : sequence of sequences of int, optional
        Candidates that are chosen from in turn, one of each group; by default all are one group. Those that are in none
        are not chosen.

    Returns
    -------
    list of int
        Indices of candidates in the order of choice; among equals the first.

    Examples
    --------
    >>> choose_covering(np.array([[0.9, 0.8, 0.0], [1.0, 0.7, 0.0], [0.1, 0.1, 0.9]]), 2)
    [0, 2]
    >>> choose_covering(np.array([[0.9, 0.8, 0.0], [1.0, 0.7, 0.0], [0.1, 0.1, 0.9]]), 2, [[0, 2], [1]])
    [0, 1]
    """
    covered = np.full(closeness.shape[1], -1.0)
    chosen: list[int] = []
    left = [sorted(group) for group in groups or [range(len(closeness))]]
    for _ in range(max(map(len, left))):
        for group in [each for each in left if each][: max(0, n - len(chosen))]:
            gains = np.maximum(closeness[group], covered).sum(axis=1)
            best = group.pop(int(gains.argmax()))
            covered = np.maximum(covered, closeness[best])
            chosen.append(best)
    return chosen
