"""What moves Z' and EC50 of BBBC013: whole studies of the plate, in which one thing is another each time.

    python -m benchmarks.translocation run --ways example labelled --draws 5
    python -m benchmarks.translocation table
    python -m benchmarks.translocation nuclei

A simulated person curates as in ``examples/translocation.py``. A way is a set of displayed wells; a draw gives the five
prototypes a class, a seed the training. Models run over all wells, and what they find is judged by each control well
and by the curves of both drugs. `run` appends a line to ``results.jsonl`` for each model and leaves out those that are
there, so it can be stopped at any time; `table` reads the detections of each. `nuclei` has no model: they
are found by Otsu's threshold of DNA, and their GFP is compared with that around them.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.nuclei import Nuclei, measure_nuclei
from benchmarks.trained_cells import judge
from benchmarks.trunks import read_results
from examples.translocation import CLASSES, CONFIDENCE, LABELLED, write_truth
from simsearch.core.dose_response import fit_dose_response, z_prime
from simsearch.io.tables.peaks import read_peaks
from simsearch.io.tables.truth import read_truth
from simsearch.runtime import open_cluster
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.curate.simulated_user import Behaviour, simulate_curation
from simsearch.workflows.curate.study import CACHE_NAME, Study, StudyOptions, create_study, open_study, read_curation
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn.train import TrainOptions, train_study
from simsearch.workflows.run.detect import DetectOptions, detect
from simsearch.workflows.run.dose_series import find_dose_series, understood_wells
from simsearch.workflows.run.plate_summary import WellSummary, summarise_wells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.curation.state import Curation
    from simsearch.io.tables.truth import TrueObject
    from simsearch.runtime import Client

_SCRATCH = Path(__file__).parent / "scratch" / "translocation"
_SIDE = 48.0
NUCLEAR, NO_GFP = "NuclearGFP", "NoGFP"
_DRUGS, _PLATEAU = ("Wortmannin", "LY294002"), 1 / 8  # of the highest dose: from there on nothing changes
_OF_DRUG = ("Z'", "positive", "negative", "EC50", "no GFP, dose 0", "no GFP, plateau")
_HEAD = [f"{drug}: {what}" for drug in _DRUGS for what in _OF_DRUG]
_MIDDLE = ("plate/A/06/0", "plate/E/06/0")
WAYS: dict[str, tuple[tuple[str, ...], bool]] = {
    "example": ((*LABELLED, *_MIDDLE), True),
    "labelled": (LABELLED, True),
    "row A": (tuple(name for name in LABELLED if "/A/" in name), True),
    "unsure": ((*LABELLED, *_MIDDLE), False),
}
"""Displayed wells, and whether the person takes what has no label for nothing. Wells in the middle have no labels."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is another each time."""

    way: str
    draw: int
    seed: int

    @property
    def folder(self) -> Path:
        """Where the study and its results are."""
        return _SCRATCH / f"{self.way}-{self.draw}-{self.seed}"


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table", "nuclei"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/bbbc013"))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=0, help="also so many seeds of training of the first draw")
    parser.add_argument("--confidence", type=float, default=CONFIDENCE, help="least of an object")
    options = parser.parse_args()
    if options.what == "run":
        same = [Case(way, i, i) for i, way in product(range(options.draws), options.ways)]
        run(options.data, [*same, *(Case(way, 0, i) for i, way in product(range(options.seeds), options.ways))])
    elif options.what == "table":
        table(options.confidence)
    else:
        nuclei(options.data)


def run(data: Path, cases: Sequence[Case]) -> None:
    """Curate, train and detect what has not been."""
    _SCRATCH.mkdir(parents=True, exist_ok=True)
    (_SCRATCH / CACHE_NAME).mkdir(exist_ok=True)
    write_truth(data / "cells_piximi.csv", _SCRATCH / "truth.csv")
    cells, plate, results = read_truth(_SCRATCH / "truth.csv"), _SCRATCH / "plate.ome.zarr", _SCRATCH / "results.jsonl"
    with open_cluster("threads:1") as client:
        if not (plate / "zarr.json").exists():  # is written last: what was killed goes on
            kind = ConvertOptions(
                plate_pattern="bbbc013", plate_map=data / "platemap.csv", channel_names=("GFP", "DNA")
            )
            convert(client, [data], plate, kind)
        for case in cases:
            done = [{key: line[key] for key in asdict(case)} for line in read_results(results)]
            if asdict(case) not in done:
                line = {**asdict(case), **_study(client, data, plate, cells, case)}
                with results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


def _study(client: Client, data: Path, plate: Path, cells: Sequence[TrueObject], case: Case) -> dict[str, Any]:
    begin = time.process_time()
    study, curation = _curated(client, plate, cells, case)
    report = train_study(client, study, curation, TrainOptions(seed=case.seed))
    detect(client, find_image_set([plate]), report.model, case.folder / "results", DetectOptions())
    line = {"n_patches": report.n_patches, "seconds": round(time.process_time() - begin, 1)}
    others = [cell for cell in cells if cell.image not in WAYS[case.way][0]]
    for name, judged in (("as labelled", others), ("on nuclei", on_nuclei(data, others))):
        if judged:
            line[name] = judge(report.model, plate, judged)
    return line


