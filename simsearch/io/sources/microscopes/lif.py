"""Leica's LIF through liffile: memory blocks that are mapped, and XML that says how they are laid out."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.pixel_size import believable_pixel_size
from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_NAMES
from simsearch.io.sources.microscopes.container import SeriesFacts, library
from simsearch.io.sources.series import SeriesInfo

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

_AXES = {1: "x", 2: "y", 3: "z", 4: "t", 10: "m"}  # Leica's numbers of axes; m is the tile of a scan that is not merged
_RGB_TAGS = (1, 2, 3)
_COLORS = {
    "red": "FF0000",
    "green": "00FF00",
    "blue": "0000FF",
    "cyan": "00FFFF",
    "magenta": "FF00FF",
    "yellow": "FFFF00",
    "gray": "FFFFFF",
    "grey": "FFFFFF",
}


@dataclass(frozen=True, slots=True)
class _Axis:
    length: int
    step_bytes: int
    pixel: float | None
    """Distance of neighbours."""
    unit: str


@dataclass(frozen=True, slots=True)
class _Channel:
    dtype: np.dtype[Any]
    offset_bytes: int
    name: str
    color: str | None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the pixels of an image are in its memory block."""

    axes: dict[str, _Axis]
    rows: str
    """The axis that runs down: y, but z or t of a scan that has its lines along them."""
    planes: str | None
    channels: tuple[_Channel, ...]

    def length(self, axis: str | None) -> int:
        return self.axes[axis].length if axis in self.axes else 1

    def step_bytes(self, axis: str | None) -> int:
        return self.axes[axis].step_bytes if axis in self.axes else 0


class LifContainer:
    """A LIF file."""

    def __init__(self, path: str) -> None:
        liffile = library("liffile", path)
        _check_header(path)
        self._path = path
        self._file = liffile.LifFile(path)
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        # Lifetimes (FLIM) are photons, not pixels.
        images = [image for image in self._file.images if not image.is_flim]
        self._tiles, self._left_out = _tiles(images)
        if not self._tiles:
            reason = next(iter(self._left_out), "it has no intensities")
            raise SourceError(f"{self._path}: expected an image, got none: {reason}")
        self.series = [
            SeriesInfo(_name(image.path, layout.length("m"), tile), (layout.length(layout.rows), layout.length("x")))
            for image, layout, tile in self._tiles
        ]

    def describe(self, index: int) -> SeriesFacts:
        """Tell what is known of an image."""
        _, layout, tile = self._tiles[index]
        rows, columns = layout.axes.get(layout.rows), layout.axes["x"]
        size, doubt = None, None
        if rows is not None and layout.rows != "t" and rows.pixel and columns.pixel:
            size, doubt = believable_pixel_size((rows.pixel, columns.pixel), (rows.unit, columns.unit))
        notes = [doubt, *self._left_out]
        if layout.rows != "y":
            notes.append(f"its rows run along {layout.rows}, as it was scanned")
        if layout.length("m") > 1:
            notes.append(f"is tile {tile + 1} of {layout.length('m')} of a scan that is not merged: merge it in LAS X")
        return SeriesFacts(
            dtype=np.result_type(*(channel.dtype for channel in layout.channels)),
            channel_names=tuple(channel.name for channel in layout.channels),
            channel_colors=tuple(channel.color for channel in layout.channels),
            pixel_size_um=size,
            n_planes=layout.length(layout.planes),
            n_times=1 if layout.rows == "t" else layout.length("t"),
            notes=tuple(notes),
        )

    def read(self, index: int, region: Region, z: int, t: int) -> NDArray[np.generic]:
        """Read from the memory map."""
        image, layout, tile = self._tiles[index]
        block = image.memory_block
        mapped = np.memmap(self._path, mode="r", offset=block.offset, shape=(block.size,), dtype=np.uint8)
        start = tile * layout.step_bytes("m") + z * layout.step_bytes(layout.planes)
        start += t * layout.step_bytes("t") if layout.rows != "t" else 0
        shape = layout.length(layout.rows), layout.length("x")
        strides = layout.step_bytes(layout.rows), layout.step_bytes("x")
        # NumPy checks that all of it lies in the block.
        planes = [
            np.ndarray(shape, channel.dtype, mapped, start + channel.offset_bytes, strides)[region.slices]
            for channel in layout.channels
        ]
        return np.stack(planes)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _check_header(path: str) -> None:
    with Path(path).open("rb") as file:
        head = file.read(13)
    (n_characters,) = struct.unpack("<I", head[9:])
    size = Path(path).stat().st_size
    if 2 * n_characters > size:
        raise SourceError(
            f"{path}: expected at least {2 * n_characters} bytes, got {size}: the file is cut off, fetch it again"
        )


