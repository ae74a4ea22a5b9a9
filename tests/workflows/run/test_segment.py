"""A model gives each pixel a class: labels that other tools can open, and areas."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import zarr
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels
from shapely.geometry import shape as to_shape

from simsearch.errors import ModelFileError, StoreError
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.model_file import ModelHeader, model_to_bytes
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.runtime import Client, open_cluster
from simsearch.runtime.tasks import segment as segment_tasks
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.segment import SegmentOptions, SegmentReport, segment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHAPE = (700, 900)
CLASSES = ("dark", "bright")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with open_cluster("threads:1") as client:
        yield client


def write_slide(path: Path, ome_version: str = "0.5") -> Path:
    """Write an image whose left is dark noise, whose right is bright noise, with glass at the bottom."""
    rng = np.random.default_rng(0)
    pixels = np.empty((3, *SHAPE), np.uint8)
    pixels[:, :, :450] = rng.integers(20, 60, (3, SHAPE[0], 450))
    pixels[:, :, 450:] = rng.integers(120, 200, (3, SHAPE[0], 450))
    pixels[:, 500:] = 250
    template = ImageTemplate(
        3, SHAPE, "uint8", RGB_NAMES, RGB_COLORS, pixel_size_um=(0.5, 0.5), ome_version=ome_version
    )
    create_image(path, template)
    level = pixels
    for index, (height, width) in enumerate(template.level_shapes):
        level = pixels if index == 0 else level[:, ::2, ::2]
        for region in template.regions(index):
            write_region(path, index, region, level[:, *region.slices])
        assert level.shape[1:] == (height, width)
    finish_image(path, template)
    return path


def write_model(path: Path, patch: tuple[int, int]) -> Path:
    """Set a head by what tells the vectors of the two halves apart: the mechanics are tested, not the training."""
    classifier = PatchClassifier(trunk_from_bytes(read_trunk("bundled"), 3), classifier_extractor("dense", patch), 3)
    classifier.eval()
    rng = np.random.default_rng(1)
    crops = [rng.integers(low, high, (8, 3, *classifier.input_shape)) / 255 for low, high in ((20, 60), (120, 200))]
    with torch.no_grad():
        blocks = [classifier.blocks(torch.from_numpy(c).float()).mean(dim=0) for c in crops]
        direction = blocks[0] - blocks[1]
        weight = direction / direction.square().sum() * 20
        middle = ((blocks[0] + blocks[1]) / 2 * weight).sum()
        classifier.head.weight.zero_()
        classifier.head.bias.zero_()
        classifier.head.weight[1], classifier.head.bias[1] = weight, -middle
        classifier.head.weight[2], classifier.head.bias[2] = -weight, middle
        classifier.head.bias[0] = -5
    header = ModelHeader(
        "dense", ("background", *CLASSES), (patch,) * len(CLASSES), 1, RGB_NAMES, ((0.0, 255.0),) * 3, "uint8",
        (0.5, 0.5), (0.5, 0.5), "", {"n_beside": 0},
    )  # fmt: skip
    path.write_bytes(model_to_bytes(classifier, header))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors", (48, 48))


@pytest.fixture(scope="module")
def done(client: Client, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SegmentReport]:
    folder = tmp_path_factory.mktemp("segment")
    image = write_slide(folder / "slide.ome.zarr")
    return folder, segment(client, find_image_set([image]), model, folder / "out", SegmentOptions())


def labels_of(path: Path, level: int = 0) -> np.ndarray:
    return np.asarray(zarr.open_array(path / str(level), mode="r")[0])


def test_each_half_has_its_class_and_glass_has_none(done: tuple[Path, SegmentReport]) -> None:
    labels = labels_of(done[0] / "slide.ome.zarr/labels/simsearch")

    assert labels.shape == SHAPE
    assert (labels[50:400, 50:380] == 1).all()
    assert (labels[50:400, 520:850] == 2).all()
    assert not labels[560:].any()


@pytest.mark.parametrize("patch", [(80, 32), (32, 80)])
def test_patches_need_not_be_square(client: Client, tmp_path: Path, patch: tuple[int, int]) -> None:
    image = write_slide(tmp_path / "slide.ome.zarr")
    model = write_model(tmp_path / "model.safetensors", patch)
    segment(client, find_image_set([image]), model, tmp_path / "out", SegmentOptions(tissue_mask=False))
    labels = labels_of(image / "labels/simsearch")

    border = int(np.median([np.flatnonzero(row == 2)[0] for row in labels[100:400]]))
    assert abs(border - 450) <= 16  # a margin that is not cut would move it by half the difference of the sides
    assert (labels[100:400, 50:400] == 1).all()


def test_labels_are_valid_and_listed(done: tuple[Path, SegmentReport]) -> None:
    group = zarr.open_group(done[0] / "slide.ome.zarr/labels", mode="r")
    assert Labels.from_zarr(group).attributes.ome.labels == ["simsearch"]
    attributes = ImageLabel.from_zarr(group["simsearch"]).attributes.ome
    assert [p["class"] for p in group["simsearch"].attrs["ome"]["image-label"]["properties"]] == list(CLASSES)
    assert attributes.image_label is not None
    assert len(attributes.multiscales[0].datasets) == 2
    np.testing.assert_array_equal(
        labels_of(done[0] / "slide.ome.zarr/labels/simsearch", 1),
        labels_of(done[0] / "slide.ome.zarr/labels/simsearch")[::2, ::2],
    )


def test_areas_are_those_of_the_labels(done: tuple[Path, SegmentReport]) -> None:
    folder, report = done
    labels = labels_of(folder / "slide.ome.zarr/labels/simsearch")
    with (folder / "out/areas.csv").open() as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    for value, name in enumerate(CLASSES, start=1):
        n = int((labels == value).sum())
        assert int(rows[name]["pixels"]) == n
        assert float(rows[name]["mm2"]) == pytest.approx(n * 0.25e-6)
        assert float(rows[name]["fraction_of_image"]) == pytest.approx(n / labels.size)
        assert float(rows[name]["fraction_of_tissue"]) == pytest.approx(n / report.images[0].n_tissue)
    assert 0.6 < report.images[0].n_tissue / labels.size < 0.85


def test_outlines_are_valid_and_cover_the_labels(done: tuple[Path, SegmentReport]) -> None:
    features = json.loads((done[0] / "out/geojson/slide.geojson").read_text())["features"]
    polygons = {name: [to_shape(f["geometry"]) for f in features if f["properties"]["classification"]["name"] == name]
                for name in CLASSES}  # fmt: skip
    labels = labels_of(done[0] / "slide.ome.zarr/labels/simsearch")
    for value, name in enumerate(CLASSES, start=1):
        assert all(polygon.is_valid for polygon in polygons[name])
        assert sum(p.area for p in polygons[name]) == pytest.approx((labels == value).sum(), rel=0.02)
    assert (done[0] / "out/overlays/slide.png").exists()


def test_again_computes_no_tile_and_changes_nothing(
    done: tuple[Path, SegmentReport], client: Client, model: Path
) -> None:
    folder, first = done
    before = labels_of(folder / "slide.ome.zarr/labels/simsearch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_tasks, "draw_areas", lambda *_: 1 / 0)
        images = find_image_set([folder / "slide.ome.zarr"])
        undrawn = segment(client, images, model, folder / "out", SegmentOptions())
    again = segment(client, find_image_set([folder / "slide.ome.zarr"]), model, folder / "out", SegmentOptions())

    (note,) = undrawn.notes  # a picture never costs a table
    assert note.startswith("slide.png was not drawn: ZeroDivisionError")
    assert undrawn.images == again.images
    assert (folder / "out/geojson/slide.geojson").exists()

    assert again.n_done_before == again.n_tiles == first.n_tiles
    np.testing.assert_array_equal(labels_of(folder / "slide.ome.zarr/labels/simsearch"), before)


def test_labels_of_another_run_are_not_replaced(done: tuple[Path, SegmentReport], client: Client, model: Path) -> None:
    folder, _ = done
    images = find_image_set([folder / "slide.ome.zarr"])
    with pytest.raises(StoreError, match="expected no labels of this name"):
        segment(client, images, model, folder / "other", SegmentOptions(tissue_mask=False))
    report = segment(client, images, model, folder / "other2", SegmentOptions(name="second"))

    assert report.images[0].labels.endswith("labels/second")
    listed = zarr.open_group(folder / "slide.ome.zarr/labels", mode="r").attrs["ome"]["labels"]
    assert listed == ["simsearch", "second"]


@pytest.mark.parametrize("ome_version", ["0.4", "0.5"])
def test_labels_go_to_the_results_where_asked(client: Client, model: Path, tmp_path: Path, ome_version: str) -> None:
    image = write_slide(tmp_path / "slide.ome.zarr", ome_version)
    options = SegmentOptions(beside_image=False, tissue_mask=False)
    report = segment(client, find_image_set([image]), model, tmp_path / "out", options)

    assert not (image / "labels").exists()
    assert report.images[0].labels == str(tmp_path / "out/labels/slide.ome.zarr")
    assert report.images[0].n_tissue == SHAPE[0] * SHAPE[1]
    assert (labels_of(tmp_path / "out/labels/slide.ome.zarr")[50:400, 50:380] == 1).all()


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_image_is_left_alone(client: Client, model: Path, tmp_path: Path) -> None:
    image = write_slide(tmp_path / "slide.ome.zarr")
    image.chmod(0o555)
    report = segment(client, find_image_set([image]), model, tmp_path / "out", SegmentOptions())
    image.chmod(0o755)

    assert report.images[0].labels == str(tmp_path / "out/labels/slide.ome.zarr")


def test_an_image_of_another_kind_is_refused(client: Client, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "grey.ome.zarr"
    template = ImageTemplate(1, (100, 100), "uint8", ("DNA",), ("FFFFFF",))
    create_image(path, template)
    finish_image(path, template)
    with pytest.raises(ModelFileError, match="grey: expected the channels Red, Green, Blue"):
        segment(client, find_image_set([path]), model, tmp_path / "out", SegmentOptions())


def test_labels_that_are_gone_or_of_another_run_are_written_anew(client: Client, model: Path, tmp_path: Path) -> None:
    """The log of a run must not speak for labels that are not its own."""
    image = write_slide(tmp_path / "slide.ome.zarr")
    segment(client, find_image_set([image]), model, tmp_path / "out", SegmentOptions())
    first = labels_of(image / "labels/simsearch")
    shutil.rmtree(image / "labels")
    again = segment(client, find_image_set([image]), model, tmp_path / "out", SegmentOptions())
    np.testing.assert_array_equal(labels_of(image / "labels/simsearch"), first)

    replaced = SegmentOptions(tissue_mask=False, overwrite=True)
    segment(client, find_image_set([image]), model, tmp_path / "other", replaced)
    assert not np.array_equal(labels_of(image / "labels/simsearch"), first)
    with pytest.raises(StoreError, match="expected no labels of this name"):
        segment(client, find_image_set([image]), model, tmp_path / "out", SegmentOptions())
    back = segment(client, find_image_set([image]), model, tmp_path / "out", SegmentOptions(overwrite=True))

    np.testing.assert_array_equal(labels_of(image / "labels/simsearch"), first)
    assert back.images[0].n_pixels == again.images[0].n_pixels


def test_a_full_disk_ends_with_a_way_out_and_the_run_goes_on(
    done: tuple[Path, SegmentReport], client: Client, model: Path, tmp_path: Path
) -> None:
    image, images = write_slide(tmp_path / "slide.ome.zarr"), find_image_set([tmp_path / "slide.ome.zarr"])
    expected = done[0] / "slide.ome.zarr/labels/simsearch"
    largest = max(path.stat().st_size for path in (expected / "0").rglob("*") if path.is_file())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, limits[1]))
    try:
        with pytest.raises(StoreError, match="free some space, then run the same command"):
            segment(client, images, model, tmp_path / "out", SegmentOptions())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    segment(client, images, model, tmp_path / "out", SegmentOptions())
    np.testing.assert_array_equal(labels_of(image / "labels/simsearch"), labels_of(expected))


def test_what_is_no_label_of_ours_is_never_removed_unasked(client: Client, model: Path, tmp_path: Path) -> None:
    image = write_slide(tmp_path / "slide.ome.zarr")
    other = image / "labels/simsearch/notes.txt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(StoreError, match="expected no labels of this name"):
        segment(client, find_image_set([image]), model, tmp_path / "out", SegmentOptions())

    assert other.read_text() == "mine"
