"""How far shares of small counts can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Z = 1.959964  # 95 %, both sides


def wilson_interval(
    n_hits: NDArray[np.integer], n_trials: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95 % interval of a share (Wilson 1927), which is honest for few trials and shares near 0 and 1.

    Parameters
    ----------
    n_hits, n_trials : integer arrays of one shape
        How often something was so, and of how many.

    Returns
    -------
    low, high : arrays
        0 and 1 where there is no trial: nothing is known.

    Examples
    --------
    >>> low, high = wilson_interval(np.array([9, 0]), np.array([10, 0]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.596, 0.0], [0.982, 1.0])
    """
    n = np.maximum(n_trials, 1).astype(np.float64)
    share = n_hits / n
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    low, high = np.minimum(middle - half, share), np.maximum(middle + half, share)  # rounding must not cross it
    is_known = n_trials > 0
    return np.where(is_known, np.clip(low, 0, 1), 0.0), np.where(is_known, np.clip(high, 0, 1), 1.0)
