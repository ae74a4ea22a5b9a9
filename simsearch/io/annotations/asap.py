"""ASAP's XML: annotations in groups, with corners in full-resolution pixels."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from simsearch.io.annotations.regions import Found, Region, attribute, bounds_of
from simsearch.io.tables.curation import read_each

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from xml.etree.ElementTree import Element

_COLOR = re.compile(r"#[0-9a-f]{6}")
_NO_GROUP = "None"
_POINTS = "PointSet"


def parse_asap(root: Element) -> Found:
    """Parse all annotations; the class is the group. A set of points is a region for each of its points.

    Parameters
    ----------
    root : Element
        ``ASAP_Annotations``.
    """
    groups = root.iterfind("AnnotationGroups/Group")
    colors = {each.get("Name", ""): each.get("Color", "").lower() for each in groups}
    annotations = enumerate(root.iterfind("Annotations/Annotation"), 1)
    items = (each for number, annotation in annotations for each in _parts(f"annotation {number}", annotation))
    return read_each(items, partial(_region, colors=colors))


def _parts(place: str, annotation: Element) -> Iterator[tuple[str, tuple[Element, list[Element]]]]:
    corners = annotation.findall("Coordinates/Coordinate")
    if annotation.get("Type") != _POINTS or not corners:
        yield place, (annotation, corners)
        return
    for number, each in enumerate(corners, 1):
        yield f"{place}, point {number}", (annotation, [each])


def _region(item: tuple[Element, list[Element]], colors: Mapping[str, str]) -> Region:
    annotation, corners = item
    bounds = bounds_of((attribute(each.attrib, "Y"), attribute(each.attrib, "X")) for each in corners)
    group = annotation.get("PartOfGroup", _NO_GROUP)
    color = colors.get(group) or annotation.get("Color", "").lower()
    return Region(
        bounds,
        None if group == _NO_GROUP else group,
        color if _COLOR.fullmatch(color) else None,
        left_out="measurements" if annotation.get("Type") == "Measurement" else None,
    )
