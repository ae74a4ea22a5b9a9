"""Images at a downsampling of choice, whichever levels their pyramid has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError
from simsearch.io.ome_zarr.image import ImageMeta, read_region
from simsearch.io.ome_zarr.pyramid import halved

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_TOLERANCE = 0.01  # of a level's downsampling: odd sides make a pyramid's factors inexact


@dataclass(frozen=True, slots=True)
class ScaledImage:
    """An image seen at a downsampling, read from the nearest finer level of its pyramid."""

    meta: ImageMeta
    """The image."""
    level: int
    """Level that is read."""
    halvings: int
    """How often 2 x 2 pixels of it are averaged."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels at this downsampling."""
        factor = 2**self.halvings
        height, width = self.meta.levels[self.level].shape
        return -(-height // factor), -(-width // factor)

    @property
    def downsampling(self) -> int:
        """Level-0 pixels per pixel."""
        return round(self.meta.levels[self.level].downsampling[0]) << self.halvings


def downsampling_to(side: int, most_px: int) -> int:
    """Return the least power of two that brings a side of so many pixels down to at most `most_px`.

    Examples
    --------
    >>> [downsampling_to(side, 512) for side in (100, 512, 513, 4096)]
    [1, 1, 2, 8]
    """
    return 1 << max(0, math.ceil(math.log2(side / most_px)))


def scaled(meta: ImageMeta, downsampling: int = 1) -> ScaledImage:
    """See an image at a downsampling.

    Parameters
    ----------
    meta : ImageMeta
        The image.
    downsampling : int
        Level-0 pixels per pixel, a power of two.

    Raises
    ------
    ConfigError
        If it is no power of two.
    """
    if downsampling < 1 or downsampling & (downsampling - 1):
        raise ConfigError(f"expected a downsampling that is a power of two, got {downsampling}")
    best = (0, 1)
    for index, level in enumerate(meta.levels):
        factor = round(level.downsampling[0])
        is_square = all(abs(d - factor) <= _TOLERANCE * factor for d in level.downsampling)
        if is_square and factor & (factor - 1) == 0 and best[1] < factor <= downsampling:
            best = (index, factor)
    return ScaledImage(meta, best[0], (downsampling // best[1]).bit_length() - 1)


def read_scaled(image: ScaledImage, region: Region, channels: Sequence[int] | None = None) -> NDArray[np.generic]:
    """Read a region of a scaled image.

    Parameters
    ----------
    image : ScaledImage
        The image.
    region : Region
        In pixels at its downsampling, inside it.
    channels : sequence of int, optional
        Which channels, in this order; all of them by default.

    Returns
    -------
    (C, h, w) array
        Of the image's dtype.
    """
    factor = 2**image.halvings
    below = Region(*(factor * bound for bound in (region.y0, region.y1, region.x0, region.x1)))
    pixels = read_region(image.meta, image.level, below.clipped(image.meta.levels[image.level].shape), channels)
    for _ in range(image.halvings):
        pixels = halved(pixels)
    return pixels