def _tiles(images: list[Any]) -> tuple[list[tuple[Any, _Layout, int]], list[str]]:
    tiles, left_out = [], []
    for image in images:
        try:
            layout = _layout(image.xml_element)
            _check_extent(layout, image.memory_block.size)
        except ValueError as error:
            left_out.append(f"{image.path} is left out: {error}")
        else:
            tiles += [(image, layout, tile) for tile in range(layout.length("m"))]
    return tiles, left_out


def _check_extent(layout: _Layout, n_bytes: int) -> None:
    if any(axis.length > 1 and axis.step_bytes < 1 for axis in layout.axes.values()):
        raise ValueError("expected axes that go on, got one whose pixels are all the same")
    last = sum((axis.length - 1) * axis.step_bytes for axis in layout.axes.values())
    end = max(last + channel.offset_bytes + channel.dtype.itemsize for channel in layout.channels)
    if end > n_bytes:
        raise ValueError(f"expected {end} bytes of pixels, got {n_bytes}")


def _name(path: str, n_tiles: int, tile: int) -> str:
    return path if n_tiles == 1 else f"{path} tile {tile + 1}"


def _layout(element: Element) -> _Layout:
    description = "./Data/Image/ImageDescription"
    axes = _axes(element.findall(f"{description}/Dimensions/DimensionDescription"))
    channels = _channels(element.findall(f"{description}/Channels/ChannelDescription"))
    # A scan along x and z has its lines along z: its frames are what the microscope showed.
    scanned = sorted((axis for axis in "yzt" if axis in axes), key=lambda axis: axes[axis].step_bytes)
    rows = scanned[0] if scanned else "y"
    planes = [axis for axis in "yz" if axis in scanned[1:]]
    if len(planes) > 1:
        raise ValueError(f"expected a scan of planes, got one of axes x, {', '.join(scanned)}")
    return _Layout(axes, rows, planes[0] if planes else None, channels)


def _axes(elements: list[Element]) -> dict[str, _Axis]:
    axes: dict[str, _Axis] = {}
    for element in elements:
        number, length = int(element.attrib["DimID"]), int(element.attrib["NumberOfElements"])
        name = _AXES.get(number)
        if length < 1 or int(element.attrib["BytesInc"]) < 0 or name in axes:
            raise ValueError(f"expected axes of one pixel or more, got {length} along axis {number}")
        if name is None and length > 1:
            raise ValueError(f"expected x, y, z, t and tiles, got {length} steps along Leica's axis {number}")
        if name is not None and (length > 1 or name in "xy"):
            extent = abs(float(element.attrib["Length"]))  # from the first pixel's centre to the last one's
            pixel = extent / (length - 1) if length > 1 else None
            axes[name] = _Axis(length, int(element.attrib["BytesInc"]), pixel, element.attrib.get("Unit", ""))
    if "x" not in axes:
        raise ValueError("expected an image with an axis x, got none")
    return axes


def _channels(elements: list[Element]) -> tuple[_Channel, ...]:
    if not elements:
        raise ValueError("expected channels, got none")
    tags = [int(element.get("ChannelTag", 0)) for element in elements]
    if tuple(sorted(tags)) == _RGB_TAGS:
        elements = [element for _, element in sorted(zip(tags, elements, strict=True), key=lambda pair: pair[0])]
        return tuple(
            _Channel(_dtype(each), int(each.attrib["BytesInc"]), name, None)
            for name, each in zip(RGB_NAMES, elements, strict=True)
        )
    return tuple(
        _Channel(_dtype(each), int(each.attrib["BytesInc"]), _channel_name(each), _color(each.get("LUTName", "")))
        for each in elements
    )


def _dtype(element: Element) -> np.dtype[Any]:
    bits, kind = int(element.attrib["Resolution"]), "uf"[int(element.attrib["DataType"])]
    n_bytes = next(n for n in (1, 2, 4, 8) if bits <= 8 * n)
    return np.dtype(f"<{kind}{n_bytes}")


def _channel_name(element: Element) -> str:
    told = {each.findtext("Key"): each.findtext("Value") or "" for each in element.findall("ChannelProperty")}
    return told.get("DyeName") or element.get("NameOfMeasuredQuantity") or ""


def _color(lut: str) -> str | None:
    digits = re.fullmatch(r"#?([0-9A-Fa-f]{6})", lut.strip())
    return digits[1].upper() if digits else _COLORS.get(lut.strip().lower())
