"""GeoJSON as versions of QuPath write it: drawings come in, results and what has no class are told apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.boxes import Box
from simsearch.errors import AnnotationError
from simsearch.io.annotations.qupath import parse_features
from simsearch.io.annotations.regions import Bounds, Found, Region, as_annotation
from simsearch.io.tables.curation import Annotation
from simsearch.io.tables.geojson import write_features

if TYPE_CHECKING:
    from collections.abc import Callable

SQUARE = [[10, 20], [58, 20], [58, 68], [10, 68], [10, 20]]
AROUND = Bounds(20, 10, 68, 58)


def feature(**changes: object) -> dict[str, Any]:
    properties = {"objectType": "annotation", "classification": {"name": "RBC", "color": [1, 2, 3]}}
    plain = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}, "properties": properties}
    return {**plain, **changes}


def classified(classification: object, **properties: object) -> dict[str, Any]:
    return feature(properties={"classification": classification, **properties})


def parse(content: object) -> Found:
    return parse_features(json.dumps(content).encode(), "a.geojson")


def parse_one(content: object) -> Region:
    [(place, region)] = parse([content])
    assert place == "feature 1"
    assert isinstance(region, Region), region
    return region


@pytest.mark.parametrize("wrap", [lambda each: each, lambda each: [each], lambda each: {"features": [each]}])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_collection_a_list_and_one_feature_are_the_same(wrap: Callable[[Any], Any], encoding: str) -> None:
    content = json.dumps(wrap(feature())).encode(encoding)
    assert parse_features(content, "a") == [("feature 1", Region(AROUND, "RBC", "#010203"))]


thousandths = st.integers(0, 200_000_000).map(lambda value: value / 1000)
sides = st.integers(1, 5_000_000).map(lambda value: value / 1000)


@given(thousandths, thousandths, sides, sides)
def test_there_and_back_moves_nothing(
    tmp_path_factory: pytest.TempPathFactory, y: float, x: float, height: float, width: float
) -> None:
    path = tmp_path_factory.mktemp("geojson", numbered=True) / "a.geojson"
    annotation = Annotation(Box("a", "RBC", y, x, height, width), "positive", "#0a0b0c")
    write_features([annotation], path)
    [(_, region)] = parse_features(path.read_bytes(), "a")
    assert isinstance(region, Region)
    assert as_annotation(region, region.image or "", None) == annotation


@pytest.mark.parametrize(
    ("classification", "class_name", "color"),
    [
        ("RBC", "RBC", None),
        ({"names": ["Tumor", "Positive"], "color": [255, 0, 0]}, "Tumor: Positive", "#ff0000"),
        ({"name": "RBC", "colorRGB": -65536}, "RBC", "#ff0000"),
        ({"name": "RBC", "color": [1, 2, 300]}, "RBC", None),
        ({"name": "Region", "color": "red"}, "Region", None),
        (None, None, None),
        ("", None, None),
        ({"color": [1, 2, 3]}, None, "#010203"),
        ({"name": None}, None, None),
        ({"name": "Unclassified"}, None, None),
    ],
)
def test_classifications_are_understood(classification: object, class_name: str | None, color: str | None) -> None:
    region = parse_one(classified(classification))
    assert (region.class_name, region.color, region.left_out) == (class_name, color, None)


@pytest.mark.parametrize("name", ["Ignore*", "Region*", "Necrosis*", ["Tumor", "Ignore*"]])
def test_what_qupath_ignores_is_no_class(name: object) -> None:
    region = parse_one(classified({"names": name} if isinstance(name, list) else {"name": name}))
    assert "classes that QuPath ignores" in str(region.left_out)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        *(({"properties": {"objectType": kind}}, kind.lower()) for kind in ("detection", "cell", "tile", "tmaCore")),
        ({"properties": {"object_type": "tma_core"}}, "tmacore"),  # 0.3
        ({"properties": {}, "id": "PathCellObject"}, "cell"),  # 0.2
        ({"properties": {}, "id": "TMACoreObject"}, "tmacore"),
        ({"properties": {}, "id": "PathAnnotationObject"}, None),
        ({"properties": {"objectType": "annotation"}, "id": "PathCellObject"}, None),
        ({"properties": {"objectType": "unknown"}}, None),
        ({"properties": None}, None),
        ({"properties": {"isLocked": True, "measurements": [{"name": "Area", "value": float("nan")}]}}, None),
    ],
)
def test_results_of_qupath_are_no_drawings(changes: dict[str, Any], kind: str | None) -> None:
    expected = None if kind is None else f'results of QuPath and no drawings (objectType "{kind}")'
    assert parse_one(feature(**changes)).left_out == expected


GEOMETRIES = [
    ("Polygon", [SQUARE, [[12, 30], [13, 30], [13, 31], [12, 30]]], Bounds(20, 10, 68, 58)),
    ("MultiPolygon", [[[[0, 0], [8, 0], [4, 6]]], [[[2, 2, 0], [10, 2, 0], [4, 9, 0]]]], Bounds(0, 0, 9, 10)),
    ("Point", [3.5, 4.25], Bounds(4.25, 3.5, 4.25, 3.5)),
    ("MultiPoint", [[3, 4]], Bounds(4, 3, 4, 3)),
    ("LineString", [[1, 2], [5, 8]], Bounds(2, 1, 8, 5)),
    ("MultiLineString", [[[1, 2], [5, 8]], [[0, 3], [1, 3]]], Bounds(2, 0, 8, 5)),
]


@pytest.mark.parametrize(("kind", "coordinates", "bounds"), GEOMETRIES)
def test_every_geometry_is_what_surrounds_it(kind: str, coordinates: object, bounds: Bounds) -> None:
    geometry = {"type": kind, "coordinates": coordinates, "plane": {"c": -1, "z": 0, "t": 0}, "isEllipse": True}
    assert parse_one(feature(geometry=geometry)).bounds == bounds


def test_collections_of_geometries_are_one_region_and_bare_ones_have_no_class() -> None:
    inner = {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 99]}]}
    both = {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": [SQUARE]}, inner]}
    assert parse_one(feature(geometry=both)).bounds == Bounds(20, 1, 99, 58)
    assert parse(both) == [("feature 1", Region(Bounds(20, 1, 99, 58)))]


def test_each_of_many_points_is_a_region() -> None:
    points = feature(geometry={"type": "MultiPoint", "coordinates": [[1, 2], [30, 40], [5, None]]})
    (_, first), (place, second), (_, third) = parse([points])
    assert first == Region(Bounds(2, 1, 2, 1), "RBC", "#010203")
    assert (place, second) == ("feature 1, point 2", Region(Bounds(40, 30, 40, 30), "RBC", "#010203"))
    assert isinstance(third, AnnotationError)


def test_a_feature_may_be_nowhere() -> None:
    assert parse_one(feature(geometry=None)).bounds is None


def ring(*points: object) -> dict[str, Any]:
    return feature(geometry={"type": "Polygon", "coordinates": [list(points)]})


def deep(n: int) -> Any:  # noqa: ANN401  as deep as asked for
    content: Any = []
    for _ in range(n):
        content = [content]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "expected a Feature, got 3"),
        ([], "expected a Feature, got []"),
        ({"type": "Topology"}, "expected a Feature, got 'Topology'"),
        (feature(properties=[3]), "expected properties, got [3]"),
        (feature(geometry=[]), "expected a geometry, got []"),
        (feature(geometry={"type": "Blob", "coordinates": [1, 2]}), "a geometry such as a Polygon, got 'Blob'"),
        (feature(geometry={"type": ["Polygon"]}), "a geometry such as a Polygon, got ['Polygon']"),
        (feature(geometry={"type": "Polygon", "coordinates": []}), "expected corners of a region, got none"),
        (feature(geometry={"type": "Polygon"}), "a list of coordinates, got None"),
        (feature(geometry={"type": "GeometryCollection", "geometries": 3}), "a list of coordinates, got 3"),
        (feature(geometry={"type": "GeometryCollection", "geometries": [3]}), "expected a geometry, got 3"),
        (ring([1, 2], [3], [4, 5]), "x and y of a position, got [3]"),
        (ring([1, 2], ["1", 3], [4, 5]), "x and y of a position, got ['1', 3]"),
        (ring([1, 2], [True, 3]), "expected a number, got True"),
        (ring([1, 2], [10**400, 3]), "expected a number, got 1000"),
        (ring([1, 2], [float("nan"), 2]), "expected a number, got nan"),
        (ring([1, 2], [float("-inf"), 2]), "expected a number, got -inf"),
        (ring(deep(300), [4, 5]), "x and y of a position, got [[["),
        (classified(3), "expected a classification, got 3"),
        (classified({"name": 3}), "the name of a class, got 3"),
        (classified({"names": "Tumor"}), "names of a class, got 'Tumor'"),
        (classified({"names": ["Tumor", 3]}), "names of a class, got ['Tumor', 3]"),
        (classified("RBC", objectType=7), "an objectType, got 7"),
        (classified("RBC", metadata={"source": "simsearch", "role": 3}), "a role, got 3"),
        (classified("RBC", metadata={"source": "simsearch", "image": []}), "the name of an image, got []"),
    ],
)
def test_features_that_make_no_sense_are_named_in_one_line(content: object, message: str) -> None:
    (_, right), (place, wrong) = parse([feature(), content])
    assert isinstance(right, Region)
    assert isinstance(wrong, AnnotationError)
    assert place == "feature 2"
    assert message in str(wrong)
    assert "\n" not in str(wrong)
    assert len(str(wrong)) < 200


@pytest.mark.parametrize(
    "text",
    ["", "{", "3", '{"type": "FeatureCollection"}', '{"features": {}}', "[" * 100_000, '{"a":' * 100_000, "9" * 5000],
)
def test_what_is_no_geojson_is_refused(text: str) -> None:
    with pytest.raises(AnnotationError, match=r"^a\.geojson: expected (GeoJSON|a FeatureCollection), got") as caught:
        parse_features(text.encode(), "a.geojson")
    assert "\n" not in str(caught.value)


def test_odd_bytes_are_refused() -> None:
    with pytest.raises(AnnotationError, match=r"a: expected GeoJSON, got"):
        parse_features(b"{\xff\xfe\x00", "a")
