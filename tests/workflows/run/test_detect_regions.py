"""Only named regions are looked at, and objects are counted in each."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.named_regions import NamedRegion, rectangle
from simsearch.curation.outlines import AddRegion
from simsearch.errors import AnnotationError, ConfigError, StoreError
from simsearch.io.annotations.qupath import parse_named_regions
from simsearch.io.tables.geojson import write_regions
from simsearch.io.tables.peaks import read_peaks
from simsearch.workflows.curate.study import StudyOptions, create_study, open_curation
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, DetectReport, detect
from simsearch.workflows.run.objects import rethreshold
from simsearch.workflows.run.region_counts import outlines_of, read_region_counts, read_regions
from tests.workflows.run.test_detect import check_same
from tests.workflows.run.test_segment import CLASSES, write_model, write_slide

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

LEFT = rectangle("slide", "left", (99.5, 49.5, 299.5, 249.5))
CORNER = NamedRegion("slide", "corner", ((150.0, 500.0), (150.0, 700.0), (350.0, 500.0)))
BOTH = (LEFT, CORNER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regions")
    for name in ("slide", "other"):
        write_slide(folder / f"{name}.ome.zarr")
    write_model(folder / "model.safetensors", (48, 48))
    return folder


def run(
    client: Client, folder: Path, name: str, regions: tuple[NamedRegion, ...] = (), tile: int | None = 16
) -> DetectReport:
    images = find_image_set([folder / "slide.ome.zarr", folder / "other.ome.zarr"])
    options = DetectOptions(floor=1e-3, tile=tile, tissue_mask=False)
    return detect(client, images, folder / "model.safetensors", folder / name, options, regions=regions)


@pytest.fixture(scope="module")
def inside(client: Client, folder: Path) -> DetectReport:
    return run(client, folder, "inside", BOTH)


def test_what_is_found_is_that_of_the_whole_image_in_the_regions(
    client: Client, folder: Path, inside: DetectReport
) -> None:
    whole = run(client, folder, "whole")
    found, everywhere = (read_peaks(each.folder / "detections.parquet") for each in (inside, whole))
    expected = [
        peak
        for peak in everywhere
        if peak.image == "slide" and any(each.contains(np.array([peak.y]), np.array([peak.x]))[0] for each in BOTH)
    ]
    assert len(expected) > 10
    check_same(found, expected, places=0.5, scores=4e-3)
    assert (inside.n_images, whole.n_images) == (1, 2)
    assert 0 < inside.n_tiles < whole.n_tiles / 4
    assert not (whole.folder / "regions.csv").exists()
    with pytest.raises(ConfigError, match="got one that looked everywhere"):
        whole.region_counts()


def test_objects_are_counted_in_each_region_at_any_threshold(folder: Path, inside: DetectReport) -> None:
    def counted() -> dict[str, int]:
        with (inside.folder / "regions.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["image"], row["region"], row["pixels"]) for row in rows] == [
            ("slide", "left", "40000"), ("slide", "corner", "20000"),
        ]  # fmt: skip
        return {row["region"]: sum(int(row[f"count {name}"]) for name in CLASSES) for row in rows}

    assert sum(counted().values()) == sum(inside.n_objects.values())
    objects = rethreshold(inside.folder, dict.fromkeys(CLASSES, 1e-3))
    everything = counted()
    assert sum(everything.values()) == sum(objects.n_objects.values()) > 0
    assert all(everything.values())
    read = read_region_counts(inside.folder / "regions.csv", list(CLASSES))
    assert {each.name: sum(each.counts.values()) for each in read} == everything
    assert list(inside.region_counts()["region"]) == ["left", "corner"]
    assert outlines_of(inside.folder) == BOTH


def test_other_regions_are_another_run(client: Client, folder: Path, inside: DetectReport) -> None:
    assert run(client, folder, "inside", BOTH).n_done_before == inside.n_tiles
    with pytest.raises(StoreError, match="overwrite"):
        run(client, folder, "inside", (LEFT,))


def test_regions_of_other_images_are_refused(client: Client, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"regions of an image that is looked at .*, got those of gone"):
        run(client, folder, "gone", (rectangle("gone", "a", (0, 0, 9, 9)),))
    with pytest.raises(ConfigError, match="one that names its image, as there are 2 images"):
        run(client, folder, "gone", (rectangle("", "a", (0, 0, 9, 9)),))


def test_regions_come_from_a_study_and_from_geojson(folder: Path, tmp_path: Path) -> None:
    study = create_study(tmp_path / "study", [folder / "slide.ome.zarr"], StudyOptions())
    with pytest.raises(ConfigError, match="expected named regions, got none: outline some"):
        read_regions(tmp_path / "study")
    with open_curation(study) as journal:
        journal.append("ada", AddRegion("slide", "left", LEFT.corners))
    assert read_regions(tmp_path / "study") == (LEFT,)
    write_regions(BOTH, tmp_path / "both.geojson")
    assert read_regions(tmp_path / "both.geojson") == BOTH
    with pytest.raises(AnnotationError, match="expected a GeoJSON file or a study"):
        read_regions(tmp_path / "gone.geojson")


def polygon(*rings: list[list[float]], **properties: object) -> dict[str, object]:
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": list(rings)}, "properties": properties}


def test_annotations_of_qupath_are_regions() -> None:
    ring = [[0.0, 0.0], [10.0, 0.0], [10.0, 20.0], [0.0, 0.0]]
    features = [
        polygon(ring, name="edge"),
        polygon(ring, classification={"name": "Tumor"}),
        polygon(ring, classification={"name": "Tumor"}),
        polygon(ring, objectType="detection"),
        polygon(ring),
    ]
    content = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    found = parse_named_regions(content, "a.geojson")
    assert [each.name for each in found] == ["edge", "Tumor", "Tumor 2", "region 5"]
    assert found[0].corners == ((-0.5, -0.5), (-0.5, 9.5), (19.5, 9.5))
    point = {"type": "Point", "coordinates": [1, 2]}
    for wrong, message in (
        (point, "feature 1: expected a Polygon, got 'Point'"),
        (polygon(ring, ring), "without holes"),
        (polygon(ring[:2]), "at least 3 corners of a region, got 2"),
    ):
        with pytest.raises(AnnotationError, match=message):
            parse_named_regions(json.dumps(wrong).encode(), "a.geojson")
