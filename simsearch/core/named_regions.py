"""Parts of images that people have outlined and named, to run and count in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region


@dataclass(frozen=True, slots=True)
class NamedRegion:
    """A part of an image with a name."""

    image: str
    """Name of the image."""
    name: str
    """Unique in its image."""
    corners: tuple[tuple[float, float], ...]
    """y and x of each in level-0 pixel centres, in order, at least three; the last is joined to the first."""

    def __str__(self) -> str:
        return f"{self.name} in {self.image}"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Top, left, bottom and right of what surrounds it."""
        ys, xs = zip(*self.corners, strict=True)
        return min(ys), min(xs), max(ys), max(xs)

    @property
    def area(self) -> float:
        """How many pixels large it is.

        Examples
        --------
        >>> rectangle("a", "left", (-0.5, -0.5, 9.5, 4.5)).area
        50.0
        """
        y, x = np.array(self.corners).T
        return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2

    def contains(self, y: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tell for (N,) places in level-0 pixel centres whether they lie inside.

        Examples
        --------
        >>> triangle = NamedRegion("a", "corner", ((0, 0), (0, 10), (10, 0)))
        >>> triangle.contains(np.array([1.0, 9.0, -1.0]), np.array([1.0, 9.0, 1.0])).tolist()
        [True, False, False]
        """
        is_inside = np.zeros(len(y), bool)
        for (y0, x0), (y1, x1) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            if y0 != y1:  # a ray to the right crosses the outline an odd number of times
                is_between = (y0 <= y) != (y1 <= y)
                is_inside ^= is_between & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        return is_inside

    def touches(self, region: Region) -> bool:
        """Tell whether what surrounds it has pixels of a region of level-0 pixels."""
        top, left, bottom, right = self.bounds
        is_beside = region.y1 - 0.5 <= top or region.y0 - 0.5 >= bottom
        return not (is_beside or region.x1 - 0.5 <= left or region.x0 - 0.5 >= right)


def rectangle(image: str, name: str, bounds: tuple[float, float, float, float]) -> NamedRegion:
    """Outline what lies between top, left, bottom and right, in level-0 pixel centres."""
    top, left, bottom, right = bounds
    return NamedRegion(image, name, ((top, left), (top, right), (bottom, right), (bottom, left)))


def are_in_any(regions: Iterable[NamedRegion], y: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell for (N,) places of an image whether they lie in one of its regions."""
    is_in = np.zeros(len(y), bool)
    for region in regions:
        is_in |= region.contains(y, x)
    return is_in
