"""What OME-XML tells of an image in a TIFF file; what it tells wrong costs a note, never the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from simsearch.core.pixel_size import believable_pixel_size

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

Size = tuple[float, float]
_UNIT = "\u00b5m"  # the schema's default


def ome_size(tiff: TiffFile, series: TiffPageSeries) -> tuple[Size | None, tuple[str, ...]]:
    """Height and width of a pixel in micrometres, and a note if what the file says is not believed."""
    pixels = _pixels(tiff, series)
    sides = [None if pixels is None else pixels.get(f"PhysicalSize{axis}") for axis in "YX"]
    if pixels is None or sides == [None, None]:
        return None, ()
    # Of square pixels some write but one side.
    height, width = sides[0] if sides[0] is not None else sides[1], sides[1] if sides[1] is not None else sides[0]
    units = [pixels.get(f"PhysicalSize{axis}Unit", _UNIT) for axis in "YX"]
    size, note = believable_pixel_size((height, width), (units[0], units[1]))
    return size, (note,) if note else ()


def ome_channels(tiff: TiffFile, series: TiffPageSeries) -> tuple[list[str | None], list[str | None], tuple[str, ...]]:
    """Names and colours of the channels, as far as the file has them, and a note of colours that are none."""
    pixels = _pixels(tiff, series)
    channels = [] if pixels is None else pixels.findall("{*}Channel")
    names = [" ".join((channel.get("Name") or "").split()) or None for channel in channels]
    stated = [channel.get("Color") for channel in channels]
    colors = [_color(each) for each in stated]
    wrong = next((each for each, color in zip(stated, colors, strict=True) if each is not None and color is None), None)
    notes = () if wrong is None else (f"the colour {wrong[:20]!r} of a channel is none, and is left out",)
    return names, colors, notes


def _pixels(tiff: TiffFile, series: TiffPageSeries) -> ElementTree.Element | None:
    root = ElementTree.fromstring(tiff.ome_metadata or "<OME/>")
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


def _color(value: str | None) -> str | None:
    # A signed 32-bit integer: red, green, blue, alpha.
    try:
        return None if value is None else f"{int(value) & 0xFFFFFFFF:08X}"[:6]
    except ValueError:
        return None
