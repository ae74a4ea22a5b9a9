"""The paper's ablation (section 3.3) on BCCD, with a simulated user who drives the real curation and training.

    python benchmarks/ablation.py run --classes Platelets --experiments 2 --repeats 2
    python benchmarks/ablation.py table
    python benchmarks/ablation.py plot --picture ablation.png

Each class is a study of its own, since a study of the paper has one patch shape: RBC 96 px, WBC 192 px, Platelets 48
px, and fluorescence nuclei 32 px as another kind. An experiment is a draw of displayed images and prototypes from the
training split; a repeat is another seed of training. `run` appends a line to ``results.jsonl`` for each model and
leaves out those that are there, so it can be stopped at any time; experiments can run side by side (``--part 1/2`` and
``--part 2/2``). Models are judged on the test split; choices were made on the validation split (``--judge val``).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

from benchmarks.bccd import read_split
from benchmarks.people_sets import read_set
from benchmarks.trunks import name_trunks, read_results
from simsearch.core.boxes import Box
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AcceptBackground, AcceptClass, AddPrototypes
from simsearch.curation.state import Patch
from simsearch.curation.suggestions import background_patches, marked_patches
from simsearch.io.pictures.overlay import CLASS_COLORS
from simsearch.io.tables.truth import TrueObject
from simsearch.runtime import open_cluster
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.curate.simulated_user import Behaviour, simulate_curation
from simsearch.workflows.curate.study import (
    CACHE_NAME,
    Study,
    StudyOptions,
    create_study,
    open_curation,
    open_study,
    read_curation,
)
from simsearch.workflows.curate.suggest import find_suggestions
from simsearch.workflows.find.diverse import DiverseOptions, choose_diverse
from simsearch.workflows.find.measure import measure, write_measurement
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn.evaluate import evaluate
from simsearch.workflows.learn.train import TrainOptions, train_study
from simsearch.workflows.run.detect import DetectOptions, detect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import Collection

    from benchmarks.judges import Split
    from simsearch.runtime import Client
    from simsearch.workflows.image_set import ImageSet

_DATA = Path(os.environ.get("SIMSEARCH_DATA", Path(__file__).parents[2] / "shared/data"))
_SCRATCH = Path(__file__).parent / "scratch" / "ablation"
PATCHES = {"RBC": 96, "WBC": 192, "Platelets": 48, "nuclei": 32}
"""Side of the square patch of each class in level-0 pixels."""
STRATEGIES = {"Pos": (False, False), "Pos+Neg": (True, False), "Pos+Selflearn": (False, True),
              "Pos+Neg+Selflearn": (True, True)}  # fmt: skip
"""Whether negatives and noisy patches are learned from."""
SUPERVISED = "full supervision"
"""Pos with all objects of the training split."""
N_DISPLAYED = 8
_MEASUREMENT = "measure.json"
_N_ENOUGH = 10  # objects for prototypes
_N_OF_VIOLIN = 3  # fewer experiments have no density


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One model to train and judge."""

    class_name: str
    kind: str
    strategy: str
    n_prototypes: int
    n_negatives: int
    experiment: int
    repeat: int
    averaging: bool = True
    display: str = "random"
    beside: bool = True
    trunk: str = "bundled"
    """Its name."""

    @property
    def study_name(self) -> str:
        """Name of its study: strategies and repeats share one."""
        if self.strategy == SUPERVISED:
            return f"{self.trunk}-{self.class_name}-supervised"
        curated = f"P{self.n_prototypes}-N{self.n_negatives}-{self.display}-{self.experiment}"
        return f"{self.trunk}-{self.class_name}-{curated}"


@dataclass(frozen=True, slots=True)
class Material:
    """Images of a class, to learn from and to judge on, with the objects on them."""

    trained: Sequence[Path]
    truth: Sequence[TrueObject]
    judged: Sequence[Path]
    judged_truth: Sequence[TrueObject]

    @property
    def folder(self) -> Path:
        """Where what belongs to all studies of these images is."""
        return self.trained[0].parent


