"""What TIFF files tell of channels and pixel sizes, each kind in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from tifffile import RESUNIT, TiffFile, TiffPage, TiffPageSeries

from simsearch.io.sources.resolution import plausible

if TYPE_CHECKING:
    from collections.abc import Sequence

_MICROMETERS = {
    **dict.fromkeys(("micron", "microns", "micrometer", "um", "\u00b5m", "\u03bcm", r"\u00B5m", r"\u00b5m"), 1.0),
    **dict.fromkeys(("nm", "nanometer"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
    **dict.fromkeys(("cm", "centimeter"), 1e4),
    **dict.fromkeys(("in", "inch"), 25400.0),
    "m": 1e6,
}
_RESOLUTION_UNITS = {RESUNIT.INCH: 25400.0, RESUNIT.CENTIMETER: 1e4, RESUNIT.MILLIMETER: 1e3, RESUNIT.MICROMETER: 1.0}

Size = tuple[float, float]


def pixel_size(tiff: TiffFile, series: TiffPageSeries) -> tuple[Size | None, tuple[str, ...]]:
    """Height and width of a pixel in micrometres, and a note if what the file says is not believed."""
    if tiff.is_ome:
        return _ome_size(tiff, series), ()
    page = series.keyframe
    per_unit = [_ratio(page, name) for name in ("YResolution", "XResolution")]
    if tiff.is_imagej:
        unit = _MICROMETERS.get(str((tiff.imagej_metadata or {}).get("unit", "")).strip())
    else:
        tag = page.tags.get("ResolutionUnit")
        unit = _RESOLUTION_UNITS.get(tag.value) if tag else None
    if unit is None or not per_unit[0] or not per_unit[1]:
        return None, ()
    return plausible((unit / per_unit[0], unit / per_unit[1]))


def channel_names_and_colors(
    tiff: TiffFile, series: TiffPageSeries, n_channels: int
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Names of the channels, and their colours if the file tells those of all."""
    names: Sequence[str | None] = ()
    colors: Sequence[str | None] = ()
    if tiff.is_ome:
        names, colors = _ome_channels(tiff, series)
    elif tiff.is_imagej:
        names, colors = _imagej_channels(tiff, n_channels)
    elif tiff.is_qpi:
        names = [_qpi_name(page.aspage()) for page in series.pages if page is not None]
    if len(names) != n_channels:
        names = [None] * n_channels
    default = "Intensity" if n_channels == 1 else "Channel {}"
    told = tuple(name or default.format(i) for i, name in enumerate(names, start=1))
    complete = tuple(color for color in colors if color)
    return told, complete if len(complete) == n_channels else None


def _ratio(page: TiffPage, name: str) -> float | None:
    tag = page.tags.get(name)
    if tag is None or not isinstance(tag.value, tuple) or not tag.value[1]:
        return None
    return float(tag.value[0] / tag.value[1])


def _ome_pixels(tiff: TiffFile, series: TiffPageSeries) -> ElementTree.Element | None:
    try:
        root = ElementTree.fromstring(tiff.ome_metadata or "")
    except ElementTree.ParseError:
        return None
    # tifffile leaves out images without pages, so that their numbers are not those of its series.
    images = iter(root.findall("{*}Image"))
    for each in tiff.series:
        pixels = next((found for image in images if (found := _pixels_of(image, each)) is not None), None)
        if each is series:
            return pixels
    return None


def _pixels_of(image: ElementTree.Element, series: TiffPageSeries) -> ElementTree.Element | None:
    pixels = image.find("{*}Pixels")
    if pixels is None or (image.get("Name") or "") != series.name:
        return None
    sides = [str(series.shape[series.axes.index(axis)]) for axis in "YX"]
    return pixels if [pixels.get("SizeY"), pixels.get("SizeX")] == sides else None


def _ome_size(tiff: TiffFile, series: TiffPageSeries) -> Size | None:
    pixels = _ome_pixels(tiff, series)
    if pixels is None:
        return None
    sizes = [
        float(pixels.get(f"PhysicalSize{axis}", 0)) * _MICROMETERS.get(pixels.get(f"PhysicalSize{axis}Unit", "um"), 0.0)
        for axis in "YX"
    ]
    return (sizes[0], sizes[1]) if all(size > 0 for size in sizes) else None


def _ome_channels(tiff: TiffFile, series: TiffPageSeries) -> tuple[list[str | None], list[str | None]]:
    pixels = _ome_pixels(tiff, series)
    channels = [] if pixels is None else pixels.findall("{*}Channel")
    return [channel.get("Name") for channel in channels], [_ome_color(channel.get("Color")) for channel in channels]


def _ome_color(value: str | None) -> str | None:
    # A signed 32-bit integer: red, green, blue, alpha.
    return None if value is None else f"{int(value) & 0xFFFFFFFF:08X}"[:6]


def _imagej_channels(tiff: TiffFile, n_channels: int) -> tuple[list[str], list[str]]:
    stored: dict[str, Any] = tiff.imagej_metadata or {}
    labels = stored.get("Labels") or []
    # One label a slice: they name channels only where slices are channels.
    names = [str(label) for label in labels] if len(labels) == n_channels > 1 else []
    tables = [np.asarray(table) for table in stored.get("LUTs") or []]
    return names, ["".join(f"{int(value):02X}" for value in table[:, -1]) for table in tables if table.ndim == 2]


def _qpi_name(page: TiffPage) -> str | None:
    try:
        return ElementTree.fromstring(page.description).findtext("Name")
    except (ElementTree.ParseError, ValueError):
        return None
