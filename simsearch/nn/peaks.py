"""Local maxima of maps on the feature grid: each found once, wherever tiles meet, on the device where the maps are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def peaks_in_maps(maps: torch.Tensor, radius: int, floor: float) -> torch.Tensor:
    """Find the local maxima of maps and refine them below the grid's spacing.

    Parameters
    ----------
    maps : (M, H + 2 radius, W + 2 radius) tensor
        Maps with a margin of `radius` on all sides; ``-inf`` outside the image.
    radius : int
        A peak is the highest value within this distance along y and x, at least 1. Among equal values the
        first in reading order is the peak, which no cut of the map into tiles can change.
    floor : float
        Lower values are no peaks.

    Returns
    -------
    (N, 4) float64 tensor
        Index of the map, y and x in grid steps from the first position inside the margin, and the height on the grid,
        by map and in reading order. A parabola through each peak and its neighbours moves it by at most half a step.
    """
    core = maps[:, radius:-radius, radius:-radius]
    earlier, later = _neighbourhood_maxima(maps, radius)
    index, rows, columns = ((core >= floor) & (core > earlier) & (core >= later)).nonzero(as_tuple=True)
    at = index, rows + radius, columns + radius
    y = rows + _vertex_offset(maps, at, (1, 0))
    x = columns + _vertex_offset(maps, at, (0, 1))
    return torch.stack([index.double(), y, x, maps[at].double()], dim=1)


def find_peaks(values: NDArray[np.floating], radius: int, floor: float) -> NDArray[np.float64]:
    """Find the peaks of one (H + 2 radius, W + 2 radius) map, as (N, 3) rows of y, x and height: see `peaks_in_maps`.

    Examples
    --------
    >>> import numpy as np
    >>> find_peaks(np.array([[0.0, 0.0, 0.0], [0.0, 4.0, 2.0], [0.0, 0.0, 0.0]]), radius=1, floor=1.0).round(2)
    array([[0.  , 0.17, 4.  ]])
    """
    found: NDArray[np.float64] = peaks_in_maps(torch.from_numpy(values)[None], radius, floor)[:, 1:].numpy()
    return found


def _neighbourhood_maxima(maps: torch.Tensor, radius: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the highest value before and after each position, in reading order, in its neighbourhood."""
    rows = _highest_of(maps, 2 * radius + 1, dim=2)
    above, below = (_highest_of(part, radius, dim=1) for part in (rows[:, : -radius - 1], rows[:, radius + 1 :]))
    own = maps[:, radius:-radius]
    left, right = (_highest_of(part, radius, dim=2) for part in (own[..., : -radius - 1], own[..., radius + 1 :]))
    return torch.maximum(above, left), torch.maximum(below, right)


def _highest_of(values: torch.Tensor, n: int, dim: int) -> torch.Tensor:
    """Return the highest of each n neighbours along an axis, which that makes n - 1 shorter."""
    found, reached = values, 1
    while reached < n:
        # Spans of what was reached, as far apart as they may be: each step doubles them.
        step = min(reached, n - reached)
        length = found.shape[dim] - step
        found, reached = torch.maximum(found.narrow(dim, 0, length), found.narrow(dim, step, length)), reached + step
    return found


def _vertex_offset(maps: torch.Tensor, at: tuple[torch.Tensor, ...], step: tuple[int, int]) -> torch.Tensor:
    """Return where the parabola through three neighbouring values has its vertex, in [-0.5, 0.5]."""
    (index, rows, columns), (dy, dx) = at, step
    before, after = maps[index, rows - dy, columns - dx].double(), maps[index, rows + dy, columns + dx].double()
    centre = maps[at].double()
    is_known = before.isfinite() & after.isfinite()
    before, after = torch.where(is_known, before, centre), torch.where(is_known, after, centre)
    curvature = before - 2 * centre + after
    is_known &= curvature < 0
    slope = torch.where(is_known, before - after, 0.0)
    return (slope / (2 * torch.where(is_known, curvature, -1.0))).clamp(-0.5, 0.5)
