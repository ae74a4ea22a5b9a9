"""A step whose tiles do not fit into workers says so before it begins, and one that fits says nothing."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from simsearch.cli import main
from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.image import ImageMeta, describe_image
from simsearch.io.ome_zarr.scaled import scaled
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image
from simsearch.nn.classifier import classifier_extractor
from simsearch.nn.extractor import Extractor, make_extractor, needed_region
from simsearch.runtime.clusters.workers import TASKS, WORKER_BYTES
from simsearch.runtime.events import Noted, StepStarted
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks import fitting
from simsearch.runtime.tasks.detect import DetectTask
from simsearch.runtime.tasks.fitting import misfits
from simsearch.runtime.tasks.needs import USUAL, Layers, Need, need_to_see
from simsearch.runtime.tasks.search import SearchTask
from simsearch.runtime.tasks.segment import SegmentTask
from simsearch.runtime.views import View

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

    from simsearch.runtime.events import Event
    from tests.conftest import SaveImage

MIB, GIB = 2**20, 2**30
OTHERS = ("tls://10.0.0.1:4001", "tls://10.0.0.2:4001")


@dataclass(frozen=True)
class Tile:
    """A task that needs so much."""

    need: Need

    def __str__(self) -> str:
        return "tile"


def look(task: Tile) -> int:
    return task.need.process


class Limits:
    """Stands in for what Dask tells of the limits of workers."""

    def __init__(self, client: Client, *limits: int | None) -> None:
        (own,) = client.scheduler_info(n_workers=-1)["workers"]
        self.workers = {
            address: {"nthreads": 2, "memory_limit": limit}
            for address, limit in zip((own, *OTHERS), limits, strict=False)
        }

    def __call__(self, n_workers: int) -> dict[str, Any]:
        """Tell of all workers."""
        return {"workers": self.workers}


@pytest.fixture
def told(client: Client, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401  a function of the test
    monkeypatch.setattr(fitting, "_told", type(fitting._told)())

    def tell(*limits: int | None, need: Need, step: str = "detect") -> list[Event]:
        events: list[Event] = []
        monkeypatch.setattr(client, "scheduler_info", Limits(client, *limits))
        list(run_tasks(client, look, [Tile(need)] * 3, step=step, observe=events.append))
        return events

    return tell


def notes(events: list[Event]) -> list[str]:
    return [event.note for event in events if isinstance(event, Noted)]


def test_one_line_names_worker_host_need_limit_and_the_way_out(client: Client, told: Any) -> None:  # noqa: ANN401
    (worker,) = client.nthreads()
    events = told(1 * GIB, 8 * GIB, 1 * GIB, need=Need(1 * GIB, 500 * MIB, 100 * MIB, "--tile"))
    assert notes(events) == [
        f"detect: expected about 1.6 GiB of memory for a worker with its tiles, got 1.0 GiB for worker {worker} on "
        f"{socket.gethostname()} and 1 more: start fewer, each with more, or choose a smaller --tile"
    ]
    assert [type(event) for event in events[:2]] == [Noted, StepStarted]


def test_the_same_is_not_told_of_each_step_but_more_is(told: Any) -> None:  # noqa: ANN401
    need = Need(1 * GIB, 0, 0)
    assert len(notes(told(1 * GIB, need=need))) == 1
    assert notes(told(1 * GIB, need=need, step="level 1")) == []
    (more,) = notes(told(1 * GIB, need=Need(2 * GIB, 0, 0), step="level 2"))
    assert more.startswith("level 2: expected about 2.0 GiB")
    assert more.endswith(": start fewer, each with more")


@pytest.mark.parametrize("limit", [2 * GIB, None, 0])
def test_nothing_is_told_where_it_fits_or_nobody_limits(told: Any, limit: int | None) -> None:  # noqa: ANN401
    assert notes(told(limit, need=Need(1 * GIB, 500 * MIB, 100 * MIB))) == []


def test_more_tasks_at_a_time_need_more() -> None:
    need = Need(process=1000, computing=300, reading=50)
    few, many = ({"a": {"nthreads": n, "memory_limit": 1500}} for n in (2, 8))
    assert misfits([need], few) == []
    (found,) = misfits([need, Need(10, 10, 10)], many)
    assert (found.worker, found.needed_bytes, found.limit_bytes) == ("a", 1650, 1500)


def test_what_is_planned_for_a_worker_is_what_an_rgb_tile_needs_and_a_little_more() -> None:
    assert 0.7 * WORKER_BYTES < USUAL.of(TASKS) < 0.85 * WORKER_BYTES


@pytest.mark.parametrize(
    ("side", "layers", "measured_mib"), [(568, "float32", 981), (2368, "float32", 1674), (2368, "bfloat16", 1564)]
)
def test_the_formula_is_near_what_was_measured(side: int, layers: Layers, measured_mib: int) -> None:
    need = need_to_see(side * side, n_channels=3, itemsize=1, layers=layers).of(TASKS) / MIB
    assert measured_mib < need < 1.08 * measured_mib


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> ImageMeta:
    """Describe a slide that has no chunks."""
    path = tmp_path_factory.mktemp("slide") / "slide.ome.zarr"
    names, colors = ("R", "G", "B"), ("FF0000", "00FF00", "0000FF")
    template = ImageTemplate(3, (4096, 4096), "uint8", names, colors, (0.5, 0.5), is_sparse=True)
    create_image(path, template)
    finish_image(path, template)
    return describe_image(path)


def seen(slide: ImageMeta, extractor: Extractor, downsampling: int = 1) -> View:
    return View(scaled(slide, downsampling), (0, 1, 2), ((0.0, 255.0),) * 3, extractor, "")


def test_a_tile_needs_what_it_reads_its_surroundings_included(slide: ImageMeta) -> None:
    view, window = seen(slide, classifier_extractor("dense", (48, 48))), Region(128, 256, 128, 256)
    task = DetectTask(view, window, 0.5)
    region = needed_region(view.extractor, window.grown(view.margin + view.peak_radius), slide.shape)
    assert task.need == need_to_see(region.shape[0] * region.shape[1], 3, 1, "--tile")
    at_the_corner = DetectTask(view, Region(0, 128, 0, 128), 0.5).need
    assert task.need.computing > at_the_corner.computing > 0.8 * task.need.computing
    assert task.need.of(TASKS) < USUAL.of(TASKS)


def test_a_coarser_scale_that_no_level_has_is_read_from_a_finer_one(slide: ImageMeta) -> None:
    extractor, window = make_extractor("template", (48, 48)), Region(32, 48, 32, 48)
    one_level = replace(slide, levels=slide.levels[:1])
    fine, coarse = (SearchTask(seen(image, extractor, 4), window, "", 0.5).need for image in (slide, one_level))
    assert coarse.computing == fine.computing
    assert coarse.reading > 2 * fine.reading


def test_kept_vectors_cost_less_than_the_trunk(slide: ImageMeta) -> None:
    view = seen(slide, make_extractor("template", (48, 48)))
    computed, kept = (
        SearchTask(each, Region(0, 128, 0, 128), "", 0.5).need for each in (view, replace(view, features="f"))
    )
    assert 0 < kept.computing < computed.computing


def test_a_shard_of_labels_needs_its_window(slide: ImageMeta) -> None:
    view = seen(slide, classifier_extractor("dense", (48, 48)))
    needs = [SegmentTask(view, Region(0, side, 0, side), "labels", (0.5,)).need for side in (1024, 4096)]
    assert 9 < needs[1].computing / needs[0].computing < 16
    assert needs[0].smaller == ""


@pytest.mark.parametrize("command", ["measure", "convert", "search"])
def test_commands_say_it(
    save_image: SaveImage, trunk_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(fitting, "fits", lambda needed_bytes, limit_bytes: needed_bytes < 100 * MIB)
    image = save_image(tmp_path / "a.ome.zarr", np.arange(96 * 96, dtype=np.uint16).reshape(1, 96, 96))
    (tmp_path / "boxes.csv").write_text("image,class,y,x,height,width\na,bright,48,48,32,32\n")
    words = {
        "measure": ["measure", image.path],
        "convert": ["convert", image.path, str(tmp_path / "copy.ome.zarr")],
        "search": ["search", image.path, "--prototypes", str(tmp_path / "boxes.csv"), "--trunk", str(trunk_file)],
    }[command]
    words += ["--out", str(tmp_path / "found")] if command == "search" else []
    run = CliRunner(catch_exceptions=False).invoke(main, [*words, "--cluster", "threads:1"])
    assert run.exit_code == 0, run.output
    told = [line for line in run.output.splitlines() if "of memory for a worker with its tiles" in line]
    steps = {"measure": ["measure"], "convert": ["level 0"], "search": ["measure", "search"]}[command]
    assert [line.split(":")[1].strip() for line in told] == steps