def main() -> None:
    """Run, print or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table", "plot"])
    parser.add_argument("--classes", nargs="+", default=list(PATCHES))
    parser.add_argument("--kinds", nargs="+", default=["dense", "patchwise"])
    parser.add_argument("--prototypes", nargs="+", type=int, default=[5, 10], help="P")
    parser.add_argument("--negatives", nargs="+", type=int, default=[0, 5], help="N")
    parser.add_argument("--strategies", nargs="+", default=[*STRATEGIES, SUPERVISED])
    parser.add_argument("--experiments", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-averaging", action="store_true", help="end with the last weights, as the paper does")
    parser.add_argument("--no-beside", action="store_true", help="learn no background beside objects, as the paper")
    parser.add_argument("--display", nargs="+", default=["random"], help="how displayed images are chosen")
    parser.add_argument(
        "--trunk", nargs="+", default=["bundled"], help="that studies begin with; NAME=FILE gives a file a name"
    )
    parser.add_argument("--judge", default="test", choices=["test", "val"])
    parser.add_argument("--images", type=int, default=0, help="judge on so many of its images; all by default")
    parser.add_argument("--noisy", type=int, default=1000, help="at most so many noisy patches")
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--results", type=Path, default=_SCRATCH / "results.jsonl")
    parser.add_argument("--picture", type=Path, default=_SCRATCH / "ablation.png", help="that `plot` draws")
    options = parser.parse_args()
    {"run": run, "table": table, "plot": plot}[options.what](options)


def run(options: argparse.Namespace) -> None:
    """Train and judge what has not been."""
    done = {line["cell"] for line in read_results(options.results)}
    part, n_parts = map(int, options.part.split("/"))
    with open_cluster("threads:1") as client:
        materials = {name: prepare(client, name, options.judge) for name in options.classes}
        for cell in cells(options):
            if cell.experiment % n_parts != part - 1 or repr(cell) in done:
                continue
            begin = time.perf_counter()
            result = judge(client, cell, materials[cell.class_name], options)
            line = {"cell": repr(cell), **asdict(cell), **result, "seconds": round(time.perf_counter() - begin, 1)}
            with options.results.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Enumerate models: all of the first experiment before the second, so that a part is a smaller ablation."""
    names = name_trunks(options.trunk)
    grid = product(range(options.experiments), range(options.repeats), options.classes, options.kinds, names)
    for experiment, repeat, class_name, kind, trunk in grid:
        for display, p, n, strategy in product(
            options.display, options.prototypes, options.negatives, options.strategies
        ):
            cell = Cell(
                class_name,
                kind,
                strategy,
                p,
                n,
                experiment,
                repeat,
                not options.no_averaging,
                display,
                not options.no_beside,
                trunk,
            )
            if strategy == SUPERVISED:
                if (p, n, display) == (options.prototypes[0], options.negatives[0], options.display[0]):
                    # Its training data are always the same: its experiments are repeats.
                    repeat_of_all = experiment * options.repeats + repeat
                    yield replace(cell, n_prototypes=0, n_negatives=0, experiment=0, repeat=repeat_of_all)
            elif n > 0 or not STRATEGIES[strategy][0]:  # without negatives there is nothing to learn from them
                yield cell


def prepare(client: Client, class_name: str, split: Split) -> Material:
    """Convert the images of a class, and measure those that are learned from."""
    if class_name == "nuclei":
        images = read_set(client, _DATA, _SCRATCH, "fluorescence", split)
        found = Material(images.trained, images.truth, images.judged, images.judged_truth)
    else:
        (trained, truth), judged = (_blood(client, each, class_name) for each in ("train", split))
        found = Material(trained, truth, *judged)
    path = found.folder / _MEASUREMENT
    if not path.exists():
        write_measurement(measure(client, find_image_set(found.trained)), path)
    return found


def _blood(client: Client, split: str, class_name: str) -> tuple[Sequence[Path], Sequence[TrueObject]]:
    smears, folder = read_split(_DATA / "bccd", split), _SCRATCH / split
    paths = [folder / f"{smear.name}.ome.zarr" for smear in smears]
    if not paths[-1].exists():
        sources = [_DATA / "bccd/JPEGImages" / f"{smear.name}.jpg" for smear in smears]
        convert(client, sources, folder, ConvertOptions(overwrite=True))
    boxes = (box for smear in smears for box in smear.boxes if box.class_name == class_name)
    return paths, [TrueObject(box.image, class_name, box.y, box.x) for box in boxes]


