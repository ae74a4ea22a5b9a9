"""Peak memory of detection and segmentation, on a small and on a large slide.

Each run has processes of its own, new ones, since a peak is never forgotten.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np

from benchmarks.synthetic import CELL, FLOOR, write_model, write_slide
from simsearch.runtime import open_cluster
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect
from simsearch.workflows.run.segment import SegmentOptions, segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.runtime import Client

P = ParamSpec("P")
T = TypeVar("T")

WORKFLOWS = ("detect", "segment")


@dataclass(frozen=True, slots=True)
class MemoryOfRun:
    """What a run of a workflow needed."""

    idle_mib: dict[str, float]
    """Peak resident memory before it, by process, after imports; the scheduler is in the client's."""
    peaks_mib: dict[str, float]
    """And after it."""
    seconds: float
    """How long it took."""


def peaks(scratch: Path, workflow: str, sides: tuple[int, int], n_workers: int = 2) -> dict[int, MemoryOfRun]:
    """Measure a workflow on a small and on a large slide, given by their sides in pixels, both full of tissue."""
    with TemporaryDirectory(dir=scratch) as folder:
        model = write_model(Path(folder) / "model.safetensors", plate=False)
        found = {}
        for side in sides:
            n_cells = -(-side // CELL)
            slide = write_slide(Path(folder) / f"slide{side}.ome.zarr", side, np.ones((n_cells, n_cells), bool))
            found[side] = in_new_process(_run, workflow, slide, model, n_workers)
    return found


def in_new_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a module in a process that has done nothing before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def memory_of_processes(client: Client) -> dict[str, float]:
    """Return the peak resident memory in MiB of this process and of each worker."""
    workers = client.run(peak_mib)
    return {"client": peak_mib(), **{f"worker {i}": workers[key] for i, key in enumerate(sorted(workers), start=1)}}


def peak_mib() -> float:
    """Return the peak resident memory of this process in MiB."""
    # Not ru_maxrss: a new process inherits that of its parent.
    status = Path("/proc/self/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def _run(workflow: str, slide: Path, model: Path, n_workers: int) -> MemoryOfRun:
    folder = slide.with_name(f"{slide.name}-{workflow}")
    with open_cluster(f"local:{n_workers}") as client:
        idle, images = memory_of_processes(client), find_image_set([slide])
        if workflow == "detect":
            detecting = DetectOptions(floor=FLOOR, tissue_mask=False)
            seconds = detect(client, images, model, folder, detecting).seconds
        else:
            segmenting = SegmentOptions(tissue_mask=False, beside_image=False)
            seconds = segment(client, images, model, folder, segmenting).seconds
        return MemoryOfRun(idle, memory_of_processes(client), sum(seconds.values()))
