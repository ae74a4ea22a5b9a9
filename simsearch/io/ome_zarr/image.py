"""Images in OME-Zarr: described once, then read anywhere without parsing their metadata again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
import zarr

from simsearch.errors import ConfigError, ShapeError, SimSearchError, SourceError, StoreError
from simsearch.io.ome_zarr.chunks import check_array
from simsearch.io.ome_zarr.colors import RGB_NAMES
from simsearch.io.ome_zarr.geometry import find_geometry
from simsearch.io.ome_zarr.ngff import Multiscale, ome_attributes, parse_channels, parse_multiscale
from simsearch.io.ome_zarr.planes import find_damage, lazy_planes, read_planes
from simsearch.io.ome_zarr.stores import (
    as_location,
    check_ranges,
    image_name,
    join,
    open_array,
    open_group,
    zarr_errors,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

Selection = int | Literal["max"] | None
"""What to take of a z or t axis: one index, the maximum, or (None) the only one there is."""

_OPEN_ARRAYS = 256  # arrays that a process keeps open: a few levels of as many images as it works on


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a pyramid."""

    path: str
    """Path of the array in the group."""
    shape: tuple[int, int]
    """Height and width in pixels."""
    downsampling: tuple[float, float]
    """Level-0 pixels per pixel of this level along y and x, at least 1."""
    first: tuple[float, float] = (0.0, 0.0)
    """Centre of its first pixel along y and x, in level-0 pixels."""


@dataclass(frozen=True, slots=True)
class ImageMeta:
    """What a worker needs to know of an image to read its pixels."""

    path: str
    """Path or URL of the image group."""
    name: str
    """Folder name without ``.ome.zarr``; of an image in a plate its way down: ``PLATE/B/03/0``."""
    n_channels: int
    channel_names: tuple[str, ...]
    channel_colors: tuple[str, ...]
    """6 hex digits each."""
    dtype: str
    """Of the pixels that are read, in the byte order of this machine."""
    levels: tuple[Level, ...]
    """Largest first."""
    pixel_size_um: tuple[float, float] | None
    """Height and width of a level-0 pixel in micrometres, where known."""
    spacing: tuple[float, float]
    """Distance of level-0 pixel centres along y and x: `pixel_size_um`, or in units that nobody named."""
    origin: tuple[float, float]
    """y and x of the centre of the first level-0 pixel, in the units of `spacing`."""
    axes: str
    """Axes of the arrays in the store, out of ``tczyx``."""
    z: Selection = None
    """What is read of the z axis; 0 where there is one plane."""
    t: Selection = None
    """What is read of the t axis; 0 where there is one time point."""
    stamp: str = ""
    """Hash of the metadata of the arrays: what was written anew is not read through the metadata of the old."""
    notes: tuple[str, ...] = ()
    """What a user should know, without the name of the image: what its metadata say that is not believed."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width at level 0 in pixels."""
        return self.levels[0].shape


def is_rgb(image: ImageMeta) -> bool:
    """Tell whether the channels of an image are the colours that a camera saw, in 8 bits."""
    return image.channel_names == RGB_NAMES and image.dtype == "uint8"


