"""What an image to be converted looks like, whatever its format: a few facts, and regions of pixels."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from simsearch.errors import SimSearchError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

    from simsearch.core.tiles import Region
    from simsearch.io.ome_zarr.image import Selection


Stack = Literal["channels", "z", "t"]


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Which image to read of a file: small, so that workers can open it themselves."""

    path: str
    """Path of a file or folder, or URL of an OME-Zarr."""
    z: Selection = None
    """Plane, or the maximum over all; a single plane needs no choice."""
    t: Selection = None
    """Time point, or the maximum over all; a single one needs no choice."""
    series: str | None = None
    """Name or index of one of several images in the file; by default the largest at full resolution."""
    plane: int | None = None
    """One plane alone, counted from 0 over all channels, planes and time points in the order of the file."""
    stack: Stack | None = None
    """What the pages of a file are, where it does not say, or says wrong."""
    palette: Literal["meant", "drawn"] = "meant"
    """Whether a palette is what values mean, or but how they are drawn, as in plates."""

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class StackSpec:
    """An image whose channels, planes and time points lie in files of their own."""

    name: str
    """Names the image in messages: its plate, well and field."""
    channels: tuple[tuple[SourceSpec, ...], ...]
    """The files of each channel; of several, the maximum is taken."""
    channel_names: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


AnySpec = SourceSpec | StackSpec


@dataclass(frozen=True, slots=True)
class SourceMeta:
    """What is known of an image before its pixels are read."""

    shape: tuple[int, int]
    """Height and width in pixels."""
    dtype: str
    """Of the pixels that are read; not always that of the file."""
    channel_names: tuple[str, ...]
    channel_colors: tuple[str, ...] | None = None
    """6 hex digits each, where the file says."""
    pixel_size_um: tuple[float, float] | None = None
    """Height and width in micrometres, where the file says."""
    spacing: tuple[float, float] = (1.0, 1.0)
    """What a pixel measures along y and x where the file says so without a unit."""
    translation: tuple[float, float] = (0.0, 0.0)
    """Where the file puts the centre of its first pixel, in pixels."""
    in_one_piece: bool = False
    """Whether any region costs the decoding of the whole image."""
    in_strips: bool = False
    """Whether any region costs the decoding of its rows over the whole width."""
    notes: tuple[str, ...] = ()
    """What a user should know, without the name of the file: what was left out, rounded or guessed."""


class ImageSource(Protocol):
    """An open image; to be closed by who opened it."""

    @property
    def meta(self) -> SourceMeta:
        """What is known of the image."""
        ...

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read all channels of a region inside the image, as a (C, h, w) array.

        Raises
        ------
        SourceError
            If the pixels are damaged or missing.
        """
        ...

    def close(self) -> None:
        """Close the files."""
        ...


def stored_dtype(dtype: DTypeLike, path: str) -> tuple[str, tuple[str, ...]]:
    """Choose the type in which pixels are stored.

    Returns
    -------
    (str, tuple of str)
        Type, and a note if values may change.

    Raises
    ------
    SourceError
        If no type of images holds the values.

    Examples
    --------
    >>> stored_dtype(">u2", "a.tif")
    ('uint16', ())
    >>> stored_dtype("float64", "a.tif")
    ('float32', ('float64 is stored as float32',))
    """
    found = np.dtype(dtype)
    if found.kind == "b":
        return "uint8", ("black and white is stored as 0 and 255",)
    if found.kind == "f":
        notes = () if found.itemsize == 4 else (f"{found.name} is stored as float32",)
        return "float32", notes
    if found.kind in "iu" and found.itemsize <= 4:
        return found.name, ()
    raise SourceError(
        f"{path}: expected integers of up to 32 bits or floats, got {found.name}: convert the values first"
    )


def as_stored(pixels: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
    """Turn pixels of a file into the type that `stored_dtype` chose, contiguous and in native byte order."""
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8) * np.uint8(255)
    return np.ascontiguousarray(pixels, dtype=dtype)


@contextmanager
def source_errors(path: str, wanted: str) -> Iterator[None]:
    """Name the file and what was wanted of it in whatever a reader raises."""
    try:
        yield
    except SimSearchError:
        raise
    except MemoryError as error:
        raise SourceError(
            f"{path}: expected {wanted}, got more than the memory that is left: use fewer workers "
            "(--cluster local:1), or save it tiled"
        ) from error
    except Exception as error:
        raise SourceError(
            f"{path}: expected {wanted}, got {type(error).__name__}: {str(error).strip() or 'no reason given'}: "
            "the file is damaged or incomplete, fetch or export it again"
        ) from error
