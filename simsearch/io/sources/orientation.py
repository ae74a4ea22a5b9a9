"""Images that are stored turned or mirrored: TIFF's tag 274, which JPEG and PNG carry in their EXIF data."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from simsearch.core.tiles import Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Side = TypeVar("_Side", int, float)
_FLIPPED_ROWS, _FLIPPED_COLUMNS, _TRANSPOSED = (3, 4, 6, 7), (2, 3, 7, 8), (5, 6, 7, 8)


def checked_orientation(value: object) -> tuple[int, tuple[str, ...]]:
    """Return an orientation, upright if it is none, and a note if pixels move.

    Examples
    --------
    >>> checked_orientation(6)
    (6, ('is turned or mirrored as its orientation tag (6) says',))
    >>> checked_orientation(None), checked_orientation(0), checked_orientation("x")
    ((1, ()), (1, ()), (1, ()))
    """
    if not isinstance(value, int) or not 2 <= value <= 8:
        return 1, ()
    return int(value), (f"is turned or mirrored as its orientation tag ({int(value)}) says",)


def turned_sides(sides: tuple[_Side, _Side], orientation: int) -> tuple[_Side, _Side]:
    """Return height and width (or sizes of a pixel) as they are seen; also the way back."""
    return (sides[1], sides[0]) if orientation in _TRANSPOSED else sides


def stored_region(region: Region, shape: tuple[int, int], orientation: int) -> Region:
    """Find where a region of the image that is seen is stored.

    Parameters
    ----------
    region : Region
        Of the image as it is seen.
    shape : (int, int)
        Height and width as they are stored.
    orientation : int
        1 to 8.
    """
    y0, y1, x0, x1 = region.y0, region.y1, region.x0, region.x1
    if orientation in _TRANSPOSED:
        y0, y1, x0, x1 = x0, x1, y0, y1
    if orientation in _FLIPPED_ROWS:
        y0, y1 = shape[0] - y1, shape[0] - y0
    if orientation in _FLIPPED_COLUMNS:
        x0, x1 = shape[1] - x1, shape[1] - x0
    return Region(y0, y1, x0, x1)


def turned(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn stored pixels (..., h, w) as they are to be seen."""
    if orientation in _FLIPPED_ROWS:
        pixels = pixels[..., ::-1, :]
    if orientation in _FLIPPED_COLUMNS:
        pixels = pixels[..., ::-1]
    return pixels.swapaxes(-1, -2) if orientation in _TRANSPOSED else pixels
