"""Tiles: units of work whose core is written and whose halo is only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A half-open box of pixels, ``[y0, y1) x [x0, x1)``. It may reach outside an image."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the region in a (H, W) array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grown(self, margin: int) -> Region:
        """Return the region with a margin on all four sides."""
        return Region(self.y0 - margin, self.y1 + margin, self.x0 - margin, self.x1 + margin)

    def shifted(self, offset: int) -> Region:
        """Return the region moved by the same offset along y and x."""
        return self.shifted_by(offset, offset)

    def shifted_by(self, y: int, x: int) -> Region:
        """Return the region moved by an offset along y and another along x."""
        return Region(self.y0 + y, self.y1 + y, self.x0 + x, self.x1 + x)

    def clipped(self, shape: tuple[int, int]) -> Region:
        """Return the part of the region inside an image of the given height and width; it may be empty."""
        y0, x0 = min(max(self.y0, 0), shape[0]), min(max(self.x0, 0), shape[1])
        return Region(y0, max(y0, min(self.y1, shape[0])), x0, max(x0, min(self.x1, shape[1])))


def tile_cores(shape: tuple[int, int], tile: int) -> Iterator[Region]:
    """Partition an image into the cores of tiles, row by row.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image in pixels.
    tile : int
        Side of a core in pixels. Cores at the far borders are smaller.

    Yields
    ------
    Region
        Every pixel is in exactly one core.

    Raises
    ------
    ShapeError
        If `tile` is not positive.

    Examples
    --------
    >>> [core.shape for core in tile_cores((5, 4), 4)]
    [(4, 4), (1, 4)]
    """
    if tile < 1:
        raise ShapeError(f"expected a tile of at least 1 px, got {tile}: choose a larger tile")
    height, width = shape
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            yield Region(y, min(y + tile, height), x, min(x + tile, width))


def even_tile(shape: tuple[int, int], most: int) -> int:
    """Return the side of tiles that are as large as may be, and of which none is a mere strip along the longer side.

    Examples
    --------
    >>> even_tile((270, 200), most=256), even_tile((512, 512), most=256), even_tile((90, 40), most=256)
    (135, 256, 90)
    """
    longer = max(shape)
    return -(-longer // -(-longer // most))


def halves_of(region: Region) -> tuple[Region, Region]:
    """Cut a region in two across its longer side.

    Examples
    --------
    >>> [half.shape for half in halves_of(Region(0, 2, 0, 5))]
    [(2, 2), (2, 3)]
    """
    (height, width), (y0, y1, x0, x1) = region.shape, (region.y0, region.y1, region.x0, region.x1)
    y, x = y0 + height // 2, x0 + width // 2
    if width > height:
        return Region(y0, y1, x0, x), Region(y0, y1, x, x1)
    return Region(y0, y, x0, x1), Region(y, y1, x0, x1)


def pad_to(pixels: NDArray[np.generic], region: Region, shape: tuple[int, int]) -> NDArray[np.generic]:
    """Replicate the border pixels of an image out to a region that reaches beyond it.

    Parameters
    ----------
    pixels : (..., h, w) array
        The part of `region` inside the image.
    region : Region
        What is wanted.
    shape : (int, int)
        Height and width of the image in pixels.

    Returns
    -------
    (..., H, W) array
        The whole of `region`.

    Raises
    ------
    ShapeError
        If `pixels` is not the inside of `region`.
    """
    inside = region.clipped(shape)
    if pixels.shape[-2:] != inside.shape or 0 in inside.shape:
        raise ShapeError(f"expected the {inside.shape} px of {region} inside the image, got {pixels.shape[-2:]} px")
    width = [(0, 0)] * (pixels.ndim - 2)
    width += [(inside.y0 - region.y0, region.y1 - inside.y1), (inside.x0 - region.x0, region.x1 - inside.x1)]
    return np.pad(pixels, width, mode="edge") if any(map(any, width)) else pixels
