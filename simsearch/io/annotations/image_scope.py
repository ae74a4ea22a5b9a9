"""Aperio ImageScope's XML: layers of regions, with corners in full-resolution pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.io.annotations.regions import Found, Region, attribute, bounds_of
from simsearch.io.tables.curation import read_each

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_TOOLS = {"3": "arrows", "4": "rulers"}  # by Type of a region; 0 to 2 are outlines, rectangles and ellipses


def parse_image_scope(root: Element) -> Found:
    """Parse the regions of all layers; the class is the name of the layer, or what its attributes say.

    Parameters
    ----------
    root : Element
        ``Annotations``.
    """
    items = (
        (f"layer {i}, region {j}", (layer, region))
        for i, layer in enumerate(root.iterfind("Annotation"), 1)
        for j, region in enumerate(layer.iterfind("Regions/Region"), 1)
    )
    return read_each(items, _region)


def _region(item: tuple[Element, Element]) -> Region:
    layer, region = item
    # An ellipse has two corners: those of the rectangle around it.
    corners = (each.attrib for each in region.iterfind("Vertices/*"))
    bounds = bounds_of((attribute(each, "Y"), attribute(each, "X")) for each in corners)
    left_out = _TOOLS.get(region.get("Type", ""))
    if region.get("NegativeROA") == "1":
        left_out = "areas that are cut out of others (NegativeROA)"
    return Region(bounds, _class_name(layer) or region.get("Text"), _color(layer.get("LineColor")), left_out=left_out)


def _class_name(layer: Element) -> str | None:
    if name := layer.get("Name", "").strip():
        return name
    for each in layer.iterfind("Attributes/Attribute"):
        name, value = each.get("Name", "").strip(), each.get("Value", "").strip()
        if name == "Description":
            name = ""  # what ImageScope calls the field
        if value or name:
            return value or name
    return None


def _color(line_color: str | None) -> str | None:
    if line_color is None or not line_color.isdecimal() or int(line_color) > 0xFFFFFF:
        return None
    blue, green, red = int(line_color).to_bytes(3, "big")  # as Windows has colours
    return f"#{red:02x}{green:02x}{blue:02x}"
