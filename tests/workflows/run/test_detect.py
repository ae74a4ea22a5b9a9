"""A model finds what it was trained for, wherever tiles meet and whoever computes, and refuses other images."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet
import pytest
import torch

from simsearch.core.peaks import Peak, objects
from simsearch.core.synthetic import CYTOPLASM, NUCLEUS
from simsearch.errors import ModelFileError, StoreError
from simsearch.io.ome_zarr.image import describe_image, open_image
from simsearch.io.tables.peaks import read_peaks
from simsearch.nn.device import native_arithmetic
from simsearch.nn.model_file import ModelHeader, make_classifier, model_from_bytes, model_to_bytes
from simsearch.nn.trunk_file import BUNDLED_SHA256, read_trunk, trunk_from_bytes
from simsearch.runtime.events import Event, TaskDone
from simsearch.workflows.image_set import ImageSet
from simsearch.workflows.learn.evaluate import evaluate
from simsearch.workflows.run.detect import DetectOptions, DetectReport, detect
from simsearch.workflows.run.objects import rethreshold

if TYPE_CHECKING:
    from distributed import Client

    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.workflows.learn.train import TrainReport
    from tests.conftest import SaveImage
    from tests.workflows.conftest import Cells

CLASSES = (CYTOPLASM, NUCLEUS)


def image_set(paths: tuple[str | Path, ...], *, skip_errors: bool = False) -> ImageSet:
    return ImageSet([describe_image(path) for path in paths], skip_errors=skip_errors)


def found_in(folder: Path) -> list[Peak]:
    return read_peaks(folder / "detections.parquet")


def check_same(first: list[Peak], second: list[Peak], *, places: float = 0.05, scores: float = 2e-3) -> None:
    """Check that two runs found the same.

    Tiles of other sizes are convolved in another order, and features rounded to half floats, by one part in 2000: a
    score moves by less than that, a place by far less than the 8 px of the grid.
    """
    assert len(first) == len(second) > 0

    for one in first:
        near = [
            p
            for p in second
            if (p.image, p.class_name) == (one.image, one.class_name) and math.hypot(p.y - one.y, p.x - one.x) < places
        ]
        assert len(near) == 1, one
        assert near[0].score == pytest.approx(one.score, abs=scores)


@pytest.fixture(scope="module")
def report(
    client: Client, trained: TrainReport, cells: Cells, tmp_path_factory: pytest.TempPathFactory
) -> DetectReport:
    """Run the trained model over images that no study knows, in one tile each."""
    folder = tmp_path_factory.mktemp("detections") / "out"
    return detect(client, image_set(cells.unseen), trained.model, folder, DetectOptions())


def test_planted_cells_are_found_as_what_they_are(report: DetectReport, cells: Cells) -> None:
    there = cells.in_images("ghi", margin=12)
    best = objects(found_in(report.folder), dict.fromkeys(CLASSES, 0.2))
    n_found = n_right = 0
    for o in there:
        near = [p for p in best if p.image == o.image and math.hypot(p.y - o.y, p.x - o.x) < 12]
        n_found += bool(near)
        n_right += any(p.class_name == o.class_name for p in near)
    assert n_found > 0.8 * len(there)
    assert n_right > 0.7 * len(there)
    empty = [p for p in best if all(o.image != p.image or math.hypot(p.y - o.y, p.x - o.x) > 20 for o in cells.truth)]
    assert len(empty) < 0.2 * len(best)


def test_the_report_counts_objects_at_the_models_thresholds(report: DetectReport) -> None:
    assert report.confidence_thresholds == dict.fromkeys(CLASSES, 0.5)
    best = objects(found_in(report.folder), report.confidence_thresholds)
    counts = Counter(peak.class_name for peak in best)
    assert report.n_objects == {name: counts[name] for name in CLASSES}
    assert sum(counts.values()) > 10
    assert (report.n_images, report.n_tiles, report.n_done_before, report.failures) == (3, 3, 0, ())


def test_tables_hold_all_that_is_not_below_the_floor(report: DetectReport, trained: TrainReport) -> None:
    rows = pyarrow.parquet.read_table(report.folder / "detections.parquet").to_pylist()
    with (report.folder / "detections.csv").open(newline="") as file:
        texts = list(csv.DictReader(file))
    assert len(texts) == len(rows)
    for row, text in zip(rows, texts, strict=True):
        assert 0.05 <= row["confidence"] <= 1
        assert float(text["confidence"]) == pytest.approx(row["confidence"])
        assert (row["y_um"], row["x_um"]) == pytest.approx((0.5 * row["y"], 0.5 * row["x"]))
        assert (row["height"], row["width"], row["model"]) == (40, 40, trained.sha256)
        assert row["well"] is None
    assert {row["image"] for row in rows} == set("ghi")
    assert min(row["confidence"] for row in rows) < 0.2
    run = json.loads((report.folder / "run.json").read_text())
    assert run["workflow"] == "detect"
    assert run["model"].endswith(f"@{trained.sha256}")
    assert run["trunk"] == f"bundled@{BUNDLED_SHA256[:16]}"


def test_what_was_run_is_written_down(report: DetectReport, trained: TrainReport) -> None:
    run = json.loads((report.folder / "run.json").read_text())
    assert {"workflow", "finished", "python", "versions", "run", "options", "model", "header", "plates"} <= set(run)
    assert run["options"] == {"floor": 0.05, "tile": None, "tissue_mask": True, "exact": False, "overwrite": False}
    assert run["arithmetic"] == native_arithmetic()
    assert run["header"]["classes"] == ["background", *CLASSES]
    assert run["confidence_thresholds"] == dict.fromkeys(CLASSES, 0.5)
    assert len(run["images"]) == 3
    assert {"simsearch", "torch", "zarr"} <= set(run["versions"])
    first = json.loads((report.folder / "tiles.jsonl").read_text().splitlines()[0])
    assert first == {"format": run["format"], "fingerprint": run["run"]}


def test_a_higher_floor_leaves_low_detections_out(
    client: Client, report: DetectReport, trained: TrainReport, cells: Cells, tmp_path: Path
) -> None:
    detect(client, image_set(cells.unseen), trained.model, tmp_path / "out", DetectOptions(floor=0.4))
    expected = [peak for peak in found_in(report.folder) if peak.score >= 0.4]
    assert len(expected) < len(found_in(report.folder))
    check_same(found_in(tmp_path / "out"), expected)


@pytest.mark.parametrize("tile", [8, 11])
def test_detections_do_not_depend_on_tiles(
    client: Client, report: DetectReport, trained: TrainReport, cells: Cells, tmp_path: Path, tile: int
) -> None:
    made = detect(client, image_set(cells.unseen), trained.model, tmp_path / "out", DetectOptions(tile=tile))
    assert made.n_tiles > 3
    check_same(found_in(tmp_path / "out"), found_in(report.folder))


@pytest.mark.cluster
def test_detections_do_not_depend_on_workers(
    processes: Client,
    one_process: Client,
    report: DetectReport,
    trained: TrainReport,
    cells: Cells,
    tmp_path: Path,
) -> None:
    for name, cluster in {"two": processes, "one": one_process}.items():
        detect(cluster, image_set(cells.unseen), trained.model, tmp_path / name, DetectOptions(tile=11))
    check_same(found_in(tmp_path / "one"), found_in(tmp_path / "two"))
    check_same(found_in(tmp_path / "one"), found_in(report.folder))


def make_model(path: Path, kind: str, *shapes: tuple[int, int]) -> Path:
    """Write a model whose head is random, with one patch for two classes or with two."""
    torch.manual_seed(0)
    trunk = trunk_from_bytes(read_trunk("bundled"), 2)
    header = ModelHeader(
        kind=kind,
        classes=("background", *CLASSES),
        patch_shapes=tuple((float(height), float(width)) for height, width in (shapes[0], shapes[-1])),
        downsampling=1,
        channels=("GFP", "DNA"),
        ranges=((130.0, 700.0), (130.0, 800.0)),
        dtype="uint16",
        pixel_size_um=None,
        confidence_thresholds=(0.5, 0.5),
        trunk="0" * 64,
        training={},
    )
    path.write_bytes(model_to_bytes(make_classifier(trunk, header).eval(), header))
    return path


@pytest.fixture(scope="module")
def small(cells: Cells, save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> ImageMeta:
    """Save a part of an image."""
    pixels = open_image(cells.unseen[0]).values[:, :104, :120]
    return save_image(tmp_path_factory.mktemp("small") / "small.ome.zarr", pixels, channel_names=("GFP", "DNA"))


@pytest.mark.parametrize(
    ("kind", "shapes", "tile"),
    [
        ("dense", [(56, 24)], 8),
        ("dense", [(24, 56)], 8),
        ("dense", [(16, 24), (56, 40)], 8),
        ("patchwise", [(24, 48)], 11),
    ],
)
def test_other_models_and_patches_do_not_depend_on_tiles_either(
    client: Client, small: ImageMeta, tmp_path: Path, kind: str, shapes: list[tuple[int, int]], tile: int
) -> None:
    model = make_model(tmp_path / "random.safetensors", kind, *shapes)
    for name, size in {"whole": 128, "tiles": tile}.items():
        options = DetectOptions(floor=0.0, tile=size)
        assert (detect(client, ImageSet([small]), model, tmp_path / name, options).n_tiles > 1) == (name == "tiles")
    check_same(found_in(tmp_path / "tiles"), found_in(tmp_path / "whole"), places=0.5, scores=2e-3)


def test_a_detection_says_what_the_model_says_of_that_patch(client: Client, small: ImageMeta, tmp_path: Path) -> None:
    path = make_model(tmp_path / "random.safetensors", "patchwise", (32, 40))
    detect(client, ImageSet([small]), path, tmp_path / "out", DetectOptions(floor=0.0, exact=True))
    model, header = model_from_bytes(path.read_bytes())
    ranges = np.array(header.ranges)[:, :, None, None]
    pixels = open_image(small).values
    image = np.clip((pixels - ranges[:, 0]) / (ranges[:, 1] - ranges[:, 0]), 0, 1).astype(np.float32)
    inner = [p for p in found_in(tmp_path / "out") if 20 < p.y < 83 and 24 < p.x < 95]
    assert len(inner) >= 3
    for peak in inner:
        # Of a grid of 4 px; a peak is refined by at most half a step, its height is that on the grid.
        y, x = (int(4 * round(at / 4) + 0.5) for at in (peak.y, peak.x))
        patch = torch.from_numpy(image[None, :, y - 16 : y + 16, x - 20 : x + 20])
        confidence = model(patch).softmax(dim=1)[0, header.classes.index(peak.class_name)].item()
        assert peak.score == pytest.approx(confidence, abs=1e-3)


# Images that do not fit


def test_images_that_a_model_was_not_trained_for_are_named(
    client: Client, trained: TrainReport, save_image: SaveImage, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (2, 100, 100))
    named = {"channel_names": ("GFP", "DNA")}
    wrong = {
        "channels": (pixels.astype(np.uint16), {"channel_names": ("GFP", "actin")}, "channels GFP, DNA that the model"),
        "type": (pixels.astype(np.uint8), named, "uint16 pixels as in training, got uint8"),
        "size": (pixels.astype(np.uint16), {**named, "pixel_size_um": (0.25, 0.25)}, "use images of the same magnif"),
    }
    for name, (values, changes, message) in wrong.items():
        image = save_image(tmp_path / f"{name}.ome.zarr", values, **changes)
        with pytest.raises(ModelFileError, match=rf"^{name}: expected .*{message}"):
            detect(client, ImageSet([image]), trained.model, tmp_path / "out", DetectOptions())
    assert not (tmp_path / "out").exists()


def test_with_skip_errors_what_does_not_fit_or_cannot_be_read_is_left_out(
    client: Client, report: DetectReport, trained: TrainReport, cells: Cells, save_image: SaveImage, tmp_path: Path
) -> None:
    other = save_image(tmp_path / "other.ome.zarr", np.zeros((2, 100, 100), np.uint16), channel_names=("GFP", "actin"))
    torn = Path(shutil.copytree(cells.unseen[0], tmp_path / "torn.ome.zarr"))
    for file in (torn / "0" / "c").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-2000])
    paths = (cells.unseen[1], other.path, torn)
    with pytest.raises(ModelFileError, match=r"^other: "):
        detect(client, image_set(paths), trained.model, tmp_path / "out", DetectOptions())
    with pytest.raises(StoreError, match=r"^torn: expected pixels at level 0"):
        detect(client, image_set((paths[0], torn)), trained.model, tmp_path / "out", DetectOptions())
    made = detect(client, image_set(paths, skip_errors=True), trained.model, tmp_path / "new", DetectOptions())
    failures = dict(made.failures)
    assert len(failures) == 2
    assert "channels GFP, DNA" in failures["other"]
    (name,) = set(failures) - {"other"}
    assert name.startswith("torn")
    assert "expected pixels at level 0" in failures[name]
    check_same(found_in(tmp_path / "new"), [p for p in found_in(report.folder) if p.image == "h"])


def test_what_is_no_model_is_named(client: Client, cells: Cells, tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no model")
    with pytest.raises(ModelFileError, match=r"text\.safetensors: expected a model of simsearch"):
        detect(client, image_set(cells.unseen), tmp_path / "text.safetensors", tmp_path / "out", DetectOptions())
    with pytest.raises(ModelFileError, match=r"gone\.safetensors: expected a model, got No such file"):
        detect(client, image_set(cells.unseen), tmp_path / "gone.safetensors", tmp_path / "out", DetectOptions())


# Results that are there


@pytest.fixture
def there(report: DetectReport, tmp_path: Path) -> Path:
    """Copy the results."""
    return Path(shutil.copytree(report.folder, tmp_path / "there"))


def test_results_of_another_run_are_kept_unless_asked(
    client: Client, trained: TrainReport, cells: Cells, there: Path
) -> None:
    before = (there / "detections.parquet").read_bytes()
    for images, options in (
        (image_set(cells.unseen[:1]), DetectOptions()),
        (image_set(cells.unseen), DetectOptions(floor=0.5)),
    ):
        with pytest.raises(StoreError, match=r"there: expected results of the same .*, got others: add --overwrite"):
            detect(client, images, trained.model, there, options)
    assert (there / "detections.parquet").read_bytes() == before
    report = detect(client, image_set(cells.unseen[:1]), trained.model, there, DetectOptions(overwrite=True))
    assert (report.n_images, report.n_done_before) == (1, 0)
    assert {peak.image for peak in found_in(there)} == {"g"}


def test_what_is_done_is_not_done_again(
    client: Client, trained: TrainReport, report: DetectReport, cells: Cells, there: Path
) -> None:
    again = detect(client, image_set(cells.unseen), trained.model, there, DetectOptions())
    assert (again.n_tiles, again.n_done_before) == (3, 3)
    assert found_in(there) == found_in(report.folder)
    log = there / "tiles.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    _, second, _ = (at for at, line in enumerate(lines) if '"tile"' in line)
    log.write_text("".join(lines[:second]) + lines[second][:20])  # killed while the second tile was being written
    events: list[Event] = []
    resumed = detect(client, image_set(cells.unseen), trained.model, there, DetectOptions(), observe=events.append)
    assert resumed.n_done_before == 1
    assert len([event for event in events if isinstance(event, TaskDone)]) == 2
    check_same(found_in(there), found_in(report.folder))


def test_chosen_thresholds_stay_when_the_same_run_goes_on(
    client: Client, trained: TrainReport, cells: Cells, there: Path
) -> None:
    rethreshold(there, {NUCLEUS: 0.8}, aside=[CYTOPLASM])
    chosen = (there / "objects.csv").read_bytes()
    again = detect(client, image_set(cells.unseen), trained.model, there, DetectOptions())
    assert again.confidence_thresholds == {CYTOPLASM: 0.5, NUCLEUS: 0.8}
    assert (there / "objects.csv").read_bytes() == chosen
    run = json.loads((there / "run.json").read_text())
    assert run["confidence_thresholds"] == {CYTOPLASM: 0.5, NUCLEUS: 0.8}
    assert run["aside"] == [CYTOPLASM]
    (there / "run.json").write_text(json.dumps({**run, "run": "another"}))
    again = detect(client, image_set(cells.unseen), trained.model, there, DetectOptions())
    assert again.confidence_thresholds == dict.fromkeys(CLASSES, 0.5)


def test_a_run_that_begins_anew_has_the_thresholds_of_its_model(
    client: Client, trained: TrainReport, cells: Cells, there: Path
) -> None:
    rethreshold(there, {NUCLEUS: 0.8})
    report = detect(client, image_set(cells.unseen), trained.model, there, DetectOptions(overwrite=True))
    assert report.confidence_thresholds == dict.fromkeys(CLASSES, 0.5)


def test_detections_can_be_evaluated(report: DetectReport, cells: Cells, tmp_path: Path) -> None:
    rows = ["image,class,y,x", *(f"{o.image},{o.class_name},{o.y},{o.x}" for o in cells.in_images("ghi"))]
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")
    scores = evaluate(report.folder / "detections.parquet", tmp_path / "truth.csv", tmp_path / "out").classes
    assert {score.class_name for score in scores} == set(CLASSES)
    assert all(score.average_precision > 0.6 for score in scores)
    assert sum(score.n_found for score in scores) == len(found_in(report.folder))
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {".lock", "curves.csv", "curves.png", "curves.svg", "scores.csv"}
