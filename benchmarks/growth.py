"""How cost grows as work grows: times and memory, each in a new process, and the exponent of their growth."""

from __future__ import annotations

import shutil
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.conversion import write_slide
from benchmarks.synthetic import write_fields
from simsearch.io.ome_zarr.image import describe_image
from simsearch.io.ome_zarr.plates.hierarchy import image_locations
from simsearch.runtime import open_cluster
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.image_set import find_image_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SIDES = (1024, 2048, 4096, 8192)
WELLS = (11, 43, 128, 384)
N_FIELDS = 9


class Step(NamedTuple):
    """What an amount of work takes."""

    amount: float
    cpu_seconds: float
    mib: float
    """More memory at the peak than before."""


def exponent(amounts: Sequence[float], costs: Sequence[float]) -> float:
    """Fit the power of the amount with which a cost grows: the slope in logarithms.

    Examples
    --------
    >>> exponent([1, 10, 100], [3, 300, 30_000])
    2.0
    """
    slope = np.polyfit(np.log(amounts), np.log(costs), 1)[0]
    return round(float(slope), 2)


def run(scratch: Path) -> Iterator[tuple[str, list[Step]]]:
    """Measure what grows with what.

    Yields
    ------
    (str, list of Step)
        Name, and what each amount takes.
    """
    yield "describe the fields of a plate", [_in_new_process(_described, scratch, wells) for wells in WELLS]
    yield "the same, each by itself", [_in_new_process(_described_alone, scratch, wells) for wells in WELLS]
    yield "convert a slide, Mpx", [_in_new_process(_converted, scratch, side) for side in SIDES]


def _in_new_process(measure: Callable[[Path, int], Step], scratch: Path, amount: int) -> Step:
    with get_context("spawn").Pool(1) as pool, TemporaryDirectory(dir=scratch) as folder:
        return pool.apply(measure, (Path(folder), amount))


def _described(folder: Path, n_wells: int) -> Step:
    plate = write_fields(folder / "plate.ome.zarr", n_wells, N_FIELDS)
    return _measured(n_wells * N_FIELDS, lambda: find_image_set([plate]))


def _described_alone(folder: Path, n_wells: int) -> Step:
    plate = str(write_fields(folder / "plate.ome.zarr", n_wells, N_FIELDS))
    return _measured(n_wells * N_FIELDS, lambda: [describe_image(path) for path in image_locations(plate)])


def _converted(folder: Path, side: int) -> Step:
    source = write_slide(folder / "slide.tif", side)
    with open_cluster("threads:2") as client:
        convert(client, [source], folder / "warm.ome.zarr", ConvertOptions())
        shutil.rmtree(folder / "warm.ome.zarr")
        return _measured(side**2 / 1e6, lambda: convert(client, [source], folder / "slide.ome.zarr", ConvertOptions()))


def _measured(amount: float, work: Callable[[], object]) -> Step:
    Path("/proc/self/clear_refs").write_text("5")  # forget what this process has needed before
    before, begin = _status_mib("VmRSS"), time.process_time()
    work()
    return Step(amount, time.process_time() - begin, _status_mib("VmHWM") - before)


def _status_mib(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024
