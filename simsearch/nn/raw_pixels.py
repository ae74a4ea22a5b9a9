"""Pixels as they were read: they travel to a device so, and become intensities only where a network looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from simsearch.errors import ShapeError

if TYPE_CHECKING:
    from simsearch.core.intensity import Range
    from simsearch.core.tiles import Region


@dataclass(frozen=True, slots=True, eq=False)
class RawPixels:
    """A region of an image, which may reach beyond it; border pixels are replicated to where there is no image.

    Raises
    ------
    ShapeError
        If the pixels are not those inside the image, or there is not one range for each channel.
    """

    values: torch.Tensor
    """(C, h, w) pixels inside the image, of any dtype, on the device that looks at them."""
    ranges: tuple[Range, ...]
    """For each channel the values that become 0 and 1."""
    inside: Region
    """Where `values` are in the image."""
    region: Region
    """What there is to look at."""

    def __post_init__(self) -> None:
        if tuple(self.values.shape[-2:]) != self.inside.shape or 0 in self.inside.shape:
            got = tuple(self.values.shape[-2:])
            raise ShapeError(f"expected the {self.inside.shape} px of {self.region} inside the image, got {got} px")
        if len(self.values) != len(self.ranges):
            raise ShapeError(f"expected one range for each of {len(self.values)} channels, got {len(self.ranges)}")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the region as a batch of one image: 1, channels, height and width."""
        return 1, len(self.values), *self.region.shape

    def intensities(self, window: Region | None = None) -> torch.Tensor:
        """Rescale what lies in a window of the region, or in all of it, from ranges to [0, 1], clipped; NaN to 0.

        Returns
        -------
        (C, h, w) float32 tensor
            Bit for bit what `simsearch.core.intensity.rescale` gives.
        """
        own = self.region if window is None else window.shifted_by(self.region.y0, self.region.x0)
        y0, y1, *rows = _nearest((own.y0, own.y1), (self.inside.y0, self.inside.y1))
        x0, x1, *columns = _nearest((own.x0, own.x1), (self.inside.x0, self.inside.x1))
        low, width = _bounds(self.ranges, self.values.device)
        found = self.values[:, y0:y1, x0:x1].to(torch.float32, copy=True).sub_(low).div_(width).clamp_(0, 1)
        if self.values.is_floating_point():
            found.nan_to_num_(0.0)
        beside = (*columns, *rows)
        return functional.pad(found[None], beside, mode="replicate")[0] if any(beside) else found


def look(images: torch.Tensor | RawPixels, window: Region) -> torch.Tensor:
    """Return the (B, C, h, w) intensities in a window of images, which are intensities already, or pixels."""
    return images.intensities(window)[None] if isinstance(images, RawPixels) else images[:, :, *window.slices]


@lru_cache(maxsize=8)  # of the few images, and sets of channels, that a process works on: a GPU gets them once
def _bounds(ranges: tuple[Range, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    # Tensors: what is divided by a number is multiplied with its inverse on GPUs, and rounded otherwise.
    low, high = torch.tensor(ranges, dtype=torch.float32, device=device).T[..., None, None]
    return low, high - low


def _nearest(wanted: tuple[int, int], there: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return which of the indices that are there stand for those wanted, and how often the first and last are repeated.

    Examples
    --------
    >>> _nearest((-2, 5), (0, 10)), _nearest((8, 12), (0, 10)), _nearest((-3, -1), (0, 10))
    ((0, 5, 2, 0), (8, 10, 0, 2), (0, 1, 1, 0))
    """
    (start, stop), (first, end) = wanted, there
    begin, last = min(max(start, first), end - 1), max(min(stop, end), first + 1)
    before = max(0, min(begin, stop - 1) - start)
    return begin - first, last - first, before, stop - start - (last - begin) - before
