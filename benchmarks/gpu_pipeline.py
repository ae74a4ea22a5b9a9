"""What feeds a GPU and what it does with it: megapixels a second of each part of a detection, and of whole runs.

``python -m benchmarks.gpu_pipeline`` is prepared for a machine with a GPU, and takes less than ten minutes there. Each
part is a process that may take so long and no longer, and each figure is a line of JSON as soon as it is known: what is
cut off leaves what it has found. ``--device cpu --side 4096`` shows on any machine that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks import gpu, gpu_tile
from benchmarks.arithmetic import compare, write_telling_model
from benchmarks.scale import TISSUE_SHARE
from benchmarks.search_speed import write_tissue
from benchmarks.synthetic import CELL, FLOOR, islands, write_slide
from simsearch.io.tables.peaks import read_peaks
from simsearch.runtime import open_cluster
from simsearch.runtime.events import TaskDone
from simsearch.runtime.outcomes import Failed
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.detect import detect_tile
from simsearch.runtime.worker import lent
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.runtime.events import Event

_THREADS = {"cuda": (1, 2, 4, 8, 16), "cpu": (1, 2)}
_WORKERS = {"cuda": (1, 2, 4, 8), "cpu": (1, 2)}
_TELL_S = 20.0  # seconds between what is told of a run that may be cut off
_LARGEST_TISSUE = 4096  # pixels along a side of what is computed on CPUs too


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, and where that is written."""

    device: str
    """``cuda`` or ``cpu``."""
    side: int
    """Pixels along a side of the slides."""
    scratch: Path
    """Gets slides, models and results."""
    out: Path
    """Gets the lines."""

    def tell(self, part: str, **figures: Any) -> None:  # noqa: ANN401  whatever JSON takes
        """Write a line."""
        line = json.dumps({"part": part, **figures})
        print(line, flush=True)
        with self.out.open("a") as file:
            file.write(line + "\n")

    def slide(self, share: float) -> Path:
        """Write a slide of which a share is tissue, unless it is there."""
        path = self.scratch / f"slide{self.side}-{share:g}.ome.zarr"
        if not path.exists():
            n_cells, begun = -(-self.side // CELL), path.with_name("begun.ome.zarr")
            shutil.rmtree(begun, ignore_errors=True)
            tissue = islands(n_cells, share) if share < 1 else np.ones((n_cells, n_cells), bool)
            write_slide(begun, self.side, tissue).rename(path)
        return path

    def cluster(self, n_workers: int) -> str:
        """Name a cluster of so many workers: several share a GPU."""
        return f"{'cuda' if self.device == 'cuda' else 'local'}:{n_workers}"


def machine(setting: Setting) -> None:
    """Tell what computes, and how long it takes to wake up."""
    begin = time.perf_counter()
    torch.ones(1, device=setting.device).sum().item()
    name = torch.cuda.get_device_name() if setting.device == "cuda" else "CPU"
    setting.tell("machine", device=name, cores=os.cpu_count(), torch=torch.__version__, side=setting.side,
                 wake_s=time.perf_counter() - begin)  # fmt: skip


def slides(setting: Setting) -> None:
    """Write what is looked at, and tell how long that takes."""
    for share in (1.0, TISSUE_SHARE):
        begin = time.perf_counter()
        setting.slide(share)
        setting.tell("slides", share=share, s=time.perf_counter() - begin)


def tile(setting: Setting) -> None:
    """Tell what each part of a tile takes, alone."""
    bench = gpu_tile.open_tile(setting.slide(1.0), setting.scratch, setting.device)
    for name, seconds, cpu_seconds in gpu_tile.parts(bench):
        setting.tell("tile", what=name, ms=1e3 * seconds, cpu_ms=1e3 * cpu_seconds, mpx_per_s=bench.mpx / seconds)


def threads(setting: Setting) -> None:
    """Tell how fast threads of one process are that read ahead of the device, without Dask."""
    bench = gpu_tile.open_tile(setting.slide(1.0), setting.scratch, setting.device)
    for n in _THREADS[setting.device]:
        setting.tell("threads", n=n, mpx_per_s=gpu_tile.in_threads(bench, n))


def workers(setting: Setting) -> None:
    """Tell how fast workers are, several of which may share the GPU."""
    bench = gpu_tile.open_tile(setting.slide(1.0), setting.scratch, setting.device)
    for n in _WORKERS[setting.device]:
        with open_cluster(setting.cluster(n)) as client, lent(client, bench.blob):
            for seconds in (2.0, 12.0):  # the first loads torch and the model
                rate = _rate(client, bench, seconds)
        setting.tell("workers", n=n, mpx_per_s=rate)


def sparse(setting: Setting) -> None:
    """Tell how long a detection takes on a slide of which a tenth is tissue."""
    _detect(setting, "sparse", TISSUE_SHARE)


def whole(setting: Setting) -> None:
    """Tell how long it takes on one that is all tissue."""
    _detect(setting, "whole", 1.0)


def searched(setting: Setting) -> None:
    """Tell how long search and detection take on tissue, on the device and on CPUs, and what both searches find."""
    found = gpu.run(setting.scratch, "bundled", min(setting.side, _LARGEST_TISSUE))
    agreement = gpu.compare(*(found[name].peaks for name in gpu.DEVICES))
    for name in gpu.DEVICES:
        setting.tell("searched", on=name, search_s=found[name].search, detect_s=found[name].detect)
    setting.tell("searched", **agreement._asdict())


def agreement(setting: Setting) -> None:
    """Tell how far what a telling model detects is from what CPUs detect, in either arithmetic."""
    image, _ = write_tissue(setting.scratch, min(setting.side, _LARGEST_TISSUE))
    model, peaks = write_telling_model(setting.scratch, "bundled", image), {}
    for name, is_exact in (("GPU", False), ("GPU", True), ("CPU", False), ("CPU", True)):
        with gpu.only(name), open_cluster("local:1") as client:
            options = DetectOptions(overwrite=True, tissue_mask=False, exact=is_exact)
            report = detect(client, find_image_set([image]), model, setting.scratch / "agreement", options)
        peaks[name, is_exact] = read_peaks(report.folder / "detections.parquet")
        setting.tell("agreement", on=name, is_exact=is_exact, n=len(peaks[name, is_exact]), s=report.seconds["detect"])
    for is_exact in (False, True):
        differences = compare(peaks["CPU", True], peaks["GPU", is_exact])
        setting.tell("agreement", is_exact=is_exact, **differences._asdict())


def variants(setting: Setting) -> None:
    """Tell what other ways to compute a tile take, and whether they give the same; the slowest to prepare come last."""
    bench = gpu_tile.open_tile(setting.slide(1.0), setting.scratch, setting.device)
    for name, figures in gpu_tile.variants(bench):
        setting.tell("variants", what=name, **figures)


def profile(setting: Setting) -> None:
    """Tell which operations take the time."""
    bench = gpu_tile.open_tile(setting.slide(1.0), setting.scratch, setting.device)
    for row in gpu_tile.profile(bench):
        setting.tell("profile", **row)


PARTS: dict[str, tuple[Callable[[Setting], None], float]] = {
    "machine": (machine, 60),
    "slides": (slides, 120),
    "tile": (tile, 60),
    "threads": (threads, 60),
    "workers": (workers, 110),
    "sparse": (sparse, 60),
    "agreement": (agreement, 110),
    "whole": (whole, 120),
    "variants": (variants, 90),
    "profile": (profile, 40),
    "searched": (searched, 90),
}
"""In order of what is worth most, and the seconds that each may take."""


def _rate(client: Any, bench: gpu_tile.Tile, budget_s: float) -> float:  # noqa: ANN401  of Dask, which has no types
    """Do tiles for some time, and return the megapixels a second."""
    begin, seconds, mpx = time.perf_counter(), 0.0, 0.0
    with closing(run_tasks(client, detect_tile, bench.tasks, step="benchmark")) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                raise outcome.error
            seconds, mpx = time.perf_counter() - begin, mpx + outcome.task.n_pixels / 1e6
            if seconds > budget_s:
                break
    return mpx / seconds


def _detect(setting: Setting, part: str, share: float) -> None:
    slide, model = setting.slide(share), gpu_tile.model_of(setting.scratch)
    begin, told, done = time.perf_counter(), 0.0, 0

    def observe(event: Event) -> None:
        nonlocal told, done
        done += event.n_pixels if isinstance(event, TaskDone) and event.step == "detect" else 0
        if (seconds := time.perf_counter() - begin) > told + _TELL_S:
            told = seconds
            setting.tell(part, s=seconds, mpx_done=done / 1e6)

    with open_cluster(setting.cluster(_WORKERS[setting.device][-2])) as client:
        woken_s = time.perf_counter() - begin
        options = DetectOptions(floor=FLOOR, overwrite=True)
        report = detect(client, find_image_set([slide]), model, setting.scratch / part, options, observe=observe)
    mpx = (report.n_pixels - report.n_skipped) / 1e6
    setting.tell(part, mpx=report.n_pixels / 1e6, tissue_mpx=report.n_tissue / 1e6, computed_mpx=mpx,
                 n_tiles=report.n_tiles, cluster_s=woken_s, total_s=time.perf_counter() - begin, steps=report.seconds,
                 mpx_per_s=mpx / report.seconds["detect"])  # fmt: skip


def main() -> None:
    """Run the parts that were asked for, each in a process of its own, until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--side", type=int, default=100_000, help="of the slides, in px")
    parser.add_argument("--budget", type=float, default=570, help="seconds, all parts together")
    parser.add_argument("--patience", type=float, default=1, help="times as long as planned that each part may take")
    parser.add_argument("--scratch", type=Path, default=Path(__file__).parent / "scratch")
    parser.add_argument("--out", type=Path, default=Path("gpu_pipeline.jsonl"))
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    setting = Setting(options.device, options.side, options.scratch, options.out)
    end = time.perf_counter() + options.budget
    for part in options.parts:
        if options.here:
            PARTS[part][0](setting)
        else:
            _run_apart(setting, part, min(options.patience * PARTS[part][1], end - time.perf_counter()))


def _run_apart(setting: Setting, part: str, seconds: float) -> None:
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if setting.device == "cpu" else {}
    command = [sys.executable, "-m", "benchmarks.gpu_pipeline", part, "--here", "--device", setting.device]
    command += ["--side", str(setting.side), "--scratch", str(setting.scratch), "--out", str(setting.out)]
    begin, error = time.perf_counter(), None
    process = subprocess.Popen(command, env=os.environ | hidden, start_new_session=True)
    try:
        code = process.wait(max(0.0, seconds))
        error = f"exit status {code}" if code else None
    except subprocess.TimeoutExpired:
        error = f"cut off after {seconds:.0f} s"
        os.killpg(process.pid, 9)  # with the workers that it started
        process.wait()
    setting.tell("ended", what=part, s=time.perf_counter() - begin, error=error)


if __name__ == "__main__":
    main()
