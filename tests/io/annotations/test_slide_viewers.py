"""XML of ImageScope, ASAP and NDP.view: corners, classes and colours as they were drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, fromstring

import numpy as np
import pytest
import tifffile

from simsearch.errors import AnnotationError, SourceError
from simsearch.io.annotations.asap import parse_asap
from simsearch.io.annotations.image_scope import parse_image_scope
from simsearch.io.annotations.ndpa import SlideFrame, parse_ndpa, slide_frame
from simsearch.io.annotations.regions import Bounds, Region

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CORNERS = [(100.0, 50.5), (164.25, 50.5), (164.25, 114.0), (100.0, 114.0)]  # x, y
AROUND = Bounds(50.5, 100.0, 114.0, 164.25)

# ImageScope


def layer(root: Element, name: str = "", color: str = "255", attributes: Iterable[tuple[str, str]] = ()) -> Element:
    annotation = SubElement(root, "Annotation", Id="1", Name=name, LineColor=color)
    listed = SubElement(annotation, "Attributes")
    for key, value in attributes:
        SubElement(listed, "Attribute", Name=key, Id="0", Value=value)
    return SubElement(annotation, "Regions")


def draw(regions: Element, corners: Iterable[tuple[float, float]] = CORNERS, **attributes: str) -> None:
    region = SubElement(regions, "Region", {"Type": "0", "NegativeROA": "0", **attributes})
    vertices = SubElement(region, "Vertices")
    for x, y in corners:
        SubElement(vertices, "Vertex", X=str(x), Y=str(y), Z="0")


def test_regions_of_image_scope_have_the_class_of_their_layer() -> None:
    root = Element("Annotations", MicronsPerPixel="0.25")
    draw(layer(root, "Tumor", "65280"))
    second = layer(root, "Stroma", str(0x0A0B0C))
    draw(second, [(1, 2), (5, 9)], Type="2")
    draw(second, Type="1")
    assert parse_image_scope(root) == [
        ("layer 1, region 1", Region(AROUND, "Tumor", "#00ff00")),
        ("layer 2, region 1", Region(Bounds(2, 1, 9, 5), "Stroma", "#0c0b0a")),  # blue comes first
        ("layer 2, region 2", Region(AROUND, "Stroma", "#0c0b0a")),
    ]


@pytest.mark.parametrize(
    ("attributes", "text", "class_name"),
    [
        ([("Description", "Gland")], "x", "Gland"),
        ([("Description", "")], "Vessel", "Vessel"),
        ([("Epithelial", "")], "", "Epithelial"),  # as MoNuSAC has it
        ([("Description", ""), ("Kind", "Fat")], "", "Fat"),
        ([], "", None),
    ],
)
def test_layers_without_a_name_are_described_by_attributes(
    attributes: list[tuple[str, str]], text: str, class_name: str | None
) -> None:
    root = Element("Annotations")
    draw(layer(root, " ", "none", attributes), Text=text)
    [(_, region)] = parse_image_scope(root)
    assert isinstance(region, Region)
    assert ((region.class_name or None), region.color) == (class_name, None)


def test_tools_and_holes_of_image_scope_are_left_out() -> None:
    root = Element("Annotations")
    regions = layer(root, "Tumor")
    for attributes in ({"Type": "3"}, {"Type": "4"}, {"NegativeROA": "1"}):
        draw(regions, **attributes)
    left_out = [region.left_out for _, region in parse_image_scope(root) if isinstance(region, Region)]
    assert left_out == ["arrows", "rulers", "areas that are cut out of others (NegativeROA)"]


@pytest.mark.parametrize(
    ("vertex", "message"),
    [
        ('X="1" Y="nan"', "expected a number, got 'nan'"),
        ('X="1" Y="inf"', "expected a number, got 'inf'"),
        ('X="1" Y="1,5"', "expected a number, got '1,5'"),
        ('X="1"', "expected a number in Y, got nothing"),
    ],
)
def test_wrong_corners_are_named(vertex: str, message: str) -> None:
    region = f"<Region><Vertices><Vertex {vertex}/></Vertices></Region>"
    root = fromstring(f"<Annotations><Annotation><Regions>{region}<Region/></Regions></Annotation></Annotations>")
    (first, wrong), (second, empty) = parse_image_scope(root)
    assert (first, second) == ("layer 1, region 1", "layer 1, region 2")
    assert message in str(wrong)
    assert "expected corners of a region, got none" in str(empty)


# ASAP


def test_annotations_of_asap_have_the_class_of_their_group() -> None:
    root = Element("ASAP_Annotations")
    annotations = SubElement(root, "Annotations")
    for kind, group in [("Polygon", "Tumor"), ("Rectangle", "None"), ("PointSet", "Mitosis"), ("Measurement", "Tumor")]:
        each = SubElement(annotations, "Annotation", Name="0", Type=kind, PartOfGroup=group, Color="#F4FA58")
        coordinates = SubElement(each, "Coordinates")
        for order, (x, y) in enumerate(CORNERS[:2] if kind == "PointSet" else CORNERS):
            SubElement(coordinates, "Coordinate", Order=str(order), X=str(x), Y=str(y))
    groups = SubElement(root, "AnnotationGroups")
    SubElement(groups, "Group", Name="Tumor", PartOfGroup="None", Color="#64FE2E")
    assert parse_asap(root) == [
        ("annotation 1", Region(AROUND, "Tumor", "#64fe2e")),
        ("annotation 2", Region(AROUND, None, "#f4fa58")),
        ("annotation 3, point 1", Region(Bounds(50.5, 100, 50.5, 100), "Mitosis", "#f4fa58")),
        ("annotation 3, point 2", Region(Bounds(50.5, 164.25, 50.5, 164.25), "Mitosis", "#f4fa58")),
        ("annotation 4", Region(AROUND, "Tumor", "#64fe2e", left_out="measurements")),
    ]


def test_an_annotation_of_asap_without_corners_is_named() -> None:
    root = fromstring('<ASAP_Annotations><Annotations><Annotation Type="Dot"/></Annotations></ASAP_Annotations>')
    [(place, error)] = parse_asap(root)
    assert place == "annotation 1"
    assert isinstance(error, AnnotationError)


# NDP.view: the image of 100 x 200 px of 250 x 500 nm begins at -11 500, -48 000 nm (y, x) from the centre of the slide.

FRAME = SlideFrame((100, 200), (0.25, 0.5), (1000.0, 2000.0))


def view(annotation: str, title: str = "Tumor", unit: str = "nanometers") -> str:
    return f"<ndpviewstate><title>{title}</title><coordformat>{unit}</coordformat>{annotation}</ndpviewstate>"


def points(*places: tuple[float, float]) -> str:
    listed = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for y, x in places)
    return f'<annotation type="freehand" color="#00FF00"><pointlist>{listed}</pointlist></annotation>'


def test_ndpa_lies_on_the_slide() -> None:
    views = [
        view(points((-11_500, -48_000), (-10_500, -47_000), (-11_000, -48_000))),  # the first 4 x 2 pixels
        view(points((1000, 2000)), " "),  # the centre of the image
        view('<annotation type="circle" color="red"><x>2000</x><y>1000</y><radius>500</radius></annotation>'),
        view('<annotation type="pin"><x>2000</x><y>1000</y></annotation>', "Mitosis"),
        view('<annotation type="linearmeasure"><x1>1</x1></annotation>'),
        view('<annotation type="pointer"/>'),
        view(""),
        view(points((1, 2)), unit="pixels"),
        view('<annotation type="circle"><x>2000</x></annotation>'),
    ]
    found = parse_ndpa(fromstring(f"<annotations>{''.join(views)}</annotations>"), FRAME)
    assert [place for place, _ in found] == [f"view {number}" for number in range(1, 10)]
    centre = Bounds(50, 100, 50, 100)
    assert [region for _, region in found[:7]] == [
        Region(Bounds(0, 0, 4, 2), "Tumor", "#00ff00"),
        Region(centre, " ", "#00ff00"),
        Region(Bounds(48, 99, 52, 101), "Tumor"),
        Region(centre, "Mitosis"),
        Region(None, left_out="measurements"),
        Region(None, left_out="arrows"),
        Region(None, left_out="views of the slide"),
    ]
    assert "coordinates in nanometers, got 'pixels'" in str(found[7][1])
    assert "expected a number, got None" in str(found[8][1])


def write_ndpi(path: Path) -> None:
    """Write what OpenSlide knows as a slide of Hamamatsu's."""
    offsets = [(65422, "i", 1, 2000, True), (65423, "i", 1, 1000, True), (65424, "i", 1, 0, True)]
    tags = [(65420, "I", 1, 1, True), (65421, "f", 1, 20.0, True), *offsets]
    tifffile.imwrite(
        path,
        np.full((100, 200, 3), 200, np.uint8),
        photometric="rgb",
        compression="jpeg",
        rowsperstrip=100,
        resolution=(20_000, 40_000),
        resolutionunit="CENTIMETER",
        extratags=tags,
        metadata=None,
    )


def test_a_slide_says_where_its_image_lies(tmp_path: Path) -> None:
    write_ndpi(tmp_path / "a.ndpi")
    assert slide_frame(tmp_path / "a.ndpi") == FRAME


def test_other_slides_do_not_say_it(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((32, 32), np.uint8), tile=(16, 16))
    for name in ("a.tif", "b.ndpi"):
        with pytest.raises(SourceError, match="expected a slide of Hamamatsu's"):
            slide_frame(tmp_path / name)
