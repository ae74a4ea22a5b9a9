"""Detections that were killed, met what cannot be read or a full disk go on where they were."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import zarr
from click.testing import CliRunner, Result

from simsearch.cli import main
from simsearch.errors import StoreError
from simsearch.io.ome_zarr.plates.hierarchy import write_plate
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.io.tables.peaks import read_peaks
from simsearch.nn import device as device_module
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.model_file import ModelHeader, model_to_bytes
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.runtime.events import Event, StepEnded, TaskDone, TaskFailed
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, DetectReport, detect
from simsearch.workflows.run.objects import rethreshold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client

    from tests.conftest import SaveImage

TILE = 8
"""Positions along a side of a tile: 64 px, of which a field has no more."""
CONVICTION = 20  # of a head that has learned nothing: probabilities are not all a third
WELLS = (Well(0, 0), Well(0, 1), Well(1, 0))
# It waits after the fourth tile, before that is in the log: what kills it hits the middle of its work.
SCRIPT = """
import signal, sys
from pathlib import Path
import torch
from simsearch.runtime import open_cluster
from simsearch.runtime.events import TaskDone
from simsearch.workflows.run.detect import DetectOptions, detect
from simsearch.workflows.image_set import find_image_set

torch.set_num_threads(1)
model, out, tile, *images = sys.argv[1:]
done = []

def observe(event):
    if isinstance(event, TaskDone):
        done.append(event)
    if len(done) == 4:
        print("waiting", flush=True)
        signal.pause()

with open_cluster("threads:1") as client:
    options = DetectOptions(tile=int(tile))
    detect(client, find_image_set(images), Path(model), Path(out), options, observe=observe)
"""


@dataclass(frozen=True)
class Sample:
    """A model, what it is to look at, and what it finds when nothing interferes."""

    model: Path
    plate: Path
    slide: Path
    expected: Path
    """Results of a run without trouble."""

    @property
    def images(self) -> list[Path]:
        """What it is to look at."""
        return [self.plate, self.slide]


def write_model(path: Path, trunk_file: Path, seed: int) -> Path:
    """Write a model that has learned nothing, but has an opinion."""
    torch.manual_seed(seed)
    header = ModelHeader(
        kind="dense",
        classes=("background", "a", "b"),
        patch_shapes=((32.0, 32.0),) * 2,
        downsampling=1,
        channels=("c0",),
        ranges=((0.0, 255.0),),
        dtype="uint8",
        pixel_size_um=None,
        confidence_thresholds=(0.5, 0.5),
        trunk="",
        training={},
    )
    trunk = trunk_from_bytes(read_trunk(str(trunk_file)), 1)
    model = PatchClassifier(trunk, classifier_extractor("dense", (32, 32)), 3)
    with torch.no_grad():
        model.head.weight *= CONVICTION
        model.head.bias.zero_()
    path.write_bytes(model_to_bytes(model, header))
    return path


def write_images(folder: Path, save_image: SaveImage) -> tuple[Path, Path]:
    """Write a plate of fields of one tile, and a slide of several."""
    rng = np.random.default_rng(0)

    def save(path: Path, height: int, width: int) -> None:
        coarse = np.kron(rng.random((height // 8 + 1, width // 8 + 1)), np.ones((8, 8)))[:height, :width]
        save_image(path, (255 * (0.7 * coarse + 0.3 * rng.random((height, width)))).astype(np.uint8)[None])

    plate = folder / "P1.ome.zarr"
    zarr.create_group(plate, zarr_format=3)
    for well in WELLS:
        for field in "01":
            save(plate / well.path / field, 60, 64)
    plate_map = [{"well": well.name, "drug": "none", "dose": 0} for well in WELLS]
    write_plate(
        str(plate), {well: ["0", "1"] for well in WELLS}, name="P1", version="0.5", provenance={"plate_map": plate_map}
    )
    save(folder / "slide.ome.zarr", 100, 150)
    return plate, folder / "slide.ome.zarr"


def run_detect(
    client: Client, sample: Sample, folder: Path, *, observe: Callable[[Event], None] = lambda event: None
) -> DetectReport:
    return detect(
        client, find_image_set(sample.images), sample.model, folder, DetectOptions(tile=TILE), observe=observe
    )


@pytest.fixture(scope="module")
def sample(client: Client, trunk_file: Path, save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("detect_resume")
    model = write_model(folder / "model.safetensors", trunk_file, seed=0)
    sample = Sample(model, *write_images(folder, save_image), folder / "expected")
    report = run_detect(client, sample, sample.expected)
    assert (report.n_tiles, report.n_done_before, report.failures) == (12, 0, ())
    assert min(report.n_objects.values()) > 10
    return sample


def tiles_in(folder: Path) -> list[str]:
    """List the tiles in a log, whole lines only."""
    lines = (folder / "tiles.jsonl").read_text().splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.strip() and line.endswith("}\n")]
    return [line["tile"] for line in whole if "tile" in line]


def content_of(folder: Path) -> dict[str, bytes]:
    """Read all results but what tells when and how they were made."""
    own = ("run.json", "tiles.jsonl", "events.jsonl")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in own
    }


def check_goes_on(client: Client, sample: Sample, folder: Path) -> None:
    """Check that what a log has is not computed again, and that nothing is missing or different in the end."""
    before = tiles_in(folder)
    events: list[Event] = []
    report = run_detect(client, sample, folder, observe=events.append)
    computed = [event.task for event in events if isinstance(event, TaskDone)]
    assert report.n_done_before == len(before)
    assert len(set(before)) == len(before)
    assert len(computed) == report.n_tiles - len(before)
    assert not set(computed) & set(before)
    assert content_of(folder) == content_of(sample.expected)


def cut(path: Path) -> bytes:
    """Cut the pixels of an image short, and return the file as it was."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return whole


