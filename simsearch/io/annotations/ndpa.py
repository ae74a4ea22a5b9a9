"""Hamamatsu's NDPA: views with annotations, in nanometres from the centre of the slide of glass."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import openslide

from simsearch.errors import AnnotationError, SourceError
from simsearch.io.annotations.regions import Found, Region, bounds_of, number, shortened
from simsearch.io.tables.curation import read_each

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

_COLOR = re.compile(r"#[0-9a-f]{6}")
_TOOLS = {"pointer": "arrows", "linearmeasure": "measurements", "angle": "measurements"}


@dataclass(frozen=True, slots=True)
class SlideFrame:
    """Where an image lies on its slide; pairs are y and x."""

    shape: tuple[int, int]
    """Height and width in pixels."""
    pixel_size_um: tuple[float, float]
    """Height and width of a pixel."""
    offset_nm: tuple[float, float]
    """From the centre of the slide to that of the image."""

    def pixels(self, y_nm: float, x_nm: float) -> tuple[float, float]:
        """Turn a place on the slide into pixels, whose edges are at whole numbers."""
        sides = zip((y_nm, x_nm), self.offset_nm, self.pixel_size_um, self.shape, strict=True)
        y, x = ((nm - offset) / (size * 1000) + side / 2 for nm, offset, size, side in sides)
        return y, x


def slide_frame(path: Path) -> SlideFrame:
    """Read where the image of a slide lies from its NDPI or VMS file.

    Raises
    ------
    SourceError
        If it cannot be opened, or does not say it.
    """
    try:
        with openslide.OpenSlide(path) as slide:
            properties, (width, height) = dict(slide.properties), slide.dimensions
        offset = [float(properties[f"hamamatsu.{axis}OffsetFromSlideCentre"]) for axis in "YX"]
        size = [float(properties[f"openslide.mpp-{axis}"]) for axis in "yx"]
    except (openslide.OpenSlideError, OSError, KeyError, ValueError) as error:
        raise SourceError(
            f"{path}: expected a slide of Hamamatsu's that says where its centre is, got {type(error).__name__}: "
            f"{error}: name the .ndpi or .vms file"
        ) from error
    return SlideFrame((height, width), (size[0], size[1]), (offset[0], offset[1]))


def parse_ndpa(root: Element, frame: SlideFrame) -> Found:
    """Parse the annotations of all views; the class is the title.

    Parameters
    ----------
    root : Element
        ``annotations``.
    frame : SlideFrame
        Where the image lies on the slide.
    """
    views = enumerate(root.iterfind("ndpviewstate"), 1)
    return read_each(((f"view {place}", view) for place, view in views), partial(_region, frame=frame))


def _region(view: Element, frame: SlideFrame) -> Region:
    annotation, unit = view.find("annotation"), (view.findtext("coordformat") or "nanometers").strip()
    if unit != "nanometers":
        raise AnnotationError(f"expected coordinates in nanometers, got {shortened(unit)}: export it again")
    if annotation is None:
        return Region(None, left_out="views of the slide")
    kind = annotation.get("type", "")
    if kind in _TOOLS:
        return Region(None, left_out=_TOOLS[kind])
    color = annotation.get("color", "").lower()
    return Region(
        bounds_of(frame.pixels(y, x) for y, x in _corners(annotation)),
        view.findtext("title"),
        color if _COLOR.fullmatch(color) else None,
    )


def _corners(annotation: Element) -> list[tuple[float, float]]:
    """List y and x of the corners, in nanometres."""
    if annotation.find("pointlist") is not None:
        return [_place(point) for point in annotation.iterfind("pointlist/point")]
    y, x = _place(annotation)
    radius = number(annotation.findtext("radius") or "0")  # a pin has none
    return [(y - radius, x - radius), (y + radius, x + radius)]


def _place(element: Element) -> tuple[float, float]:
    return number(element.findtext("y")), number(element.findtext("x"))
