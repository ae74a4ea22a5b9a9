"""Images in OME-Zarr are written in three steps: empty arrays, whole shards in any order, metadata.

The metadata comes last: what is half written has none, and no tool takes it for an image.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import zarr
from numcodecs import Blosc  # type: ignore[import-untyped]  # it has none
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_multiscales_metadata
from zarr.codecs import BloscCodec, BloscShuffle

from simsearch.core.checks.places import scheme_of
from simsearch.core.tiles import Region, tile_cores
from simsearch.errors import ConfigError, ShapeError, SimSearchError, StoreError
from simsearch.io.ome_zarr.chunks import WHOLE, WRITE_ALL, writing_all
from simsearch.io.ome_zarr.colors import RGB_NAMES
from simsearch.io.ome_zarr.pyramid import level_shapes
from simsearch.io.ome_zarr.stores import zarr_store
from simsearch.io.places import as_os_errors, way_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

OmeVersion = Literal["0.4", "0.5"]
FORMATS = {"0.4": FormatV04(), "0.5": FormatV05()}

_OPEN_ARRAYS = 256
_AXES = "cyx"
_METHODS = {"mean": "mean of 2 x 2 pixels", "nearest": "every other pixel along y and x"}
_ZSTD_LEVEL = 3  # measured: 16-bit fluorescence 1.9x smaller with shuffle, 1.6x without; RGB 2.8x either way


@dataclass(frozen=True, slots=True)
class Window:
    """The range of intensities in which a channel is drawn."""

    start: float
    end: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class ImageTemplate:
    """What an image will be, before it has pixels."""

    n_channels: int
    shape: tuple[int, int]
    """Height and width at level 0 in pixels."""
    dtype: str
    channel_names: tuple[str, ...]
    channel_colors: tuple[str, ...]
    """6 hex digits each."""
    pixel_size_um: tuple[float, float] | None = None
    """Height and width in micrometres of the pixels that `scale` and `translation` count."""
    windows: tuple[Window, ...] | None = None
    """One a channel; by default found from the smallest level."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Distance between level-0 pixels of this image along y and x, in pixels of what it was made from."""
    translation: tuple[float, float] = (0.0, 0.0)
    """Centre of its first pixel, in pixels of what it was made from."""
    chunk: int = 256
    """Side of a chunk in pixels."""
    shard: int = 2048
    """Side of a shard in pixels, a multiple of `chunk`; 0.4 has none, and is written in blocks of this size."""
    ome_version: OmeVersion = "0.5"
    n_levels: int | None = None
    """How many levels; by default until both sides are at most 512 px."""
    pyramid: Literal["mean", "nearest"] = "mean"
    """How each level is made of the one below: means of 2 x 2 pixels, or the first of them, as labels need it."""
    is_sparse: bool = False
    """Whether chunks may stay unwritten, and are 0; else one that is missing later is lost."""

    def __post_init__(self) -> None:
        check_ome_version(self.ome_version)
        sizes = (*(self.pixel_size_um or ()), *self.scale)
        if not all(math.isfinite(side) and side > 0 for side in sizes) or not all(map(math.isfinite, self.translation)):
            raise ConfigError(
                f"expected pixels of a size above 0, got {sizes} at {self.translation}: give another size"
            )
        if self.chunk < 1 or self.shard < self.chunk or self.shard % self.chunk:
            raise ConfigError(f"expected a shard that is a multiple of the chunk, got {self.shard} and {self.chunk} px")
        if len(self.channel_names) != self.n_channels or len(self.channel_colors) != self.n_channels:
            raise ConfigError(
                f"expected {self.n_channels} channel names and colours, got {len(self.channel_names)} and "
                f"{len(self.channel_colors)}"
            )

    @property
    def level_shapes(self) -> list[tuple[int, int]]:
        """Height and width of each level."""
        if self.n_levels is None:
            return level_shapes(self.shape)
        shapes = level_shapes(self.shape, smallest_px=1)
        return shapes[: self.n_levels]

    def chunks(self, level: int) -> tuple[int, int, int]:
        """Shape of a chunk of a level: no larger than the level, and one channel unless they are seen together."""
        height, width = self.level_shapes[level]
        together = self.n_channels if self.channel_names == RGB_NAMES else 1
        return together, min(self.chunk, height), min(self.chunk, width)

    def shards(self, level: int) -> tuple[int, int, int]:
        """Shape of a shard of a level: all channels, and no larger than the level in whole chunks."""
        _, *chunks = self.chunks(level)
        sides = (
            min(self.shard // self.chunk * chunk, -(-side // chunk) * chunk)
            for chunk, side in zip(chunks, self.level_shapes[level], strict=True)
        )
        height, width = sides
        return self.n_channels, height, width

    def regions(self, level: int) -> list[Region]:
        """Blocks in which a level is written: each is one shard, and may be written beside all others."""
        return list(tile_cores(self.level_shapes[level], self.shard))


def check_ome_version(version: str) -> None:
    """Refuse versions of OME-Zarr that are not written.

    Raises
    ------
    ConfigError
        If it is none of `FORMATS`.
    """
    if version in FORMATS:
        return
    why = "choose one of these"
    if version == "0.6":
        models = package_version("ome-zarr-models")
        why = f"it is read, but ome-zarr-models {models}, by which images are checked, does not know it yet"
    raise ConfigError(f"expected OME-Zarr 0.4 or 0.5 to write, got {version}: {why}")


def create_image(path: str | Path, template: ImageTemplate) -> None:
    """Create the empty arrays of all levels, without OME metadata.

    An array that is there and fits the template is kept with its pixels, so that a conversion can go on.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    location = str(path)
    with store_errors(location):
        group = zarr.open_group(**zarr_store(location), mode="a", zarr_format=FORMATS[template.ome_version].zarr_format)
        for level in range(len(template.level_shapes)):
            if not _fits(group, template, level):
                _create_level(group, template, level)


def write_region(path: str | Path, level: int, region: Region, block: NDArray[np.generic]) -> None:
    """Write a block of pixels: whole shards (0.5) or whole chunks (0.4), so that no two writers meet in a file.

    Parameters
    ----------
    path : str or Path
        The image group, made by `create_image`.
    level : int
        Level of the pyramid.
    region : Region
        Where, in pixels of the level. Starts and ends on shard borders, or at the border of the image.
    block : (C, h, w) array
        All channels.

    Raises
    ------
    ShapeError
        If the block does not fit the region, or the region does not fit the shards.
    StoreError
        If the disk is full, or the file cannot be written.
    """
    location = f"{path}/{level}"
    with store_errors(location):
        array = _writable(location)
        _check_block(array, location, region, block)
        array[(slice(None), *region.slices)] = block


def read_level(path: str | Path, level: int, region: Region, channels: slice) -> NDArray[np.generic]:
    """Read a region of an image that has no metadata yet, as a (C, h, w) array.

    Raises
    ------
    StoreError
        If the file cannot be read.
    """
    location = f"{path}/{level}"
    with store_errors(location):
        return np.asarray(_writable(location)[(channels, *region.slices)])


def finish_image(path: str | Path, template: ImageTemplate, provenance: Mapping[str, Any] | None = None) -> None:
    """Write the OME metadata: from here on the image can be opened.

    Parameters
    ----------
    path : str or Path
        The image group, with all its pixels.
    template : ImageTemplate
        As for `create_image`. Without windows, they are found from the smallest level.
    provenance : mapping, optional
        What made the image; kept as group attribute ``simsearch``.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    location = str(path)
    windows = template.windows or windows_of(template, value_ranges(location, template))
    method = {"method": _METHODS[template.pyramid]} if len(template.level_shapes) > 1 else {}
    with store_errors(location):
        group = zarr.open_group(**zarr_store(location), mode="r+")
        if provenance:
            group.attrs["simsearch"] = plain_json(provenance)
        write_multiscales_metadata(
            group,
            _datasets(template),
            fmt=FORMATS[template.ome_version],
            axes=list(_AXES),
            axes_units={"y": "micrometer", "x": "micrometer"} if template.pixel_size_um else None,
            name=Path(location).name.removesuffix(".partial").removesuffix(".zarr").removesuffix(".ome"),
            metadata={"omero": _omero(template, windows), **method},
        )


def value_ranges(path: str | Path, template: ImageTemplate) -> tuple[tuple[float, float], ...]:
    """Return the lowest and highest value of each channel at the smallest level."""
    location = f"{path}/{len(template.level_shapes) - 1}"
    with store_errors(location):
        pixels = np.asarray(zarr.open_array(**zarr_store(location), mode="r")[:])
    return tuple(_range(channel) for channel in pixels)


def windows_of(template: ImageTemplate, ranges: Sequence[tuple[float, float]]) -> tuple[Window, ...]:
    """Choose how channels are drawn: RGB as it is, others from 0 (or below) to the highest value seen."""
    dtype = np.dtype(template.dtype)
    if dtype.kind == "f":
        low, high = min(0.0, *(low for low, _ in ranges)), max(1.0, *(high for _, high in ranges))
    else:
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    if template.channel_names == RGB_NAMES:
        return (Window(low, high, low, high),) * template.n_channels
    return tuple(Window(min(0.0, seen[0]), max(seen[1], min(0.0, seen[0]) + 1e-6), low, high) for seen in ranges)


def plain_json(content: object) -> Any:  # noqa: ANN401  as nested as JSON
    """Return what JSON can hold of values: no NaN, which becomes null, and no infinity, which becomes its name.

    Examples
    --------
    >>> plain_json({"dose": [1, float("nan"), float("inf")]})
    {'dose': [1, None, 'inf']}
    """
    if isinstance(content, Mapping):
        return {str(name): plain_json(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain_json(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None if math.isnan(content) else str(content)
    return content


@contextmanager
def store_errors(location: str) -> Iterator[None]:
    """Say what to do when a disk is full or a folder cannot be written."""
    try:
        with as_os_errors() if scheme_of(location) else nullcontext():
            yield
    except OSError as error:
        if isinstance(error, SimSearchError):  # an image that cannot be read is no trouble of this folder
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space" if full else "check the path and the permissions"
        if scheme_of(location):
            remedy = way_out(error)
        raise StoreError(
            f"{location}: expected to write, got {error.strerror or error}: {remedy}, then run the same command again"
        ) from error


def _create_level(group: zarr.Group, template: ImageTemplate, level: int) -> None:
    v3 = template.ome_version == "0.5"
    group.create_array(
        str(level),
        shape=(template.n_channels, *template.level_shapes[level]),
        dtype=template.dtype,
        chunks=template.chunks(level),
        shards=template.shards(level) if v3 else None,
        compressors=BloscCodec(cname="zstd", clevel=_ZSTD_LEVEL, shuffle=BloscShuffle.shuffle)
        if v3
        else Blosc(cname="zstd", clevel=_ZSTD_LEVEL, shuffle=Blosc.SHUFFLE),
        fill_value=0,
        dimension_names=list(_AXES) if v3 else None,
        chunk_key_encoding={"name": "default" if v3 else "v2", "separator": "/"},
        attributes=None if template.is_sparse else WHOLE,
        config=None if template.is_sparse else WRITE_ALL,
        overwrite=True,
    )


def _fits(group: zarr.Group, template: ImageTemplate, level: int) -> bool:
    array = group.get(str(level))
    return (
        isinstance(array, zarr.Array)
        and array.shape == (template.n_channels, *template.level_shapes[level])
        and array.dtype == np.dtype(template.dtype)
        and array.chunks == template.chunks(level)
        and array.shards == (template.shards(level) if template.ome_version == "0.5" else None)
    )


def _check_block(array: zarr.Array[Any], location: str, region: Region, block: NDArray[np.generic]) -> None:
    if block.shape != (array.shape[0], *region.shape):
        raise ShapeError(f"{location}: expected a block of {(array.shape[0], *region.shape)}, got {block.shape}")
    _, height, width = array.shape
    if region.clipped((height, width)) != region:
        raise ShapeError(f"{location}: expected a region inside {(height, width)} px, got {region}")
    units = (array.shards or array.chunks)[1:]
    borders = zip((region.y0, region.x0), (region.y1, region.x1), units, (height, width), strict=True)
    if any(start % unit or (end % unit and end != side) for start, end, unit, side in borders):
        kind = "shards" if array.shards else "chunks"
        raise ShapeError(
            f"{location}: expected a region of whole {kind} of {units} px, got {region}: two writers in one file lose "
            "pixels; take the regions from ImageTemplate.regions"
        )


def _datasets(template: ImageTemplate) -> list[dict[str, Any]]:
    size = template.pixel_size_um or (1.0, 1.0)
    datasets = []
    for level in range(len(template.level_shapes)):
        step = [2**level * scale for scale in template.scale]
        # Where the first pixel of a level is the mean of 2 ** level pixels, its centre is theirs.
        shift = (2**level - 1) / 2 if template.pyramid == "mean" else 0.0
        first = [start + shift * scale for start, scale in zip(template.translation, template.scale, strict=True)]
        transforms: list[dict[str, Any]] = [
            {"type": "scale", "scale": [1.0, *(a * b for a, b in zip(step, size, strict=True))]},
            {"type": "translation", "translation": [0.0, *(a * b for a, b in zip(first, size, strict=True))]},
        ]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    return datasets


def _omero(template: ImageTemplate, windows: Sequence[Window]) -> dict[str, Any]:
    channels = [
        {
            "label": name,
            "color": color,
            "active": True,
            "window": {"start": window.start, "end": window.end, "min": window.min, "max": window.max},
        }
        for name, color, window in zip(template.channel_names, template.channel_colors, windows, strict=True)
    ]
    model = "color" if template.n_channels > 1 else "greyscale"
    return {"channels": channels, "rdefs": {"model": model}}


def _range(channel: NDArray[np.generic]) -> tuple[float, float]:
    finite = channel[np.isfinite(channel)] if channel.dtype.kind == "f" else channel
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _writable(location: str) -> zarr.Array[Any]:
    """Open an array, on this machine once: a store is asked each time, since it tells no time that is exact."""
    return _opened(location) if scheme_of(location) else _kept_open(location, _stamp(location))


def _stamp(location: str) -> int:
    for name in ("zarr.json", ".zarray"):
        metadata = Path(location) / name
        if metadata.exists():
            return metadata.stat().st_mtime_ns
    raise StoreError(f"{location}: expected an empty array, got nothing: call create_image first")


@lru_cache(maxsize=_OPEN_ARRAYS)
def _kept_open(location: str, stamp: int) -> zarr.Array[Any]:
    return _opened(location)


def _opened(location: str) -> zarr.Array[Any]:
    return writing_all(zarr.open_array(**zarr_store(location), mode="r+"))
