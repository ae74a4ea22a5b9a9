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
from benchmarks.detect_speed import write_model
from benchmarks.results_memory import DONE, write_done_run
from benchmarks.search_speed import write_tissue
from benchmarks.synthetic import write_fields
from simsearch.io.ome_zarr.image import describe_image
from simsearch.io.ome_zarr.plates.hierarchy import image_locations
from simsearch.runtime import open_cluster
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.find.search import SearchOptions, search
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect
from simsearch.workflows.run.objects import rethreshold
from simsearch.workflows.run.sample import sample_results
from simsearch.workflows.run.segment import SegmentOptions, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from simsearch.runtime import Client
    from simsearch.workflows.image_set import ImageSet

SIDES = (1024, 2048, 4096, 8192)
WELLS = (11, 43, 128, 384)
N_FIELDS = 9
N_PROTOTYPES = (1, 10, 100)
N_OBJECTS = (1000, 10_000, 100_000, 1_000_000)
_WARM_SIDE, _SEARCHED_SIDE = 576, 2048
_PATCH = 48


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
    yield "search, Mpx", [_in_new_process(_searched, scratch, side) for side in SIDES]
    yield "detect, Mpx", [_in_new_process(_detected, scratch, side) for side in SIDES]
    yield "segment, Mpx", [_in_new_process(_segmented, scratch, side) for side in SIDES]
    yield "search 4 Mpx, prototypes", [_in_new_process(_searched_with, scratch, n) for n in N_PROTOTYPES]
    yield "results of detect, detections", [_in_new_process(_written, scratch, n) for n in N_OBJECTS]
    yield "rethreshold, detections", [_in_new_process(_rethresholded, scratch, n) for n in N_OBJECTS]
    yield "sample, detections", [_in_new_process(_sampled, scratch, n) for n in N_OBJECTS]


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


def _searched(folder: Path, side: int) -> Step:
    return _on_tissue(folder, side, _search)


def _detected(folder: Path, side: int) -> Step:
    model, options = write_model(folder, "dense", "bundled"), DetectOptions(tissue_mask=False)
    return _on_tissue(folder, side, lambda client, image, _, out: detect(client, image, model, out, options))


def _segmented(folder: Path, side: int) -> Step:
    model = write_model(folder, "dense", "bundled")
    options = SegmentOptions(tissue_mask=False, beside_image=False)
    return _on_tissue(folder, side, lambda client, image, _, out: segment(client, image, model, out, options))


def _searched_with(folder: Path, n_prototypes: int) -> Step:
    rng = np.random.default_rng(0)

    def work(client: Client, image: ImageSet, boxes: Path, out: Path) -> object:
        side, margin = image.shapes[boxes.stem][0], _PATCH // 2
        places = rng.uniform(margin, side - margin, (n_prototypes, 2))
        rows = [f"{boxes.stem},nucleus,{y:.1f},{x:.1f},{_PATCH},{_PATCH}" for y, x in places]
        boxes.write_text("\n".join(["image,class,y,x,height,width", *rows]) + "\n")
        return _search(client, image, boxes, out)

    return _on_tissue(folder, _SEARCHED_SIDE, work)._replace(amount=n_prototypes)


def _search(client: Client, image: ImageSet, boxes: Path, out: Path) -> object:
    return search(client, image, boxes, out, SearchOptions(save_maps=False))


def _on_tissue(folder: Path, side: int, work: Callable[[Client, ImageSet, Path, Path], object]) -> Step:
    """Measure work on tissue of so many pixels a side, after a small one has loaded all that is needed."""
    written = {each: write_tissue(folder, each) for each in (_WARM_SIDE, side)}
    with open_cluster("threads:2") as client:

        def on(each: int) -> object:
            image, boxes = written[each]
            return work(client, find_image_set([image]), boxes, folder / f"found{each}")

        on(_WARM_SIDE)
        return _measured(side**2 / 1e6, lambda: on(side))


def _written(folder: Path, n_detections: int) -> Step:
    write_done_run(folder, n_detections)
    with open_cluster("threads:2") as client:
        return _measured(n_detections, lambda: _finish(client, folder))


def _rethresholded(folder: Path, n_detections: int) -> Step:
    _written(folder, n_detections)
    thresholds = dict.fromkeys(("nucleus", "cytoplasm", "mitosis"), 0.5)
    return _measured(n_detections, lambda: rethreshold(folder / "out", thresholds))


def _sampled(folder: Path, n_detections: int) -> Step:
    _written(folder, n_detections)
    return _measured(n_detections, lambda: sample_results(folder / "out", pictures=False))


def _finish(client: Client, folder: Path) -> None:
    """Write the results of a run whose tiles are done."""
    images = find_image_set([folder / "slide.ome.zarr"])
    detect(client, images, folder / "model.safetensors", folder / "out", DONE)


def _measured(amount: float, work: Callable[[], object]) -> Step:
    Path("/proc/self/clear_refs").write_text("5")  # forget what this process has needed before
    before, begin = _status_mib("VmRSS"), time.process_time()
    work()
    return Step(amount, time.process_time() - begin, _status_mib("VmHWM") - before)


def _status_mib(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024