def _curated(client: Client, plate: Path, cells: Sequence[TrueObject], case: Case) -> tuple[Study, Curation]:
    """Curate, or take what was curated before a run was stopped: its training goes on."""
    if (case.folder / "study.json").exists():
        study = open_study(case.folder)
        curation = read_curation(study)[0].state
        if curation.is_background_accepted:
            return study, curation
    shutil.rmtree(case.folder, ignore_errors=True)
    shown, is_complete = WAYS[case.way]
    study = create_study(case.folder, [plate], StudyOptions(display=shown))
    (case.folder / CACHE_NAME).symlink_to((_SCRATCH / CACHE_NAME).absolute())
    behaviour = Behaviour(CLASSES, (_SIDE, _SIDE), is_truth_complete=is_complete, seed=case.draw)
    return study, simulate_curation(client, study, cells, behaviour)


def on_nuclei(data: Path, cells: Sequence[TrueObject]) -> list[TrueObject]:
    """Move labelled cells to their nuclei: labels are at the middle of the cell's box, up to half a patch away."""
    with (data / "platemap.csv").open(newline="") as file:
        rows = {f"plate/{row['row']}/{row['well'][1:]}/0": row for row in csv.DictReader(file)}
    centres = {name: measure_nuclei(data / "images", rows[name]).centres for name in {cell.image for cell in cells}}
    moved = []
    for cell in cells:
        gaps = np.hypot(*(centres[cell.image] - (cell.y, cell.x)).T)
        if gaps.min() < _SIDE / 2:
            y, x = centres[cell.image][gaps.argmin()].tolist()
            moved.append(replace(cell, y=y, x=x))
    return moved


def table(confidence: float) -> None:
    """Print Z' and EC50 of cells with GFP in the nucleus, and the share of cells without GFP, of each model."""
    print(f"| way | draw | seed | shares of | {' | '.join(_HEAD)} |\n|" + " --- |" * (4 + len(_HEAD)))
    for line in read_results(_SCRATCH / "results.jsonl"):
        case = Case(*(line[key] for key in ("way", "draw", "seed")))
        peaks = read_peaks(case.folder / "results" / "detections.parquet")
        wells = summarise_wells(peaks, _SCRATCH / "plate.ome.zarr", dict.fromkeys(CLASSES, confidence))
        for aside in ((), (NO_GFP,)):
            said = numbers([replace(well, aside=aside) for well in wells])
            whole = "cells with GFP" if aside else "all"
            print(f"| {case.way} | {case.draw} | {case.seed} | {whole} | {' | '.join(said)} |")


def numbers(wells: Sequence[WellSummary]) -> list[str]:
    """Describe both drugs: Z', means and standard deviations of controls, EC50, cells without GFP by dose."""
    said = []
    for series in find_dose_series(understood_wells(wells)[0])[0]:
        positive, negative = (
            np.array([well.fraction(NUCLEAR) for well in controls]) for controls in (series.positive, series.negative)
        )
        fit = fit_dose_response(series.doses, [well.fraction(NUCLEAR) for well in series.wells])
        none = np.array([well.fraction(NO_GFP) for well in series.wells])
        spans = [f"{each.mean():.2f} +- {each.std(ddof=1):.3f}" for each in (positive, negative)]
        high = series.doses >= _PLATEAU * series.doses.max()
        said += [f"{z_prime(positive, negative):.2f}", *spans, f"{fit.ec50:.4g} {series.unit}"]
        said += [f"{none[series.doses == 0].mean():.2f}", f"{none[high].mean():.2f}"]
    return said


def nuclei(data: Path) -> None:
    """Print the same of nuclei that are measured, by what counts as GFP and as translocated."""
    print(f"| GFP from | nucleus / around | shares of | {' | '.join(_HEAD)} |\n|" + " --- |" * (3 + len(_HEAD)))
    with (data / "platemap.csv").open(newline="") as file:
        rows = {row["well"]: row for row in csv.DictReader(file)}
    measured = {well: measure_nuclei(data / "images", row) for well, row in rows.items()}
    for least, ratio, aside in product((12, 15, 20), (1.0, 1.5, 2.0), ((), (NO_GFP,))):
        wells = [
            WellSummary(
                "plate", well, {**row, "dose": float(row["dose"])}, count(measured[well], least, ratio), {}, aside
            )
            for well, row in rows.items()
        ]
        whole = "cells with GFP" if aside else "all"
        print(f"| {least} | {ratio} | {whole} | {' | '.join(numbers(wells))} |")


def count(found: Nuclei, least: float, ratio: float) -> dict[str, int]:
    """Sort the cells of a well into classes."""
    has_gfp, is_nuclear = np.maximum(found.inside, found.around) >= least, found.inside > ratio * found.around
    of = {NUCLEAR: has_gfp & is_nuclear, "CytoplasmicGFP": has_gfp & ~is_nuclear, NO_GFP: ~has_gfp}
    return {name: int(mask.sum()) for name, mask in of.items()}


if __name__ == "__main__":
    main()
