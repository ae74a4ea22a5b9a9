"""The grid of feature vectors over an image, and the scale to compute it at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray

Position = TypeVar("Position", float, "NDArray[np.float64]")

LEAST_PATCH = 16
"""A patch's shorter side has at least so many pixels on the searched level: one step of the deepest layer."""
MIN_PATCH = 48
"""A patch's longer side has at least this many pixels on the searched level, and less than twice as many."""


@dataclass(frozen=True, slots=True)
class FeatureGrid:
    """Positions ``stride * index``, in pixels of the searched level, both along y and x.

    The grid is anchored at the image's first pixel, so that it does not depend on tiles.
    """

    stride: float
    """Distance between neighbours in pixels."""

    def size(self, n_pixels: int) -> int:
        """Return how many positions lie on a side of an image.

        Examples
        --------
        >>> FeatureGrid(8).size(17)
        3
        """
        return math.ceil(n_pixels / self.stride)

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return the half-open range of indices whose positions lie in ``[start, stop)``.

        Examples
        --------
        >>> FeatureGrid(4.8).span(4, 10)
        (1, 3)
        """
        return math.ceil(start / self.stride), math.ceil(stop / self.stride)


def to_level0(position: Position, downsampling: float) -> Position:
    """Convert a pixel centre on a level to level 0.

    Examples
    --------
    >>> to_level0(0.0, downsampling=2.0)
    0.5
    """
    return (position + 0.5) * downsampling - 0.5


def from_level0(position: Position, downsampling: float) -> Position:
    """Undo `to_level0`."""
    return (position + 0.5) / downsampling - 0.5


def working_downsampling(patch_shape: tuple[float, float]) -> int:
    """Choose how far to downsample images before a patch gets too small for the trunk.

    Parameters
    ----------
    patch_shape : (float, float)
        Height and width of the patch in level-0 pixels.

    Returns
    -------
    int
        A power of two; 1 if the patch is small already. It does not depend on which levels an image has, so that
        objects look the same in all images of a set.

    Examples
    --------
    >>> working_downsampling((200, 100))
    4
    """
    downsampling = 1
    while max(patch_shape) / (2 * downsampling) >= MIN_PATCH:
        downsampling *= 2
    return downsampling


def common_downsampling(patch_shapes: Collection[tuple[float, float]]) -> int:
    """Choose how far to downsample images for patches of several sizes that are looked at together.

    As far as the smallest patch says. Where the largest would have 192 px or more by that, which takes long, farther,
    as long as no side gets shorter than 16 px.

    Examples
    --------
    >>> common_downsampling([(40, 40), (120, 100)]), common_downsampling([(40, 40), (300, 300)])
    (1, 2)
    """
    downsampling = min(working_downsampling(shape) for shape in patch_shapes)
    largest, least = max(map(max, patch_shapes)), min(map(min, patch_shapes))
    while largest / downsampling >= 4 * MIN_PATCH and least / (2 * downsampling) >= LEAST_PATCH:
        downsampling *= 2
    return downsampling
