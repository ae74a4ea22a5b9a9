"""Label images, of which each value above 0 is an object, or a class: TIFF, PNG, and labels of OME-Zarr."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL.PngImagePlugin import PngImageFile
from scipy import ndimage
from tifffile import TiffFile

from simsearch.core.tiles import Region as Tile
from simsearch.core.tiles import tile_cores
from simsearch.errors import AnnotationError, SimSearchError, SourceError
from simsearch.io.annotations.regions import Bounds, Found, Region
from simsearch.io.ome_zarr.image import describe_image, read_region
from simsearch.io.ome_zarr.ngff import ome_attributes
from simsearch.io.ome_zarr.stores import is_group_folder, open_group
from simsearch.io.places import in_store, read_at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x89PNG")
"""What files of pixels begin with."""

_TILE = 2048
_MOST_BYTES = 2**30  # decoded in one piece
_MOST_PARTS_PX = 2**28  # in which connected parts are looked for; they need four bytes for each
_MOST_REGIONS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Labels:
    shape: tuple[int, int]
    read: Callable[[Tile], NDArray[Any]]
    names: Mapping[int, str] = field(default_factory=dict)
    """Classes of values, where the metadata say them."""
    colors: Mapping[int, str] = field(default_factory=dict)


def read_labels(path: Path, shape: tuple[int, int]) -> Found:
    """Read what surrounds each object of a label image.

    Each value is an object; but where there is one value only, or metadata name the classes of values, each connected
    part of a value is.

    Parameters
    ----------
    path : Path
        TIFF or PNG with one value for each pixel, as it stands in the file and not as it is displayed; or OME-Zarr.
    shape : (int, int)
        Height and width of the image that it is about.

    Raises
    ------
    SourceError
        If it cannot be read.
    AnnotationError
        If it is no label image, or not of this shape.
    """
    try:
        labels = _opened(path)
        if labels.shape != shape:
            raise AnnotationError(
                f"{path}: expected labels of {shape[0]} x {shape[1]} px, as the image has, got {labels.shape[0]} x "
                f"{labels.shape[1]}: name the labels of the image, at its full size"
            )
        found = _bounds_of_values(labels)
        if len(found) == 1 or labels.names:
            return [each for value in sorted(found) for each in _parts(labels, value, found[value])]
    except SimSearchError as error:
        raise type(error)(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    return [(f"label {value}", Region(bounds)) for value, bounds in sorted(found.items())]


def _opened(path: Path) -> _Labels:
    if path.is_dir() or is_group_folder(path):
        return _zarr_labels(path)
    try:
        with _file(path) as file:
            is_png = file.read(4) == b"\x89PNG"
            file.seek(0)
            pixels = _png(file, path) if is_png else _tiff(file, path)
    except SimSearchError:
        raise
    except Exception as error:  # whatever the libraries raise for a damaged file
        raise SourceError(
            f"{path}: expected a label image, got {type(error).__name__}: {error}: save it anew"
        ) from error
    if pixels.ndim != 2 or pixels.dtype.kind not in "biuf":
        raise AnnotationError(
            f"{path}: expected one number for each pixel, got {pixels.dtype} of shape {pixels.shape}: save the labels, "
            "and not a picture of them"
        )
    return _Labels((pixels.shape[0], pixels.shape[1]), lambda tile: pixels[tile.slices])


def _file(path: Path) -> BinaryIO:
    # Of a server that sends files in one piece only, no part can be read.
    return io.BytesIO(read_at_most(path, _MOST_BYTES)) if in_store(path) else path.open("rb")


def _png(file: BinaryIO, path: Path) -> NDArray[Any]:
    # Not Image.open, which warns of what is large. A palette's codes are the labels.
    with PngImageFile(file) as image:
        _check_bytes(path, image.width * image.height * 4)
        return np.asarray(image)


def _tiff(file: BinaryIO, path: Path) -> NDArray[Any]:
    with TiffFile(file) as tiff:
        series = tiff.series[0]
        _check_bytes(path, series.size * series.dtype.itemsize)
        pixels: NDArray[Any] = series.asarray().squeeze()
        return pixels


def _check_bytes(path: Path, n_bytes: int) -> None:
    if n_bytes > _MOST_BYTES:
        raise AnnotationError(
            f"{path}: expected labels of at most {_MOST_BYTES // 2**20} MiB, got {n_bytes // 2**20} MiB: `simsearch "
            "convert` them and name the OME-Zarr"
        )


def _zarr_labels(path: Path) -> _Labels:
    path = _labels_within(path)
    image = describe_image(path)
    if image.n_channels != 1:
        raise AnnotationError(
            f"{path}: expected one number for each pixel, got {image.n_channels} channels: name labels"
        )
    label: Any = ome_attributes(open_group(str(path)), str(path))[0].get("image-label")
    label = label if isinstance(label, dict) else {}
    names = {
        value: each["class"] for value, each in _by_value(label.get("properties")) if isinstance(each.get("class"), str)
    }
    colors = {value: _hex(each.get("rgba")) for value, each in _by_value(label.get("colors"))}
    known = {value: color for value, color in colors.items() if color}
    return _Labels(image.shape, lambda tile: read_region(image, 0, tile)[0], names, known)


def _labels_within(path: Path) -> Path:
    """Find the labels of an image; a group that has none is what is meant itself."""
    if not (path / "labels").is_dir():
        return path
    names = sorted(each.name for each in (path / "labels").iterdir() if each.is_dir())
    if len(names) != 1:
        raise AnnotationError(
            f"{path}: expected one label image, got {', '.join(names) or 'none'}: name one of {path}/labels"
        )
    return path / "labels" / names[0]


def _by_value(content: object) -> Iterator[tuple[int, dict[str, Any]]]:
    for each in content if isinstance(content, list) else []:
        if isinstance(each, dict) and isinstance(each.get("label-value"), int):
            yield each["label-value"], each


def _hex(rgba: object) -> str | None:
    is_color = (
        isinstance(rgba, list) and len(rgba) >= 3 and all(type(each) is int and 0 <= each < 256 for each in rgba[:3])
    )
    return f"#{bytes(rgba[:3]).hex()}" if is_color and isinstance(rgba, list) else None


def _bounds_of_values(labels: _Labels) -> dict[int, Bounds]:
    """Surround the pixels of each value above 0, tile by tile."""
    found: dict[int, Bounds] = {}
    for tile in tile_cores(labels.shape, _TILE):
        values, numbers = _numbered(_whole(labels.read(tile)))
        for value, place in zip(values, ndimage.find_objects(numbers, len(values)), strict=True):
            if value > 0 and place is not None:
                here = _bounds(place, tile.y0, tile.x0)
                found[int(value)] = _around(found.get(int(value), here), here)
        if len(found) > _MOST_REGIONS:
            raise AnnotationError(f"expected labels of at most {_MOST_REGIONS} objects, got more: name a label image")
    return found


def _numbered(pixels: NDArray[Any]) -> tuple[Sequence[int], NDArray[Any]]:
    """Give each value a number from 1 on, and numbers between them to values that no pixel has."""
    low, high = int(pixels.min()), int(pixels.max())
    if (
        high < 2**62 and high - low < pixels.size
    ):  # as objects are numbered, and sorting the pixels of a slide takes minutes
        return range(low, high + 1), pixels.astype(np.int64) - (low - 1)
    values, numbers = np.unique(pixels, return_inverse=True)
    return values.tolist(), numbers.reshape(pixels.shape) + 1


def _parts(labels: _Labels, value: int, bounds: Bounds) -> Iterator[tuple[str, Region]]:
    """Surround each connected part of a value."""
    window = Tile(int(bounds.top), int(bounds.bottom), int(bounds.left), int(bounds.right))
    if window.shape[0] * window.shape[1] > _MOST_PARTS_PX:
        raise AnnotationError(
            f"expected at most {_MOST_PARTS_PX} px in which to tell objects of a class apart, got {window.shape[0]} x "
            f"{window.shape[1]}: give each object its own value"
        )
    parts, n_parts = ndimage.label(labels.read(window) == value, np.ones((3, 3)))
    if n_parts > _MOST_REGIONS:
        raise AnnotationError(f"expected labels of at most {_MOST_REGIONS} objects, got {n_parts}: name a label image")
    name, color = labels.names.get(value), labels.colors.get(value)
    for number, place in enumerate(ndimage.find_objects(parts), 1):
        yield f"label {value}, part {number}", Region(_bounds(place, window.y0, window.x0), name, color)


def _whole(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype.kind == "f" and not (np.isfinite(pixels) & (pixels == np.floor(pixels))).all():
        raise AnnotationError("expected whole numbers, got others: name a label image")
    return pixels


def _bounds(place: tuple[slice, slice], y: int, x: int) -> Bounds:
    rows, columns = place
    return Bounds(y + rows.start, x + columns.start, y + rows.stop, x + columns.stop)


def _around(a: Bounds, b: Bounds) -> Bounds:
    return Bounds(min(a.top, b.top), min(a.left, b.left), max(a.bottom, b.bottom), max(a.right, b.right))
