"""Results do not depend on how many workers there are, in which order tiles are done, or on workers that are killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.errors import StoreError
from simsearch.io.tables.peaks import read_peaks
from simsearch.runtime import open_cluster
from simsearch.runtime.events import Event, TaskDone
from simsearch.workflows.find import tiles
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run import segment as segment_module
from simsearch.workflows.run.detect import DetectOptions, detect
from simsearch.workflows.run.segment import SegmentOptions, SegmentReport, segment
from tests.workflows.run.test_detect import check_same
from tests.workflows.run.test_segment import labels_of, write_model, write_slide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from distributed import Client

CLUSTERS = ("one_process", "four")
OVERWRITE = SegmentOptions(beside_image=False)


@pytest.fixture(scope="module")
def four() -> Iterator[Client]:
    with open_cluster("local:4") as client:
        yield client


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut slides into several shards, so that there is something to share out."""
    monkeypatch.setattr(segment_module, "_SHARD", 512)


@pytest.fixture(scope="module")
def expected(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a slide and a model, and beside them what threads of one process find."""
    folder = tmp_path_factory.mktemp("workers")
    write_slide(folder / "slide.ome.zarr")
    write_model(folder / "model.safetensors", (48, 48))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_module, "_SHARD", 512)
        run_segment(client, folder, folder / "segment")
    run_detect(client, folder, folder / "detect")
    return folder


def quiet(event: Event) -> None:
    """Listen to nothing."""


def run_detect(client: Client, folder: Path, out: Path, observe: Callable[[Event], None] = quiet) -> None:
    images = find_image_set([folder / "slide.ome.zarr"])
    detect(client, images, folder / "model.safetensors", out, DetectOptions(floor=0.0, tile=32), observe=observe)


def run_segment(client: Client, folder: Path, out: Path, observe: Callable[[Event], None] = quiet) -> SegmentReport:
    images = find_image_set([folder / "slide.ome.zarr"])
    return segment(client, images, folder / "model.safetensors", out, OVERWRITE, observe=observe)


def check_results(expected: Path, out: Path) -> None:
    found, wanted = (read_peaks(folder / "detect/detections.parquet") for folder in (out, expected))
    check_same(found, wanted)
    labels = [labels_of(folder / "segment/labels/slide.ome.zarr") for folder in (out, expected)]
    assert np.count_nonzero(labels[0] != labels[1]) < 1e-4 * labels[0].size  # of border pixels, where rounding decides


@pytest.mark.cluster
@pytest.mark.parametrize("name", CLUSTERS)
def test_results_do_not_depend_on_workers_or_order(
    request: pytest.FixtureRequest, expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run_tasks = tiles.run_tasks

    def shuffled(client: Client, function: object, tasks: Sequence[object], **options: object) -> object:
        return run_tasks(client, function, random.Random(name).sample(list(tasks), len(tasks)), **options)

    monkeypatch.setattr(tiles, "run_tasks", shuffled)
    client = request.getfixturevalue(name)
    run_detect(client, expected, tmp_path / "detect")
    run_segment(client, expected, tmp_path / "segment")
    check_results(expected, tmp_path)


@pytest.mark.cluster
def test_results_do_not_depend_on_workers_that_are_killed(processes: Client, expected: Path, tmp_path: Path) -> None:
    killed: list[str] = []

    def kill_one(event: Event) -> None:
        if isinstance(event, TaskDone) and event.step in ("detect", "segment") and event.step not in steps:
            steps.append(event.step)
            address, pid = next(iter(processes.run(os.getpid).items()))
            os.kill(pid, signal.SIGKILL)
            killed.append(address)

    steps: list[str] = []
    for name, run in {"detect": run_detect, "segment": run_segment}.items():
        run(processes, expected, tmp_path / name, kill_one)
        while killed[-1] in processes.nthreads() or len(processes.nthreads()) < 2:
            time.sleep(0.05)  # until it is missed, and another is there
    assert steps == ["detect", "segment"]
    check_results(expected, tmp_path)


def test_a_tile_of_a_slide_that_cannot_be_read_is_named_and_the_others_are_segmented(
    client: Client, expected: Path, tmp_path: Path
) -> None:
    image = tmp_path / "slide.ome.zarr"
    shutil.copytree(expected / "slide.ome.zarr", image)
    whole = shutil.copytree(expected / "slide.ome.zarr", tmp_path / "other/whole.ome.zarr")
    (file,) = [path for path in (image / "0/c").rglob("*") if path.is_file()][:1]
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    images = find_image_set([image, whole], skip_errors=True)
    options = SegmentOptions(beside_image=False, tissue_mask=False)
    report = segment(client, images, expected / "model.safetensors", tmp_path / "out", options)
    assert report.failures
    assert all(name.startswith("slide") and str(image) in message for name, message in report.failures)
    n_tiles = sum('"whole ' in line for line in (tmp_path / "out/tiles.jsonl").read_text().splitlines())
    assert n_tiles == 4
    with pytest.raises(StoreError, match="slide"):
        segment(
            client, find_image_set([image, whole]), expected / "model.safetensors", tmp_path / "out", options
        )  # fmt: skip
    file.write_bytes(content)
    computed: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, TaskDone) and event.step == "segment":
            computed.append(event.task)

    again = segment(
        client, find_image_set([image, whole]), expected / "model.safetensors", tmp_path / "out", options,
        observe=observe,
    )  # fmt: skip
    assert not again.failures
    assert set(computed) <= {name for name, _ in report.failures}
