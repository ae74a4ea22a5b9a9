"""Pyramids: each level is the mean of 2 x 2 pixels of the level below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.tiles import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST_PX = 512


def level_shapes(shape: tuple[int, int], smallest_px: int = SMALLEST_PX) -> list[tuple[int, int]]:
    """Shapes of all levels of an image, until both sides are small enough.

    Examples
    --------
    >>> level_shapes((1500, 700))
    [(1500, 700), (750, 350), (375, 175)]
    """
    shapes = [shape]
    while max(shapes[-1]) > smallest_px:
        height, width = shapes[-1]
        shapes.append(((height + 1) // 2, (width + 1) // 2))
    return shapes


def region_below(region: Region, shape: tuple[int, int]) -> Region:
    """Return the part of the level below (of the given shape) that a region of a level is made from."""
    return Region(2 * region.y0, 2 * region.y1, 2 * region.x0, 2 * region.x1).clipped(shape)


def region_above(region: Region) -> Region:
    """Return what a region that begins at even pixels becomes in the level above."""
    return Region(region.y0 // 2, (region.y1 + 1) // 2, region.x0 // 2, (region.x1 + 1) // 2)


def halved(pixels: NDArray[Any]) -> NDArray[Any]:
    """Mean of 2 x 2 pixels.

    Parameters
    ----------
    pixels : (..., H, W) integer or float array
        Starts at an even pixel. Where a side is odd, its last pixels are means of those that exist.

    Returns
    -------
    (..., ceil(H / 2), ceil(W / 2)) array of the same dtype
        Integers are rounded to the nearest, halves to even, so that no level gets brighter than the one below.

    Examples
    --------
    >>> halved(np.array([[1, 2, 7], [2, 1, 8]], dtype=np.uint8))
    array([[2, 8]], dtype=uint8)
    """
    height, width = pixels.shape[-2:]
    if height % 2 or width % 2:
        # A repeated pixel weighs as much as itself alone: the mean of a, b, a, b is that of a, b.
        pad = [(0, 0)] * (pixels.ndim - 2) + [(0, height % 2), (0, width % 2)]
        pixels = np.pad(pixels, pad, mode="edge")
    if pixels.dtype.kind == "f":
        quads = pixels[..., ::2, ::2], pixels[..., ::2, 1::2], pixels[..., 1::2, ::2], pixels[..., 1::2, 1::2]
        return np.mean(quads, axis=0, dtype=np.float64).astype(pixels.dtype)
    # In the smallest type that holds a sum of four: memory is what halving waits for.
    wide = np.dtype(f"{pixels.dtype.kind}{min(8, 2 * pixels.dtype.itemsize)}")
    rows = np.add(pixels[..., ::2, :], pixels[..., 1::2, :], dtype=wide)
    total: NDArray[np.integer] = rows[..., ::2] + rows[..., 1::2]
    # Half to even: one more is added before the division by 4 where the quotient is odd.
    total += 1 + ((total >> 2) & 1)
    total >>= 2
    return total.astype(pixels.dtype)


def nearest_halved(labels: NDArray[Any]) -> NDArray[Any]:
    """Take every other pixel along y and x of (..., H, W) labels, of which no mean can be taken.

    Examples
    --------
    >>> nearest_halved(np.array([[1, 2, 7], [2, 1, 8]], dtype=np.uint8))
    array([[1, 7]], dtype=uint8)
    """
    return labels[..., ::2, ::2]