def describe_image(path: str | Path, *, z: Selection = None, t: Selection = None) -> ImageMeta:
    """Read the metadata of an OME-Zarr image.

    Parameters
    ----------
    path : str or Path
        Path or URL of the image group, an image in a plate included.
    z, t : int, "max" or None
        Plane and time point, or the maximum over them. An axis of length 1 needs no choice.

    Raises
    ------
    SourceError
        If there is no such image, or its metadata make no sense.
    ConfigError
        If a z or t axis needs a choice, or the choice is out of range.
    """
    location = as_location(path)
    group = open_group(location)
    ome, version = ome_attributes(group, location)
    multiscale = parse_multiscale(ome, version, location)
    found = [_array_in(group, dataset.path, location, multiscale) for dataset in multiscale.datasets]
    check_ranges(location, found)
    multiscale, arrays, notes = _alike(multiscale, found)
    shapes = [(array.shape[-2], array.shape[-1]) for array in arrays]
    geometry = find_geometry(multiscale, shapes, location)
    lengths = dict(zip(multiscale.axes, arrays[0].shape, strict=True))
    n_channels = lengths.get("c", 1)
    names, colors = parse_channels(ome, n_channels)
    return ImageMeta(
        path=location,
        name=image_name(location),
        n_channels=n_channels,
        channel_names=names,
        channel_colors=colors,
        dtype=arrays[0].dtype.name,
        levels=tuple(
            map(Level, (each.path for each in multiscale.datasets), shapes, geometry.downsampling, geometry.first)
        ),
        pixel_size_um=geometry.pixel_size_um,
        spacing=geometry.spacing,
        origin=geometry.origin,
        axes=multiscale.axes,
        z=check_selection("z", z, lengths.get("z", 1), location),
        t=check_selection("t", t, lengths.get("t", 1), location),
        stamp=_stamp(arrays),
        notes=geometry.notes + notes,
    )


def check_selection(axis: Literal["z", "t"], selection: Selection, length: int, name: str) -> Selection:
    """Check what was chosen of an axis against its length.

    Returns
    -------
    int or "max"
        0 for an axis of length 1.

    Raises
    ------
    ConfigError
        If there is something to choose and nothing was chosen, or an index is out of range.

    Examples
    --------
    >>> check_selection("z", None, 1, "a.tif")
    0
    >>> check_selection("z", None, 5, "a")
    Traceback (most recent call last):
    simsearch.errors.ConfigError: a: expected a choice of 5 z planes, got none: add `--z INDEX` (0 to 4) or `--z max`
    """
    noun = "z planes" if axis == "z" else "time points"
    remedy = f"add `--{axis} INDEX` (0 to {length - 1}) or `--{axis} max`"
    if length == 1 and selection in (None, "max", 0):
        return 0
    if selection is None:
        raise ConfigError(f"{name}: expected a choice of {length} {noun}, got none: {remedy}")
    if selection != "max" and not 0 <= selection < length:
        raise ConfigError(f"{name}: expected one of {length} {noun}, got {axis} {selection}: {remedy}")
    return selection


def read_region(
    image: ImageMeta, level: int, region: Region, channels: Sequence[int] | None = None
) -> NDArray[np.generic]:
    """Read a region of one level.

    Parameters
    ----------
    image : ImageMeta
        The image.
    level : int
        Index into its levels.
    region : Region
        In pixels of that level, inside it.
    channels : sequence of int, optional
        Which channels, in this order; all of them by default.

    Returns
    -------
    (C, h, w) array
        Of the image's dtype.

    Raises
    ------
    ShapeError
        If the region reaches outside the level, or there is no such channel.
    StoreError
        If a chunk cannot be read or decoded.
    """
    shape = image.levels[level].shape
    if region.clipped(shape) != region:
        raise ShapeError(f"{image.name}: expected a region inside the {shape} px of level {level}, got {region}")
    wanted = range(image.n_channels) if channels is None else channels
    if not set(wanted) <= set(range(image.n_channels)):
        raise ShapeError(f"{image.name}: expected channels out of {image.n_channels}, got {list(wanted)}")
    path = join(image.path, image.levels[level].path)
    array = None
    try:
        array = _open_array(path, image.stamp)
        return read_planes(array, image, region, wanted)
    except MemoryError:
        raise
    except Exception as error:
        damaged = region if array is None else find_damage(array, image, region, wanted)
        reason = str(error) if isinstance(error, SimSearchError) else f"{type(error).__name__}: {error}"
        raise StoreError(
            f"{image.name}: expected pixels at level {level}, {damaged}, got an error ({' '.join(reason.split())}): "
            f"{image.path} is damaged or cannot be reached, convert or fetch it again"
        ) from error