def pixels_of(image: Path) -> Path:
    """Find the file of an image's level-0 pixels."""
    (file,) = [path for path in (image / "0" / "c").rglob("*") if path.is_file()]
    return file


@contextmanager
def disk_with(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: a write stops in the middle, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_killed_detection_goes_on_and_finds_the_same(client: Client, sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [sample.model, out, TILE, *sample.images]
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "waiting\n"
            with pytest.raises(StoreError, match="got another command at work"):
                run_detect(client, sample, out)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert len(tiles_in(out)) == 3
    assert not (out / "detections.parquet").exists()
    with (out / "tiles.jsonl").open("a") as file:
        file.write('{"tile": "P1/A/01/0 y 0:64 x 0')  # as where it is killed while it writes
    check_goes_on(client, sample, out)


def test_a_finished_detection_computes_nothing_again(client: Client, sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_detect(client, sample, out)
    check_goes_on(client, sample, out)
    assert len(tiles_in(out)) == 12


def test_thresholds_of_a_detection_can_be_changed_and_changed_back(sample: Sample, tmp_path: Path) -> None:
    out = shutil.copytree(sample.expected, tmp_path / "out")
    rethreshold(out, {"a": 0.9})
    assert content_of(out) != content_of(sample.expected)
    rethreshold(out, {"a": 0.5})
    assert content_of(out) == content_of(sample.expected)


def test_without_skipping_the_first_error_ends_the_run_and_the_rest_is_kept(
    client: Client, sample: Sample, tmp_path: Path
) -> None:
    field = sample.plate / WELLS[2].path / "1"
    whole = cut(pixels_of(field))
    try:
        with pytest.raises(StoreError, match=r"P1/B/01/1: expected pixels .* is damaged"):
            run_detect(client, sample, tmp_path / "out")
    finally:
        pixels_of(field).write_bytes(whole)
    assert not (tmp_path / "out" / "detections.parquet").exists()
    assert "P1/B/01/1 y 0:64 x 0:64" not in tiles_in(tmp_path / "out")
    check_goes_on(client, sample, tmp_path / "out")


def run_command(sample: Sample, out: Path, *more: str) -> Result:
    arguments = ["detect", sample.model, *sample.images, "--out", out, "--tile", TILE, "--cluster", "threads:1", *more]
    return CliRunner(catch_exceptions=False).invoke(main, [str(argument) for argument in arguments])


def test_a_field_that_cannot_be_read_is_named_and_tried_again(client: Client, sample: Sample, tmp_path: Path) -> None:
    out, tile = tmp_path / "out", "P1/A/02/0 y 0:64 x 0:64"
    field = sample.plate / WELLS[1].path / "0"
    whole = cut(pixels_of(field))
    try:
        result = run_command(sample, out, "--skip-errors")
        assert result.exit_code == 2
        said = " ".join((result.stdout + result.stderr).split())
        assert "P1/A/02/0 y 0:64" in said
        ((name, message),) = json.loads((out / "run.json").read_text())["report"]["failures"]
        assert name == tile
        assert str(field) in message
        assert len(tiles_in(out)) == 11
        found, expected = content_of(out), content_of(sample.expected)
        lost = "geojson/P1/A/02/0.geojson"
        assert set(expected) - set(found) == {lost}
        same = [name for name in expected if name.startswith("geojson/") and name != lost]
        assert [found[name] for name in same] == [expected[name] for name in same]
        lines = [set(content["detections.csv"].splitlines()) for content in (found, expected)]
        assert lines[1] - lines[0] == {line for line in lines[1] if b'"P1/A/02/0"' in line}
        assert not lines[0] - lines[1]

        events: list[Event] = []
        again = detect(
            client, find_image_set(sample.images, skip_errors=True), sample.model, out, DetectOptions(tile=TILE),
            observe=events.append,
        )  # fmt: skip
        assert [event.task for event in events if isinstance(event, TaskFailed)] == [tile]
        assert not any(isinstance(event, TaskDone) for event in events)
        assert [name for name, _ in again.failures] == [tile]
    finally:
        pixels_of(field).write_bytes(whole)

    check_goes_on(client, sample, out)
    assert tiles_in(out)[-1] == tile
    assert json.loads((out / "run.json").read_text())["report"]["failures"] == []


def test_the_command_ends_well_where_nothing_fails(sample: Sample, tmp_path: Path) -> None:
    assert run_command(sample, tmp_path / "out").exit_code == 0
    assert content_of(tmp_path / "out") == content_of(sample.expected)


def test_results_of_another_model_image_or_option_are_kept(
    client: Client, sample: Sample, trunk_file: Path, tmp_path: Path
) -> None:
    out, options = tmp_path / "out", DetectOptions(tile=TILE)
    run_detect(client, sample, out)
    other = write_model(tmp_path / "other.safetensors", trunk_file, seed=1)
    images = find_image_set(sample.images)
    before = content_of(out), (out / "tiles.jsonl").read_bytes(), (out / "run.json").read_bytes()
    for attempt in (
        partial(detect, client, images, other, out, options),
        partial(detect, client, images, sample.model, out, DetectOptions(tile=TILE, floor=0.1)),
        partial(detect, client, find_image_set([sample.slide]), sample.model, out, options),
    ):
        with pytest.raises(StoreError, match=r"out: expected results of the same run .*--overwrite"):
            attempt()
    assert (content_of(out), (out / "tiles.jsonl").read_bytes(), (out / "run.json").read_bytes()) == before

    alone = find_image_set([sample.slide])
    report = detect(client, alone, other, out, DetectOptions(tile=TILE, overwrite=True))
    assert (report.n_images, report.n_done_before) == (1, 0)
    fresh = detect(client, alone, other, tmp_path / "fresh", options)
    assert report.n_objects == fresh.n_objects
    assert content_of(out) == content_of(tmp_path / "fresh")  # nothing of the plate is left


def test_a_full_disk_keeps_what_fitted(client: Client, sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "out"
    half = (sample.expected / "tiles.jsonl").stat().st_size // 2
    with (
        disk_with(half),
        pytest.raises(StoreError, match=r"tiles\.jsonl: .*free some space, then run the same command"),
    ):
        run_detect(client, sample, out)
    assert 2 <= len(tiles_in(out)) <= 10
    assert not (out / "detections.parquet").exists()
    check_goes_on(client, sample, out)


def test_a_disk_that_is_full_at_the_end_costs_no_tile(client: Client, sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "out"
    limit = (sample.expected / "detections.parquet").stat().st_size - 100
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(event: Event) -> None:
        if isinstance(event, StepEnded):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))

    try:
        with pytest.raises(StoreError, match=r"out: .*free some space, then run the same command"):
            run_detect(client, sample, out, observe=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (out / "detections.parquet").exists()
    assert len(tiles_in(out)) == 12
    check_goes_on(client, sample, out)


def test_a_place_that_is_no_folder_is_named(client: Client, sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/out: expected to write, got .*: check the path"):
        run_detect(client, sample, tmp_path / "file" / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(client: Client, sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o500)
    try:
        with pytest.raises(StoreError, match=r"out/tiles\.jsonl: .*check the path and the permissions"):
            run_detect(client, sample, out)
    finally:
        out.chmod(0o700)
    run_detect(client, sample, out)
    assert content_of(out) == content_of(sample.expected)


def test_an_image_that_could_not_be_opened_is_added_when_it_can(client: Client, sample: Sample, tmp_path: Path) -> None:
    out, field = tmp_path / "out", sample.plate / WELLS[1].path / "0"
    description = field / "zarr.json"
    whole = cut(description)
    try:
        result = run_command(sample, out, "--skip-errors")
        assert result.exit_code == 2
        assert str(field) in " ".join((result.stdout + result.stderr).split())
        assert len(tiles_in(out)) == 11
    finally:
        description.write_bytes(whole)

    check_goes_on(client, sample, out)
    assert tiles_in(out)[-1] == "P1/A/02/0 y 0:64 x 0:64"


def test_an_image_that_was_written_anew_is_refused_and_results_stay(
    client: Client, sample: Sample, save_image: SaveImage, tmp_path: Path
) -> None:
    slide = tmp_path / "slide.ome.zarr"
    save_image(slide, np.zeros((1, 100, 150), np.uint8))
    moved = replace(sample, slide=slide)
    run_detect(client, moved, tmp_path / "out")
    before = content_of(tmp_path / "out")
    shutil.rmtree(slide)
    save_image(slide, np.full((1, 90, 150), 9, np.uint8))
    with pytest.raises(StoreError, match="expected slide as it was when this run began"):
        run_detect(client, moved, tmp_path / "out")
    assert content_of(tmp_path / "out") == before


def test_a_run_in_another_arithmetic_is_refused_and_peaks_are_near_those_of_an_exact_one(
    client: Client, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "native_arithmetic", lambda: "bfloat16")
    slide, tables = find_image_set([sample.slide]), {}
    for is_exact in (False, True):
        options = DetectOptions(tile=TILE, exact=is_exact)
        folder = tmp_path / str(is_exact)
        detect(client, slide, sample.model, folder, options)
        recorded = json.loads((folder / "run.json").read_text())["arithmetic"]
        assert recorded == ("float32" if is_exact else "bfloat16")
        tables[is_exact] = read_peaks(folder / "detections.parquet")
        with pytest.raises(StoreError, match="arithmetic"):
            detect(client, slide, sample.model, folder, replace(options, exact=not is_exact))
    clear = [peak for peak in tables[True] if peak.score >= 0.4]
    assert len(clear) > 5
    apart = [
        min(
            (math.hypot(p.y - one.y, p.x - one.x), abs(p.score - one.score))
            for p in tables[False]
            if p.class_name == one.class_name
        )
        for one in clear
    ]
    moves, changes = np.array(apart).T
    is_same = moves < 8
    assert is_same.mean() > 0.9  # of what has learned nothing and looks at noise: plateaus, where maxima come and go
    assert 0 < changes[is_same].max() < 0.03
