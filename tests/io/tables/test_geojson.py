"""GeoJSON as QuPath reads it."""

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
from simsearch.io.tables.curation import Annotation
from simsearch.io.tables.geojson import write_detections, write_features

if TYPE_CHECKING:
    from collections.abc import Iterator
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