def open_image(
    path: str | Path | ImageMeta, *, level: int = 0, z: Selection = None, t: Selection = None
) -> xr.DataArray:
    """Open an OME-Zarr image lazily.

    Parameters
    ----------
    path : str, Path or ImageMeta
        Path or URL of the image group, or what `describe_image` tells of it.
    level : int
        Level of the pyramid, 0 is the largest.
    z, t : int, "max" or None
        Plane and time point, or the maximum over them. An axis of length 1 needs no choice.

    Returns
    -------
    (c, y, x) xarray.DataArray
        Backed by dask. Coordinates: names of the channels; y and x of the pixel centres in micrometres, or in
        pixels of level 0 where the size of a pixel is not known (``attrs["unit"]`` says which).

    Raises
    ------
    SourceError
        If there is no such image, or it is of another version.
    ConfigError
        If there is no such level, or a z or t axis needs a choice.

    Examples
    --------
    >>> image = open_image("cells.ome.zarr")  # doctest: +SKIP
    >>> image.sel(c="DNA", y=slice(10, 20)).shape  # doctest: +SKIP
    (21, 144)
    >>> int(image.max()) > 0  # doctest: +SKIP
    True
    """
    image = path if isinstance(path, ImageMeta) else describe_image(path, z=z, t=t)
    if not 0 <= level < len(image.levels):
        raise ConfigError(f"{image.name}: expected a level from 0 to {len(image.levels) - 1}, got {level}")
    location = join(image.path, image.levels[level].path)
    y, x = (_centres(image, level, axis) for axis in (0, 1))
    return xr.DataArray(
        lazy_planes(_open_array(location, image.stamp), image),
        dims=("c", "y", "x"),
        coords={"c": list(image.channel_names), "y": y, "x": x},
        name=image.name,
        attrs={"unit": "micrometer" if image.pixel_size_um else "pixel", "path": image.path, "level": level},
    )


def _array_in(group: zarr.Group, name: str, path: str, multiscale: Multiscale) -> zarr.Array[Any]:
    with zarr_errors(path, f"an array at {name!r}"):
        array = group.get(name)
        if not isinstance(array, zarr.Array):
            got = "nothing" if array is None else "a group"
            raise SourceError(f"{path}: expected an array at {name!r}, got {got}: write the image again")
        check_array(array, multiscale.axes, path)
    return array


def _alike(
    multiscale: Multiscale, arrays: Sequence[zarr.Array[Any]]
) -> tuple[Multiscale, Sequence[zarr.Array[Any]], tuple[str, ...]]:
    """Leave out levels whose planes or values are not those of level 0, and tell so."""
    first = arrays[0]
    kept = [
        i
        for i, each in enumerate(arrays)
        if each.shape[:-2] == first.shape[:-2] and each.dtype.newbyteorder("=") == first.dtype.newbyteorder("=")
    ]
    if len(kept) == len(arrays):
        return multiscale, arrays, ()
    datasets = tuple(multiscale.datasets[i] for i in kept)
    notes = (f"{len(arrays) - len(kept)} levels are left out: they have other planes or values than level 0",)
    return replace(multiscale, datasets=datasets), [arrays[i] for i in kept], notes


def _centres(image: ImageMeta, level: int, axis: int) -> NDArray[np.floating]:
    found = image.levels[level]
    pixels = found.first[axis] + np.arange(found.shape[axis]) * found.downsampling[axis]
    return image.origin[axis] + pixels * image.spacing[axis]


def _stamp(arrays: Sequence[zarr.Array[Any]]) -> str:
    return hashlib.sha256(repr([array.metadata.to_dict() for array in arrays]).encode()).hexdigest()[:16]


@lru_cache(maxsize=_OPEN_ARRAYS)
def _open_array(path: str, stamp: str) -> zarr.Array[Any]:
    return open_array(path)
