"""Outlines of segmented areas."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from contourpy import FillType, contour_generator
from shapely import Polygon, affinity, make_valid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def outline(mask: NDArray[np.bool_], downsampling: int, tolerance: float) -> Iterator[Polygon]:
    """Outline the areas of a mask, holes included.

    Parameters
    ----------
    mask : (H, W) bool array
        An overview of an image.
    downsampling : int
        Level-0 pixels per pixel of it.
    tolerance : float
        Lines are simplified as long as no point moves farther, in pixels of the mask.

    Yields
    ------
    shapely.Polygon
        Valid, x before y, in level-0 pixels whose edges are at whole numbers: the first reaches from 0 to 1.
    """
    height, width = mask.shape
    padded = np.pad(mask, 1).astype(np.float32)
    x, y = np.arange(-1, width + 1) + 0.5, np.arange(-1, height + 1) + 0.5
    areas = contour_generator(x, y, padded, fill_type=FillType.OuterOffset).filled(0.5, 2.0)
    for points, offsets in zip(*areas, strict=True):
        rings = [points[start:stop] for start, stop in pairwise(offsets)]
        simple = Polygon(rings[0], rings[1:]).simplify(tolerance, preserve_topology=True)
        for polygon in _polygons(make_valid(simple)):
            yield affinity.scale(polygon, downsampling, downsampling, origin=(0, 0))


def _polygons(geometry: object) -> list[Polygon]:
    """Take the areas of what a repair left: it may leave lines too."""
    if isinstance(geometry, Polygon):
        return [geometry] if geometry.area else []
    parts = getattr(geometry, "geoms", ())
    return [polygon for part in parts for polygon in _polygons(part)] if parts else []
