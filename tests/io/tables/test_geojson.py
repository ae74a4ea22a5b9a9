"""GeoJSON as QuPath writes and reads it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.boxes import Box
from simsearch.core.peaks import Peak
from simsearch.errors import AnnotationError, SourceError
from simsearch.io.tables.curation import Annotation
from simsearch.io.tables.geojson import read_features, write_detections, write_features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RBC = Annotation(Box("P/A/01/0", "RBC", 23.5, 47.5, 48.0, 96.0), "prototype", "#e69f00")
NEGATIVE = Annotation(Box("P/A/01/0", "RBC", 100.0, 200.0, 48.0, 96.0), "negative", "#e69f00")
BACKGROUND = Annotation(Box("P/A/01/0", "background", 100.0, 200.0, 48.0, 96.0), "background")


def features(path: Path) -> list[Any]:
    content = json.loads(path.read_text())
    assert content["type"] == "FeatureCollection"
    return list(content["features"])


def test_features_are_what_qupath_reads(tmp_path: Path) -> None:
    path = tmp_path / "0.geojson"
    assert write_features(iter([RBC, NEGATIVE, BACKGROUND]), path) == 3
    prototype, negative, background = features(path)

    assert prototype["type"] == "Feature"
    # The first 48 x 96 pixels: centres 0 to 47 and 0 to 95, edges 0 to 48 and 0 to 96; x comes first.
    assert prototype["geometry"] == {"type": "Polygon", "coordinates": [[[0, 0], [96, 0], [96, 48], [0, 48], [0, 0]]]}
    assert prototype["properties"] == {
        "objectType": "annotation",
        "name": "RBC prototype",
        "classification": {"name": "RBC", "color": [230, 159, 0]},
        "metadata": {"source": "simsearch", "image": "P/A/01/0", "role": "prototype"},
    }
    assert background["properties"]["classification"] == {"name": "background", "color": [128, 128, 128]}
    ids = [UUID(feature["id"]) for feature in (prototype, negative, background)]
    assert {each.version for each in ids} == {5}
    assert len(set(ids)) == 3


def test_the_same_patches_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_features([RBC, NEGATIVE], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_makes_a_collection_too(tmp_path: Path) -> None:
    assert write_features([], tmp_path / "a.geojson") == 0
    assert features(tmp_path / "a.geojson") == []
    assert read_features(tmp_path / "a.geojson") == []


thousandths = st.integers(0, 200_000_000).map(lambda value: value / 1000)
sides = st.integers(1, 5_000_000).map(lambda value: value / 1000)


@given(thousandths, thousandths, sides, sides)
def test_there_and_back_moves_nothing(
    tmp_path_factory: pytest.TempPathFactory, y: float, x: float, height: float, width: float
) -> None:
    path = tmp_path_factory.mktemp("geojson", numbered=True) / "a.geojson"
    annotation = Annotation(Box("a", "RBC", y, x, height, width), "positive", "#0a0b0c")
    write_features([annotation], path)
    assert read_features(path) == [("feature 1", annotation)]


def feature(**changes: object) -> dict[str, Any]:
    ring = [[10, 20], [58, 20], [58, 68], [10, 68], [10, 20]]
    properties = {"objectType": "annotation", "classification": {"name": "RBC", "color": [1, 2, 3]}}
    plain = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}
    return {**plain, **changes}


def classified(classification: object) -> dict[str, Any]:
    return feature(properties={"classification": classification})


def read_one(tmp_path: Path, content: object, name: str = "slide.geojson") -> Annotation | AnnotationError:
    (tmp_path / name).write_text(json.dumps(content))
    [(place, item)] = read_features(tmp_path / name)
    assert place == "feature 1"
    return item


@pytest.mark.parametrize("wrap", [lambda each: each, lambda each: [each], lambda each: {"features": [each]}])
def test_what_was_drawn_in_qupath_is_a_prototype(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    expected = Annotation(Box("slide", "RBC", 43.5, 33.5, 48.0, 48.0), "prototype", "#010203")
    assert read_one(tmp_path, wrap(feature())) == expected


@pytest.mark.parametrize(
    ("classification", "class_name", "color", "role"),
    [
        ("RBC", "RBC", None, "prototype"),
        ({"names": ["Tumor", "Positive"], "color": [255, 0, 0]}, "Tumor: Positive", "#ff0000", "prototype"),
        ({"name": "RBC", "colorRGB": -65536}, "RBC", "#ff0000", "prototype"),
        ({"name": "RBC", "color": [1, 2, 300]}, "RBC", None, "prototype"),
        ({"name": "Background"}, "background", None, "background"),
    ],
)
def test_classifications_of_qupath_are_understood(
    tmp_path: Path, classification: object, class_name: str, color: str | None, role: str
) -> None:
    item = read_one(tmp_path, classified(classification))
    assert isinstance(item, Annotation)
    assert (item.box.class_name, item.color, item.role) == (class_name, color, role)


def test_a_polygon_is_what_surrounds_it(tmp_path: Path) -> None:
    triangles = [[[[0, 0], [8, 0], [4, 6], [0, 0]]], [[[2, 2, 0], [10, 2, 0], [4, 9, 0], [2, 2, 0]]]]
    item = read_one(tmp_path, feature(geometry={"type": "MultiPolygon", "coordinates": triangles}))
    assert isinstance(item, Annotation)
    assert item.box == Box("slide", "RBC", 4.0, 4.5, 9.0, 10.0)


def test_the_image_is_named_by_caller_metadata_or_file(tmp_path: Path) -> None:
    path = tmp_path / "slide.geojson"
    path.write_text(json.dumps([feature()]))
    images = [read_features(path)[0][1], read_features(path, "b")[0][1], read_features(path, default="c")[0][1]]
    write_features([RBC], path)
    images += [read_features(path)[0][1], read_features(path, "b")[0][1], read_features(path, default="c")[0][1]]
    assert [each.box.image for each in images if isinstance(each, Annotation)] == [
        "slide", "b", "c", "P/A/01/0", "b", "P/A/01/0",
    ]  # fmt: skip


def ring(*points: object) -> dict[str, Any]:
    return feature(geometry={"type": "Polygon", "coordinates": [list(points)]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "expected a Feature, got 3"),
        ({"type": "Feature"}, "expected properties, got None"),
        (feature(geometry=None), "expected a geometry, got None"),
        (feature(geometry={"type": "Point", "coordinates": [1, 2]}), "expected a polygon, got a Point"),
        (feature(geometry={"type": "Polygon", "coordinates": []}), "expected a polygon, got"),
        (feature(geometry={"type": "Polygon"}), "expected a polygon, got None"),
        (ring([1, 2], [3], [4, 5]), "expected a polygon, got"),
        (ring([1, 2], ["a", 3], [4, 5]), "expected a polygon, got"),
        (ring([1, 2], [float("nan"), 2], [4, 5]), "NaN or infinity"),
        (ring([1, 2], [1, 2], [1, 9]), "a height and width above 0, got 5, 0.5, 7, 0"),
        (classified(None), "a classification with a name, got None"),
        (classified({"color": [1, 2, 3]}), "a classification with a name"),
        (classified({"name": ""}), "a classification with a name"),
        (
            feature(properties={"classification": "RBC", "metadata": {"source": "simsearch", "role": "friend"}}),
            "a role out of prototype, positive, negative, background, got 'friend'",
        ),
    ],
)
def test_features_that_make_no_sense_are_named(tmp_path: Path, content: object, message: str) -> None:
    item = read_one(tmp_path, [content])
    assert isinstance(item, AnnotationError)
    assert message in str(item)


@pytest.mark.parametrize("text", ["", "{", "3", '{"type": "FeatureCollection"}', "[" * 100_000])
def test_what_is_no_geojson_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(AnnotationError, match=r"a\.geojson: expected (GeoJSON|a FeatureCollection)"):
        read_features(tmp_path / "a.geojson")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_bytes(b"\xff\xfe\x00")
    for path in ("a.geojson", "b.geojson"):
        with pytest.raises(SourceError, match="expected a GeoJSON file"):
            read_features(tmp_path / path)


COLORS = {"RBC": "#e69f00", "WBC": "#56B4E9"}
# Its patch covers the first 48 x 96 pixels; the other's reaches over the border, as patches at borders do.
DETECTIONS = [
    Peak("P/A/01/0", "RBC", 23.5, 47.5, (48.0, 96.0), 0.875),
    Peak("P/A/01/0", "WBC", 2.25, 700.125, (33.0, 33.0), 1 / 3),
]


def test_detections_are_what_qupath_reads(tmp_path: Path) -> None:
    path = tmp_path / "geojson" / "P" / "A" / "01" / "0.geojson"
    assert write_detections(iter(DETECTIONS), COLORS, path) == 2
    first, second = features(path)

    assert set(first) == {"type", "id", "geometry", "properties"}
    assert first["type"] == "Feature"
    # Pixel 0 reaches from 0 to 1: the patch of the first 48 x 96 pixels ends at 48 and 96.
    assert first["geometry"] == {"type": "Polygon", "coordinates": [[[0, 0], [96, 0], [96, 48], [0, 48], [0, 0]]]}
    assert first["properties"] == {
        "objectType": "detection",
        "classification": {"name": "RBC", "color": [230, 159, 0]},
        "measurements": {"confidence": 0.875},
    }
    assert second["properties"]["classification"] == {"name": "WBC", "color": [86, 180, 233]}
    assert second["properties"]["measurements"] == {"confidence": 1 / 3}
    assert len({UUID(each["id"]) for each in (first, second)}) == 2
    assert [each.name for each in path.parent.iterdir()] == ["0.geojson"]


@given(
    y=st.floats(-50, 2e5, allow_nan=False),
    x=st.floats(-50, 2e5, allow_nan=False),
    height=st.floats(1, 500),
    width=st.floats(1, 500),
)
def test_outlines_of_detections_are_closed_rings_around_pixel_centres(
    tmp_path_factory: pytest.TempPathFactory, y: float, x: float, height: float, width: float
) -> None:
    path = tmp_path_factory.mktemp("geojson", numbered=True) / "a.geojson"
    write_detections([Peak("a", "RBC", y, x, (height, width), 0.5)], COLORS, path)
    [[ring]] = [each["geometry"]["coordinates"] for each in features(path)]
    assert ring[0] == ring[-1]
    assert len({tuple(point) for point in ring}) == 4
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(ring)]
    assert all((dx == 0) != (dy == 0) for dx, dy in steps)
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) / 2
    assert area == pytest.approx(height * width, rel=0.01)  # and above 0: all turn the same way
    (left, top), (right, bottom) = ring[0], ring[2]
    assert ((left + right) / 2 - 0.5, (top + bottom) / 2 - 0.5) == pytest.approx((x, y), abs=2e-4)
    assert (right - left, bottom - top) == pytest.approx((width, height), abs=2e-4)


def test_the_same_detections_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_detections(DETECTIONS, COLORS, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_detections_are_written_while_they_are_drawn(tmp_path: Path) -> None:
    n, sizes = 10_000, {}

    def drawn() -> Iterator[Peak]:
        for number in range(n):
            if number % 1000 == 0:
                sizes[number] = sum(path.stat().st_size for path in tmp_path.iterdir())
            yield Peak("a", "RBC", float(number // 100), float(number % 100), (48.0, 48.0), 0.5)

    assert write_detections(drawn(), COLORS, tmp_path / "a.geojson") == n
    content = (tmp_path / "a.geojson").read_text()
    ends = [len("\n".join(content.split("\n", number + 1)[:-1])) for number in (1000, 5000, 9000)]
    for number, end in zip((1000, 5000, 9000), ends, strict=True):
        assert end - sizes[number] < 100_000, number  # what is still in buffers: some 300 detections at most
    assert len(json.loads(content)["features"]) == n


def test_an_error_while_detections_are_drawn_leaves_nothing_half_written(tmp_path: Path) -> None:
    write_detections(DETECTIONS, COLORS, tmp_path / "a.geojson")
    before = (tmp_path / "a.geojson").read_bytes()

    def drawn() -> Iterator[Peak]:
        yield DETECTIONS[1]
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        write_detections(drawn(), COLORS, tmp_path / "a.geojson")
    assert (tmp_path / "a.geojson").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.geojson"]


def test_no_detections_make_a_collection_too(tmp_path: Path) -> None:
    assert write_detections([], COLORS, tmp_path / "a.geojson") == 0
    assert features(tmp_path / "a.geojson") == []
