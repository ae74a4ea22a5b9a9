"""A slide of 100,000 x 100,000 px and a plate of 384 wells x 9 fields: what they cost here, and would elsewhere.

The real tasks of a detection go through the real `run_tasks`. What does not fit into the time is sampled: tiles in a
random order that does not change, until the time is over.
"""

from __future__ import annotations

import hashlib
import random
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cost_model import Costs, Job
from benchmarks.memory import in_new_process, memory_of_processes
from benchmarks.search_speed import use_one_thread
from benchmarks.synthetic import CELL, FLOOR, islands, write_fields, write_model, write_slide
from simsearch.core.tiles import tile_cores
from simsearch.runtime import open_cluster
from simsearch.runtime.outcomes import Failed
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.detect import DetectTask, detect_tile
from simsearch.runtime.worker import lent
from simsearch.workflows.find.model_views import model_view
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect
from simsearch.workflows.run.models import read_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.runtime import Client

SLIDE_SIDE, TISSUE_SHARE = 100_000, 0.1
N_WELLS, N_FIELDS = 384, 9
_TILE = 128  # grid positions: what detect takes for dense models


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at, as it lies in a folder."""

    name: str
    """``slide`` or ``plate``."""
    path: Path
    model: Path
    occupied: NDArray[np.bool_] | None
    """For each cell of a slide whether it has tissue."""
    seconds: float
    """How long it took to write."""
    disk_mb: float
    """Space on disk, hard links counted once."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What came out of computing some of the tiles."""

    n_workers: int
    """Of one thread each."""
    n_tiles: int
    """In the whole."""
    n_tissue: int
    """Of them with tissue: those sampled from."""
    n_done: int
    """Computed in the time there was."""
    megapixels: float
    """Size of those computed."""
    seconds: float
    """How long that took."""
    planning_s: float
    """How long it took to describe images and to list tiles."""
    peaks_mib: dict[str, float]
    """Peak resident memory by process."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is extrapolated."""
        return self.n_done == self.n_tissue

    @property
    def job(self) -> Job:
        """All tiles with tissue."""
        return Job(self.n_tissue, self.megapixels / self.n_done)

    @property
    def costs(self) -> Costs:
        """What they cost on these workers, but for the scheduler."""
        return Costs(self.n_workers * self.seconds / self.megapixels, overhead_s=0.0, fixed_s=self.planning_s)


def write_subject(name: str, folder: Path, *, side: int, n_wells: int) -> Subject:
    """Write the slide or the plate, and a model for it."""
    begin = time.perf_counter()
    occupied = None
    if name == "slide":
        occupied = islands(-(-side // CELL), TISSUE_SHARE)
        path = write_slide(folder / "slide.ome.zarr", side, occupied)
    else:
        path = write_fields(folder / "plate.ome.zarr", n_wells, N_FIELDS)
    seconds = time.perf_counter() - begin
    model = write_model(folder / f"{name}.safetensors", plate=name == "plate")
    return Subject(name, path, model, occupied, seconds, _disk_mb(path))


def sample(subject: Subject, n_workers: int, budget_s: float) -> Sample:
    """Compute tiles with tissue in a random order for some time, in new processes."""
    return in_new_process(_sample, subject, n_workers, budget_s)


def whole(subject: Subject, n_workers: int) -> tuple[dict[str, float], dict[str, float]]:
    """Run the detection workflow on all of it, in new processes, with the tissue mask.

    Returns
    -------
    dict, dict
        Seconds by step and in total; peak resident memory in MiB by process.
    """
    return in_new_process(_whole, subject, n_workers)


def overhead_ms(subject: Subject, n_workers: int, n_tiles: int) -> tuple[int, float]:
    """Hand out the real tasks of a subject to a function that does nothing, in new processes.

    Returns
    -------
    int, float
        How many, and the milliseconds that each took client, scheduler and workers together.
    """
    return in_new_process(_overhead_ms, subject, n_workers, n_tiles)


def _sample(subject: Subject, n_workers: int, budget_s: float) -> Sample:
    begin = time.perf_counter()
    tasks, blob = _tasks(subject)
    tissue = [task for task in tasks if _has_tissue(task, subject.occupied)]
    chosen = random.Random(0).sample(tissue, len(tissue))
    planning_s = time.perf_counter() - begin
    with open_cluster(f"local:{n_workers}") as client, lent(client, blob):
        client.run(use_one_thread)
        _run(client, detect_tile, chosen[: 2 * n_workers], np.inf)  # loads torch and the model
        done, seconds = _run(client, detect_tile, chosen, budget_s)
        peaks = memory_of_processes(client)
    pixels = sum(np.prod(task.window.shape) * task.view.extractor.grid.stride**2 for task in done)
    return Sample(n_workers, len(tasks), len(chosen), len(done), float(pixels) / 1e6, seconds, planning_s, peaks)


def _whole(subject: Subject, n_workers: int) -> tuple[dict[str, float], dict[str, float]]:
    begin = time.perf_counter()
    with open_cluster(f"local:{n_workers}") as client:
        client.run(use_one_thread)
        folder = subject.path.with_name("results")  # a run that was cut off goes on
        report = detect(client, find_image_set([subject.path]), subject.model, folder, DetectOptions(floor=FLOOR))
        return {**report.seconds, "total": time.perf_counter() - begin}, memory_of_processes(client)


def _overhead_ms(subject: Subject, n_workers: int, n_tiles: int) -> tuple[int, float]:
    tasks, _ = _tasks(subject)
    tasks = tasks[:n_tiles]
    with open_cluster(f"local:{n_workers}") as client:
        _run(client, nothing, tasks[: 4 * n_workers], np.inf)  # imports
        done, seconds = _run(client, nothing, tasks, np.inf)
    return len(done), 1000 * seconds / len(done)


def nothing(task: DetectTask) -> NDArray[np.float64]:
    """Find nothing, at once."""
    return np.empty((0, 4))


def _run(
    client: Client, function: Callable[[DetectTask], NDArray[np.float64]], tasks: Sequence[DetectTask], budget_s: float
) -> tuple[list[DetectTask], float]:
    """Do tasks until the time is over; the seconds are those up to the last that was done."""
    begin, seconds, done = time.perf_counter(), 0.0, []
    with closing(run_tasks(client, function, tasks, step="benchmark")) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                raise outcome.error
            done.append(outcome.task)
            seconds = time.perf_counter() - begin
            if seconds > budget_s:
                break
    return done, seconds


def _tasks(subject: Subject) -> tuple[list[DetectTask], bytes]:
    model = read_model(subject.model)
    blob, header = model.blob, model.header
    views = [model_view(image, header, _digest(blob)) for image in find_image_set([subject.path])]
    return [DetectTask(view, window, FLOOR) for view in views for window in tile_cores(view.grid_shape, _TILE)], blob


def _has_tissue(task: DetectTask, occupied: NDArray[np.bool_] | None) -> bool:
    if occupied is None:
        return True
    step = task.view.extractor.grid.stride
    y0, y1, x0, x1 = (int(step * edge) for edge in (task.window.y0, task.window.y1, task.window.x0, task.window.x1))
    return bool(occupied[y0 // CELL : -(-y1 // CELL), x0 // CELL : -(-x1 // CELL)].any())


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _disk_mb(folder: Path) -> float:
    files = {(stat.st_dev, stat.st_ino): stat.st_blocks * 512 for stat in (path.stat() for path in folder.rglob("*"))}
    return sum(files.values()) / 1e6
