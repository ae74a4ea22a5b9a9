"""Pictures as SVG: pixels, with boxes and a legend that stay sharp and can be changed."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from simsearch.io.places import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.Image import Image

    Edges = tuple[float, float, float, float]

_FONT = "DejaVu Sans, Helvetica, Arial, sans-serif"
_QUALITY = 92  # of JPEG: the PNG beside it has the pixels as they are


@dataclass(frozen=True, slots=True)
class Outline:
    """A box to draw: left, top, right and bottom in pixels of the picture."""

    edges: Edges
    color: str


@dataclass(frozen=True, slots=True)
class Caption:
    """A line of text, whose left end of the baseline is at x and y."""

    x: float
    y: float
    text: str
    color: str


def write_svg(
    pixels: Image, size: tuple[int, int], boxes: Sequence[Outline], texts: Sequence[Caption], line: int, path: Path
) -> None:
    """Write a picture with what is drawn upon it and below it as one file.

    Parameters
    ----------
    pixels : Image
        In the upper left corner.
    size : (int, int)
        Width and height of all; what is beside the pixels is black.
    boxes : sequence of Outline
        Each gets a dark rim, with which it is seen on bright pixels too.
    texts : sequence of Caption
        The legend.
    line : int
        Width of lines in pixels.
    path : Path
        Where to write.
    """
    width, height = size
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}"})
    root.attrib |= {"width": str(width), "height": str(height)}
    SubElement(root, "rect", {"width": str(width), "height": str(height), "fill": "#000000"})
    jpeg = BytesIO()
    pixels.save(jpeg, "JPEG", quality=_QUALITY, subsampling=0)
    href = f"data:image/jpeg;base64,{b64encode(jpeg.getvalue()).decode()}"
    SubElement(root, "image", {"width": str(pixels.width), "height": str(pixels.height), "href": href})
    for ink, wider in (("#000000", 2), (None, 0)):
        group = SubElement(root, "g", {"fill": "none", "stroke-width": str(line + wider)})
        for box in boxes:
            left, top, right, bottom = box.edges
            place = {"x": left, "y": top, "width": right - left, "height": bottom - top}
            SubElement(
                group, "rect", {name: f"{value:.2f}" for name, value in place.items()} | {"stroke": ink or box.color}
            )
    words = SubElement(root, "g", {"font-family": _FONT, "font-size": "17"})
    for each in texts:
        SubElement(words, "text", {"x": f"{each.x:.1f}", "y": f"{each.y:.1f}", "fill": each.color}).text = each.text
    write_whole(path, tostring(root, encoding="utf-8", xml_declaration=True))
