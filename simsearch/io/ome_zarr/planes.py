"""Pixels out of arrays of any axes: planes are picked, or projected a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import dask.array as da
import numpy as np

from simsearch.core.tiles import Region
from simsearch.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zarr
    from numpy.typing import NDArray

    from simsearch.io.ome_zarr.image import ImageMeta

_PROJECTION_BYTES = 256 * 2**20  # of planes that are in memory at a time
_LAZY_CHUNK_PX = 1024  # fewer, larger chunks than the store has keep dask graphs small


def read_planes(
    array: zarr.Array[Any], image: ImageMeta, region: Region, channels: Sequence[int]
) -> NDArray[np.generic]:
    """Read a (C, h, w) region of a level of an image; of a projection a few planes at a time."""
    axes = image.axes[:-2]
    highest = None
    for z in _steps(array, image, region, len(channels), "z"):
        for t in _steps(array, image, region, len(channels), "t"):
            picks: dict[str, Any] = {"z": z, "t": t, "c": _channel_index(channels)}
            block = np.asarray(array.oindex[(*(picks[axis] for axis in axes), *region.slices)])
            block = block.astype(block.dtype.newbyteorder("="), copy=False)
            kept = [axis for axis in axes if isinstance(picks[axis], slice | list)]
            block = block.max(axis=tuple(i for i, axis in enumerate(kept) if axis != "c")) if kept else block
            highest = block if highest is None else np.maximum(highest, block)
    if highest is None:
        raise ShapeError(f"{image.name}: expected planes, got none")
    return highest if "c" in axes else highest[np.newaxis]


def lazy_planes(array: zarr.Array[Any], image: ImageMeta) -> Any:  # noqa: ANN401  dask has no types
    """Return a (C, H, W) dask array of a level of an image."""
    chunks = tuple(1 if axis not in "yx" else _LAZY_CHUNK_PX for axis in image.axes)
    lazy = da.from_array(array, chunks=chunks, name=f"{image.path}/{array.path}-{uuid4()}").astype(image.dtype)
    axes = list(image.axes)
    for axis, selection in (("t", image.t), ("z", image.z)):
        if axis in axes:
            at = axes.index(axis)
            lazy = lazy.max(axis=at) if selection == "max" else da.take(lazy, selection, axis=at)
            axes.remove(axis)
    return lazy if "c" in axes else lazy[np.newaxis]


def find_damage(array: zarr.Array[Any], image: ImageMeta, region: Region, channels: Sequence[int]) -> Region:
    """Find the first chunk in a region that cannot be read; the region if all can."""
    height, width = array.chunks[-2:]
    for y in range(region.y0 // height * height, region.y1, height):
        for x in range(region.x0 // width * width, region.x1, width):
            y0, x0 = max(y, region.y0), max(x, region.x0)
            chunk = Region(y0, min(y + height, region.y1), x0, min(x + width, region.x1))
            try:
                read_planes(array, image, chunk, channels)
            except Exception:  # noqa: BLE001  what it is, the caller tells
                return chunk
    return region


def _steps(
    array: zarr.Array[Any], image: ImageMeta, region: Region, n_channels: int, axis: Literal["z", "t"]
) -> list[int | slice]:
    """Divide an axis into what is read at a time: one plane, or for a maximum as many as take a bounded memory."""
    selection = image.z if axis == "z" else image.t
    if axis not in image.axes or isinstance(selection, int):
        return [0 if selection == "max" or selection is None else selection]
    at = image.axes.index(axis)
    plane_bytes = max(1, region.shape[0] * region.shape[1] * n_channels * array.dtype.itemsize)
    chunk, both = array.chunks[at], image.z == image.t == "max"
    step = 1 if both and axis == "t" else max(1, _PROJECTION_BYTES // plane_bytes // chunk) * chunk
    return [slice(start, min(start + step, array.shape[at])) for start in range(0, array.shape[at], step)]


def _channel_index(channels: Sequence[int]) -> slice | list[int]:
    # Neighbours as a slice: zarr reads those several times faster than a list.
    first, n = channels[0], len(channels)
    return slice(first, first + n) if list(channels) == list(range(first, first + n)) else list(channels)