def judge(client: Client, cell: Cell, material: Material, options: argparse.Namespace) -> dict[str, object]:
    """Curate, train and detect; return the average precision and what it was trained on."""
    study = _study(client, cell, material, options)
    curation = read_curation(study)[0].state
    uses_negatives, selflearn = STRATEGIES.get(cell.strategy, (False, False))
    chosen = TrainOptions(
        kind=cell.kind,
        negatives=uses_negatives,
        selflearn=selflearn,
        averaging=cell.averaging,
        beside=cell.beside,
        n_noisy=options.noisy,
        seed=cell.repeat,
    )
    report = train_study(client, study, curation, chosen)
    seconds = time.perf_counter()
    folder = report.model.parent / "results"
    images = find_image_set(material.judged[: options.images or None])
    detect(client, images, report.model, folder, DetectOptions(floor=1e-4, overwrite=True))
    seconds = time.perf_counter() - seconds
    names = {image.name for image in images}
    objects = [o for o in material.judged_truth if o.image in names]
    _write_truth(objects, folder / "truth.csv")
    (score,) = evaluate(folder / "detections.parquet", folder / "truth.csv", folder).classes
    roi_class = curation.classes[0]
    return {
        "average_precision": score.average_precision,
        "n_clean": sum(report.n_patches["clean"].values()),
        "n_positives": len(roi_class.positives),
        "n_noisy": sum(report.n_patches["noisy"].values()),
        "similarity_threshold": roi_class.similarity_threshold,
        "detect_seconds": round(seconds, 2),
        "judged_on": f"{len(images)} {options.judge}",
        "noisy_limit": options.noisy,
    }


def _study(client: Client, cell: Cell, material: Material, options: argparse.Namespace) -> Study:
    """Create and curate the study of a cell, or open it."""
    folder = material.folder / "studies" / cell.study_name
    if (folder / "curated").exists():
        return open_study(folder)
    images, side = find_image_set(material.trained), PATCHES[cell.class_name]
    if cell.strategy == SUPERVISED:
        displayed = tuple(image.name for image in images)
    elif cell.display == "diverse":
        displayed = choose_diverse(client, images, DiverseOptions(N_DISPLAYED))
    else:
        displayed = _displayed(cell, _whole(images, material.truth, side), [image.name for image in images])
    trunk = name_trunks(options.trunk)[cell.trunk]
    chosen = StudyOptions(display=displayed, measurement=material.folder / _MEASUREMENT, trunk=trunk)
    study = create_study(folder, material.trained, chosen)
    cache = material.folder / "cache"  # of all studies: features depend on neither displayed images nor prototypes
    cache.mkdir(exist_ok=True)
    (folder / CACHE_NAME).symlink_to(cache.absolute())
    if cell.strategy == SUPERVISED:
        _accept_truth(client, study, material.truth, _whole(images, material.truth, side), cell.class_name)
    else:
        behaviour = Behaviour(
            (cell.class_name,), (side, side), cell.n_prototypes, cell.n_negatives, seed=cell.experiment
        )
        simulate_curation(client, study, material.truth, behaviour)
    (folder / "curated").touch()
    return study


def _displayed(cell: Cell, whole: Sequence[TrueObject], names: Sequence[str]) -> tuple[str, ...]:
    """Choose images at random, until there are enough objects for ten prototypes on them."""
    rng, counts = random.Random(cell.experiment), Counter(each.image for each in whole)
    while True:
        chosen = rng.sample(list(names), min(N_DISPLAYED, len(names)))
        if sum(counts[name] for name in chosen) >= _N_ENOUGH:
            return tuple(chosen)


def _whole(images: ImageSet, truth: Sequence[TrueObject], side: float) -> list[TrueObject]:
    """Leave out objects whose patches reach beyond their image."""
    shapes = {image.name: image.shape for image in images}
    return [o for o in truth if Box(o.image, o.class_name, o.y, o.x, side, side).is_inside(shapes[o.image])]


def _accept_truth(
    client: Client, study: Study, truth: Sequence[TrueObject], whole: Sequence[TrueObject], class_name: str
) -> None:
    """Curate as somebody would who has marked all objects."""
    shape = (float(PATCHES[class_name]),) * 2
    patches, drawn = ([Patch.at(o.image, o.y, o.x) for o in dict.fromkeys(each)] for each in (truth, whole))
    with open_curation(study) as journal:
        journal.append("truth", AddClass(class_name, "#e69f00"))
        journal.append("truth", AddPrototypes(class_name, tuple(random.Random(0).sample(drawn, 5)), shape))
        journal.append("truth", AcceptClass(class_name, tuple(patches)))
        found = find_suggestions(client, study, journal.state)
        marked = marked_patches(journal.state)
        difficult, easy = background_patches(journal.state, found.highest, found.lowest, marked, 5)
        journal.append("truth", AcceptBackground((*difficult, *easy)))


def _write_truth(objects: Sequence[TrueObject], path: Path) -> None:
    rows = "".join(f"{o.image},{o.class_name},{o.y},{o.x}\n" for o in objects)
    path.write_text(f"image,class,y,x\n{rows}")


