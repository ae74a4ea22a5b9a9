"""Models of BBBC013's cells that begin with different trunks: trained on one row of wells, judged on the other.

    python benchmarks/trained_cells.py run --trunk bundled imagenet random=random.safetensors --draws 2
    python benchmarks/trained_cells.py table

A simulated user curates the two labelled wells of a row as in ``examples/translocation.py``: five prototypes and five
negatives a class. Training is the default. Labelled cells of the other row are then sorted by the confidence of each
class, as ``trunks.py`` sorts them by similarity. `run` appends a line to ``results.jsonl`` for each model and leaves
out those that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

from benchmarks.trunks import highest_near, name_trunks, read_results
from examples.translocation import CLASSES, write_truth
from simsearch.core.accuracy.metrics import precision_recall
from simsearch.core.tiles import Region
from simsearch.io.tables.truth import TrueObject, read_truth
from simsearch.nn.model_file import model_from_bytes
from simsearch.nn.trunk import fused
from simsearch.runtime import open_cluster
from simsearch.runtime.views import window_maps
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.curate.simulated_user import Behaviour, simulate_curation
from simsearch.workflows.curate.study import MODEL_NAME, MODELS_NAME, StudyOptions, create_study
from simsearch.workflows.find.model_views import model_view
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn.train import TrainOptions, train_study
from simsearch.workflows.run.models import read_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.runtime import Client

_DATA = Path(os.environ.get("SIMSEARCH_DATA", Path(__file__).parents[2] / "shared/data")) / "bbbc013"
_SCRATCH = Path(__file__).parent / "scratch" / "trained_cells"
_SIDE = 48
ROWS = {"A": ("plate/A/01/0", "plate/A/12/0"), "B": ("plate/B/01/0", "plate/B/12/0")}
"""Wells with labelled cells: a control and an effect in each row."""


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--trunk", nargs="+", default=["bundled"], help="NAME=FILE gives a file a name")
    parser.add_argument("--draws", type=int, default=2, help="how often prototypes are drawn")
    options = parser.parse_args()
    results = _SCRATCH / "results.jsonl"
    if options.what == "run":
        run(name_trunks(options.trunk), options.draws, results)
    else:
        table(read_results(results))


def run(trunks: dict[str, str], n_draws: int, results: Path) -> None:
    """Train and judge what has not been: all trunks on one draw before the next."""
    _SCRATCH.mkdir(parents=True, exist_ok=True)
    done = {(line["draw"], line["trained_on"], line["trunk"]) for line in read_results(results)}
    write_truth(_DATA / "cells_piximi.csv", _SCRATCH / "truth.csv")
    cells = read_truth(_SCRATCH / "truth.csv")
    with open_cluster("threads:1") as client:
        plate = _SCRATCH / "plate.ome.zarr"
        if not (plate / "zarr.json").exists():  # is written last: what was killed goes on
            kind = ConvertOptions(plate_pattern="bbbc013", plate_map=_DATA / "platemap.csv")
            convert(client, [_DATA], plate, kind)
        for draw, row, name in product(range(n_draws), ROWS, trunks):
            if (draw, row, name) not in done:
                begin = time.perf_counter()
                model = train(client, plate, cells, trunks[name], row, draw, _SCRATCH / f"{name}-{row}-{draw}")
                precisions = judge(model, plate, [cell for cell in cells if cell.image not in ROWS[row]])
                line = {"draw": draw, "trained_on": row, "trunk": name, "precisions": precisions}
                line["seconds"] = round(time.perf_counter() - begin, 1)
                with results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


def train(
    client: Client, plate: Path, cells: Sequence[TrueObject], trunk: str, row: str, draw: int, folder: Path
) -> Path:
    """Curate and train on a row; return the model, also where it was trained before."""
    before = next(folder.glob(f"{MODELS_NAME}/*/{MODEL_NAME}"), None)
    if before is not None:
        return before
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
    study = create_study(folder, [plate], StudyOptions(display=ROWS[row], trunk=trunk))
    curation = simulate_curation(client, study, cells, Behaviour(CLASSES, (_SIDE, _SIDE), seed=draw))
    return train_study(client, study, curation, TrainOptions(seed=draw)).model


def judge(model: Path, plate: Path, cells: Sequence[TrueObject]) -> dict[str, float]:
    """Return the average precision of each class among labelled cells."""
    labelled = [cell for cell in cells if cell.class_name in CLASSES]
    read = read_model(model)
    header, (classifier, _) = read.header, model_from_bytes(read.blob)
    classifier.trunk = fused(classifier.trunk)
    maps: dict[str, NDArray[np.float32]] = {}
    for image in find_image_set([plate]):
        if image.name in {cell.image for cell in labelled}:
            view = model_view(image, header, "")
            window = Region(0, view.grid_shape[0], 0, view.grid_shape[1])
            maps[image.name] = window_maps(classifier.trunk, view, window, classifier.log_odds_maps, view.margin)
    stride = classifier.extractor.grid.stride
    found = {}
    for index, name in enumerate(header.classes[1:], 1):
        scores = [
            highest_near(maps[cell.image][index], (cell.y, cell.x), header.downsampling, stride) for cell in labelled
        ]
        is_of = np.array([cell.class_name == name for cell in labelled])
        found[name] = precision_recall([is_of], [np.array(scores)], int(is_of.sum())).average_precision
    return found


def table(lines: Sequence[Mapping[str, Any]]) -> None:
    """Print the mean over models for each class, the standard deviation between them, and the ratio to ImageNet."""
    trunks = list(dict.fromkeys(str(line["trunk"]) for line in lines))
    print("| class | " + " | ".join(trunks) + " |\n| --- |" + " --- |" * len(trunks))
    for name in CLASSES:
        found = {t: [line["precisions"][name] for line in lines if line["trunk"] == t] for t in trunks}
        best = np.mean(found.get("imagenet", [np.nan]))
        cells = [f"{np.mean(v):.3f} +- {np.std(v, ddof=1):.3f} ({np.mean(v) / best:.1%})" for v in found.values()]
        print(f"| {name} | " + " | ".join(cells) + " |")
    counts = [sum(line["trunk"] == trunk for line in lines) for trunk in trunks]
    print("| models | " + " | ".join(map(str, counts)) + " |")


if __name__ == "__main__":
    main()
