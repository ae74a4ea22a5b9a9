"""How long a person waits until a whole plate is coloured: 96 wells of 4 fields, features kept, box after box."""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import psutil
from dask.system import CPU_COUNT

from simsearch.core.synthetic import cell_field
from simsearch.curation.actions import AddClass, apply
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Curation, Patch
from simsearch.io.ome_zarr.plates.hierarchy import write_plate
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.io.ome_zarr.pyramid import halved
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.runtime import open_cluster
from simsearch.workflows.curate.live import plate_search
from simsearch.workflows.curate.live.plate_search import PlateSearch
from simsearch.workflows.curate.study import STUDY_NAME, Study, StudyOptions, create_study, open_study
from simsearch.workflows.curate.suggest import prepare_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simsearch.nn.device import Arithmetic

_CLASS, _OTHER, _PATCH = "cell", "other", (48.0, 48.0)
_N_DRAWN = 12  # different fields that are drawn; all others show one of them


def run(folder: Path, side: int, n_wells: int, n_fields: int) -> Iterator[tuple[str, str]]:
    """Measure; what is in the folder already is not made again.

    Yields
    ------
    str, str
        What was measured, and how much that is.
    """
    study = _study(folder, side, n_wells, n_fields)
    with open_cluster("local") as client:
        search = PlateSearch(client, study)
        curation = apply(study.initial, AddClass(_CLASS, "#e69f00"))
        begin = time.perf_counter()
        unseen = search.unseen(curation)
        yield "describe and measure the images, and look which have features", f"{time.perf_counter() - begin:.2f} s"
        wall, cpu = _timed(lambda: prepare_all(client, study, curation), _tree_seconds)
        yield f"look at {len(unseen.names)} images once", f"{wall:.0f} s, {cpu:.0f} CPU-s"
        kept = sum(path.stat().st_size for path in (study.folder / "cache").rglob("*") if path.is_file())
        yield "features on disk", f"{kept / 1e9:.2f} GB"
        before, (*boxes, other) = _peak_mib(), _boxes(study, side, 6)
        for number, box in enumerate(boxes, start=1):
            curation = apply(curation, AddPrototypes(_CLASS, (box,), _PATCH))
            arithmetic: Arithmetic = "bfloat16" if number % 2 else "float32"
            with patch.object(plate_search, "native_arithmetic", return_value=arithmetic):
                cost = _cost(search, curation)
            yield f"box {number} to the colours of all wells, {CPU_COUNT} cores, {arithmetic}", cost
        curation = apply(apply(curation, AddClass(_OTHER, "#56b4e9")), AddPrototypes(_OTHER, (other,), _PATCH))
        yield "a box of a second class to the colours of all wells", _cost(search, curation)
        yield "nothing new: merge maps, find peaks", _cost(search, curation)
        found = search.find(curation)
        yield "places above 0", f"{len(found.by_class[_CLASS]):,} in {len(found.images)} images"
        yield "memory of the server beside what it had", f"{_peak_mib() - before:.0f} MiB"
        search.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1080, help="of a field in pixels")
    parser.add_argument("--wells", type=int, default=96)
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="keeps the plate and its features for another run")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        for what, value in run(options.folder or Path(scratch), options.side, options.wells, options.fields):
            print(f"{what}: {value}", flush=True)


def _study(folder: Path, side: int, n_wells: int, n_fields: int) -> Study:
    if (folder / "study" / STUDY_NAME).exists():
        return open_study(folder / "study")
    rng, plate, n_cells = np.random.default_rng(0), folder / "plate.ome.zarr", round(250 * (side / 1080) ** 2)
    drawn = [cell_field(rng, (side, side), n_cells=n_cells, no_gfp_fraction=0).image for _ in range(_N_DRAWN)]
    wells = [Well(index // 12, index % 12) for index in range(n_wells)]
    for number, well in enumerate(wells):
        for field in range(n_fields):
            _write(plate / well.path / str(field), drawn[(number * n_fields + field) % _N_DRAWN])
    fields = {well: [str(field) for field in range(n_fields)] for well in wells}
    write_plate(str(plate), fields, name="plate", version="0.5", provenance={})
    return create_study(folder / "study", [plate], StudyOptions())


def _write(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    template = ImageTemplate(
        n_channels=len(pixels),
        shape=(pixels.shape[1], pixels.shape[2]),
        dtype=str(pixels.dtype),
        channel_names=("GFP", "DNA"),
        channel_colors=("00FF00", "0000FF"),
    )
    create_image(path, template)
    for level in range(len(template.level_shapes)):
        pixels = halved(pixels) if level else pixels
        for region in template.regions(level):
            write_region(path, level, region, pixels[(slice(None), *region.slices)])
    finish_image(path, template)


def _boxes(study: Study, side: int, n: int) -> list[Patch]:
    centres = np.random.default_rng(1).uniform(100, side - 100, (n, 2))
    return [Patch.at(study.displayed[i % len(study.displayed)], y, x) for i, (y, x) in enumerate(centres.tolist())]


def _timed(work: Callable[[], object], cpu: Callable[[], float]) -> tuple[float, float]:
    begin, used = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - begin, cpu() - used


def _cost(search: PlateSearch, curation: Curation) -> str:
    wall, cpu = _timed(lambda: search.find(curation), time.process_time)
    return f"{wall:.2f} s, {cpu:.2f} CPU-s"


def _tree_seconds() -> float:
    """Return the CPU time of this process and of its workers."""
    tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in tree)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