Curated = dict[tuple[str, str, str, str], dict[int, list[float]]]
"""Average precisions by class, what was curated, what was trained with and kind; then by experiment."""


def gathered(path: Path) -> Curated:
    """Read results: those of repeats beside each other."""
    groups: Curated = defaultdict(lambda: defaultdict(list))
    for line in read_results(path):
        what = line["strategy"] if line["averaging"] else f"{line['strategy']}, last weights"
        what += "" if line["beside"] else ", not beside"
        what += "" if line["display"] == "random" else f", {line['display']}"
        what += "" if line["trunk"] == "bundled" else f", trunk {line['trunk']}"
        key = (line["class_name"], f"P{line['n_prototypes']} N{line['n_negatives']}", what, line["kind"])
        groups[key][line["experiment"]].append(line["average_precision"])
    return groups


def table(options: argparse.Namespace) -> None:
    """Print means, and standard deviations between experiments and between repeats."""
    print("| class | curated | trained with | kind | AP | std between experiments | between repeats | models |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (class_name, curated, what, kind), experiments in sorted(gathered(options.results).items()):
        means, repeats = summaries(experiments)
        between = f"{np.std(means, ddof=1):.3f}" if len(means) > 1 else "-"
        within = f"{np.mean(repeats):.3f}" if repeats else "-"
        n_models = sum(map(len, experiments.values()))
        print(
            f"| {class_name} | {curated} | {what} | {kind} | {np.mean(means):.3f} | {between} | {within} | {n_models} |"
        )


def summaries(experiments: Mapping[int, Sequence[float]]) -> tuple[list[float], list[float]]:
    """Return the mean of each experiment over its repeats, and the standard deviation of those that have several."""
    means = [float(np.mean(values)) for values in experiments.values()]
    return means, [float(np.std(values, ddof=1)) for values in experiments.values() if len(values) > 1]


def plot(options: argparse.Namespace) -> None:
    """Draw figures 8 and 9 of the paper: means of experiments and, on the right, deviations between their repeats."""
    groups = gathered(options.results)
    rows = sorted({(class_name, kind) for class_name, _, _, kind in groups})
    figure, axes = plt.subplots(len(rows), 2, figsize=(13, 3.4 * len(rows)), squeeze=False, layout="constrained")
    for (class_name, kind), (left, right) in zip(rows, axes, strict=True):
        own = {key[1:3]: each for key, each in groups.items() if (key[0], key[3]) == (class_name, kind)}
        full = own.pop(("P0 N0", SUPERVISED), {})
        columns = sorted((each for each in own if each[1] in STRATEGIES), key=_order)
        means, deviations = zip(*(summaries(own[column]) for column in columns), strict=True)
        level, spread = summaries({0: [value for values in full.values() for value in values]}) if full else ([], [])
        _draw_violins(left, columns, means, level)
        _draw_violins(right, columns, deviations, spread)
        left.set(title=f"{class_name}, {kind}", ylabel="average precision")
        right.set(title="between repeats", ylabel="standard deviation", ylim=(0, None))
    figure.savefig(options.picture, dpi=150)
    plt.close(figure)
    print(options.picture)


def _order(column: tuple[str, str]) -> tuple[list[int], int]:
    curated, what = column
    return [int(each[1:]) for each in curated.split()], list(STRATEGIES).index(what)


def _draw_violins(
    axes: Axes, columns: Sequence[tuple[str, str]], values: Sequence[Sequence[float]], full: Sequence[float]
) -> None:
    """Draw a violin with a box inside for each column, points where there are few, and a line for full supervision."""
    colors = dict(zip(STRATEGIES, CLASS_COLORS, strict=False))
    for place, ((_, what), own) in enumerate(zip(columns, values, strict=True)):
        if len(own) >= _N_OF_VIOLIN:
            bodies: Iterable[Collection] = axes.violinplot([own], [place], showextrema=False)["bodies"]  # type: ignore[assignment]
            for body in bodies:
                body.set(facecolor=colors[what], alpha=0.4)
            axes.boxplot([own], positions=[place], widths=0.15, manage_ticks=False)
        axes.plot([place] * len(own), own, ".", color=colors[what])
    for value in full:
        axes.axhline(value, color="0.4", linewidth=1)
    axes.set_xticks(range(len(columns)), [f"{curated}\n{what}" for curated, what in columns], rotation=45, ha="right")


if __name__ == "__main__":
    main()
