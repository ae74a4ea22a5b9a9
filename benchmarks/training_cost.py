"""What training costs, and what is found with it: as it was and as it is, by turns, on the same patches.

    python -m benchmarks.training_cost run --split val --seeds 2
    python -m benchmarks.training_cost table --split val

A simulated user curates a study for each judge of ``judges.py`` (three kinds of cells share one, and there is one of
three kinds of blood cells), five boxes a class. Each way trains on its patches; models are judged on other images.
`run` appends a line to ``results.jsonl`` for each model and leaves out those that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.judges import Judge, Scene, Split, read_judges
from benchmarks.trunks import highest_near, read_results
from simsearch.core.accuracy.metrics import match, precision_recall
from simsearch.core.feature_grid import to_level0
from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.io.tables.truth import TrueObject
from simsearch.nn.augment import crop_side
from simsearch.nn.device import native_arithmetic
from simsearch.nn.peaks import find_peaks
from simsearch.nn.trunk import fused
from simsearch.nn.trunk_file import read_trunk
from simsearch.runtime import open_cluster
from simsearch.runtime.tasks import train as training
from simsearch.runtime.views import window_maps
from simsearch.runtime.worker import hold
from simsearch.training.recipe import Schedule, TrainingConfig, train
from simsearch.workflows.curate.simulated_user import Behaviour, simulate_curation
from simsearch.workflows.curate.study import StudyOptions, create_study
from simsearch.workflows.find.model_views import model_view
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn import train as learning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.nn.classifier import PatchClassifier
    from simsearch.nn.device import Arithmetic
    from simsearch.runtime import Client

    Way = tuple[TrainingConfig, Arithmetic]

_DATA = Path(os.environ.get("SIMSEARCH_DATA", Path(__file__).parents[2] / "shared/data"))
_SCRATCH = Path(__file__).parent / "scratch" / "training_cost"
_N_DISPLAYED, _N_OTHERS, _N_JUDGED = 6, 40, 24
_DISTANCE = 0.3  # of the patch: a peak nearer than this finds an object (paper section 3.3)
_BLOOD, _BLOOD_SIDE = "three kinds of blood cells", 80
BEFORE = TrainingConfig(
    noisy=Schedule(10, 128, decay_every=5, decay=0.1),
    clean=Schedule(15, 32, decay_every=10, decay=0.1, n_patches=256),
    classifier=Schedule(15, 32, decay_every=10, decay=0.1, n_patches=256),
)
WAYS: dict[str, Way] = {"before": (BEFORE, "float32"), "now": (learning.BRIEF, native_arithmetic())}
"""The default of before and that of now, with what the trunk computes in."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A study, and where its models are judged."""

    name: str
    side: int
    """Of the square patch in level-0 pixels."""
    learned: tuple[Scene, ...]
    """Those displayed come first."""
    judges: Mapping[str, Judge]
    """By class; all have the same images."""


class _CaughtError(Exception):
    """The training is there; it is not to begin."""


def lessons(split: Split) -> Iterator[Lesson]:
    """Make a lesson of each judge, of those that share their images, and of all blood cells."""
    groups: dict[str, dict[str, Judge]] = defaultdict(dict)
    for judge in read_judges(_DATA, split):
        kind, _, name = judge.name.partition(": ")
        groups[kind if judge.task == "retrieval" else judge.name][name] = judge
        if kind == "blood":
            groups[_BLOOD][name] = replace(judge, side=_BLOOD_SIDE)
    for name, judges in groups.items():
        first = next(iter(judges.values()))
        if first.task == "retrieval":  # other scenes than those that are learned from
            half = len(first.judged) // 2
            learned, judged = first.judged[:half], slice(half, None)
        else:
            drawn = random.Random(0).sample(first.drawn, min(len(first.drawn), _N_DISPLAYED + _N_OTHERS))
            least = {scene.name: _n_least(scene.name, judges.values()) for scene in drawn}
            learned, judged = tuple(sorted(drawn, key=lambda scene: -least[scene.name])), slice(_N_JUDGED)
        yield Lesson(
            name, first.side, learned, {key: replace(each, judged=each.judged[judged]) for key, each in judges.items()}
        )


def _n_least(name: str, judges: Iterable[Judge]) -> int:
    """Count the objects in an image whose patch lies in it, of the class that has the fewest there."""
    counts = []
    for judge in judges:
        scene = next(scene for scene in judge.drawn if scene.name == name)
        low, high = judge.side / 2, np.array(scene.pixels.shape[1:]) - judge.side / 2
        counts.append(int(((scene.centres >= low) & (scene.centres <= high)).all(axis=1).sum()))
    return min(counts)


def task_of(client: Client, lesson: Lesson, split: Split) -> training.TrainTask:
    """Curate, find noisy patches and return the training; as it was before, where it was done before."""
    folder = _SCRATCH / f"{split}-{lesson.name.replace(': ', '-').replace(' ', '_')}"
    kept = folder / "task.pickle"
    if not kept.exists():
        names = {scene.name: f"i{index}" for index, scene in enumerate(lesson.learned)}
        paths = [_save(folder / f"{names[scene.name]}.ome.zarr", scene.pixels) for scene in lesson.learned]
        truth = [
            TrueObject(names[scene.name], class_name, y, x)
            for class_name, judge in lesson.judges.items()
            for scene in judge.drawn
            if scene.name in names
            for y, x in scene.centres
        ]
        study = create_study(folder / "study", paths, StudyOptions(display=tuple(names.values())[:_N_DISPLAYED]))
        behaviour = Behaviour(tuple(lesson.judges), (lesson.side, lesson.side))
        curation = simulate_curation(client, study, truth, behaviour)
        with patch.object(learning, "run_training", side_effect=_CaughtError) as caught:
            try:
                learning.train_study(client, study, curation, learning.TrainOptions())
            except _CaughtError:
                kept.write_bytes(pickle.dumps(caught.call_args.args[1]))
    task: training.TrainTask = pickle.loads(kept.read_bytes())
    return task


def taught(task: training.TrainTask, way: Way, seed: int) -> tuple[PatchClassifier, float, float]:
    """Train on the patches of a task; return the model, CPU time and time."""
    config, arithmetic = way
    model = training._model(task)
    patches, _ = training._read_patches(task, crop_side(max(model.input_shape)), torch.device("cpu"))
    cpu, clock = time.process_time(), time.perf_counter()
    train(model, patches, replace(config, seed=seed), arithmetic=arithmetic)
    return model, time.process_time() - cpu, time.perf_counter() - clock


def judged(model: PatchClassifier, task: training.TrainTask, lesson: Lesson, split: Split) -> dict[str, float]:
    """Return the average precision of each class on the judged images."""
    model.trunk = fused(model.trunk)
    kind, maps = lesson.name.partition(":")[0], []
    for scene in next(iter(lesson.judges.values())).judged:
        (image,) = find_image_set([_save(_SCRATCH / f"{split}-judged" / f"{kind}-{scene.name}.ome.zarr", scene.pixels)])
        view = model_view(image, task.header, "", native_arithmetic())
        window = Region(0, view.grid_shape[0], 0, view.grid_shape[1])
        maps.append(window_maps(model.trunk, view, window, model.log_odds_maps, view.margin))
    return {
        name: _average_precision([each[task.header.classes.index(name)] for each in maps], judge, task)
        for name, judge in lesson.judges.items()
    }


def _average_precision(maps: Sequence[NDArray[np.float32]], judge: Judge, task: training.TrainTask) -> float:
    extractor, downsampling = task.views[0].extractor, task.header.downsampling
    stride, hits, scores = extractor.grid.stride, [], []
    radius = max(1, round(extractor.patch_shape[0] / 2 / stride))
    for scene, values in zip(judge.judged, maps, strict=True):
        if judge.task == "retrieval":
            points = np.concatenate([scene.centres, scene.others])
            scores.append(np.array([highest_near(values, point, downsampling, stride) for point in points]))
            hits.append(np.arange(len(points)) < len(scene.centres))
            continue
        peaks = find_peaks(np.pad(values, radius, constant_values=-np.inf), radius, floor=-20.0)
        places = np.array([[to_level0(stride * v, downsampling) for v in peak[:2]] for peak in peaks])
        hits.append(match(places.reshape(-1, 2), peaks[:, 2], scene.centres, _DISTANCE * judge.side))
        scores.append(peaks[:, 2])
    return precision_recall(hits, scores, sum(len(scene.centres) for scene in judge.judged)).average_precision


def _save(path: Path, pixels: NDArray[np.generic]) -> Path:
    if not path.exists():
        n, colors = len(pixels), ("FF0000", "00FF00", "0000FF")
        template = ImageTemplate(
            n, pixels.shape[1:], str(pixels.dtype), ("R", "G", "B")[:n], colors[:n], shard=512, n_levels=1
        )
        create_image(path, template)
        write_region(path, 0, Region(0, pixels.shape[1], 0, pixels.shape[2]), pixels)
        finish_image(path, template)
    return path


def run(options: argparse.Namespace, results: Path) -> None:
    """Train and judge what has not been: all ways on one lesson before the next."""
    _SCRATCH.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    hold(read_trunk("bundled"))
    done = {(line["split"], line["lesson"], line["seed"], line["way"]) for line in read_results(results)}
    with open_cluster("threads:1") as client:
        for lesson in lessons(options.split):
            if options.only not in lesson.name:
                continue
            task = task_of(client, lesson, options.split)
            few = random.Random(0).sample(task.noisy, min(options.noisy, len(task.noisy)))
            task = replace(task, noisy=tuple(few))
            for seed, way in ((seed, way) for seed in range(options.seeds) for way in WAYS):
                if (options.split, lesson.name, seed, way) in done:
                    continue
                model, cpu_s, seconds = taught(task, WAYS[way], seed)
                line: dict[str, Any] = {"split": options.split, "lesson": lesson.name, "seed": seed, "way": way}
                line |= {"cpu_s": round(cpu_s, 1), "seconds": round(seconds, 1), "noisy": len(task.noisy)}
                line["precisions"] = judged(model, task, lesson, options.split)
                with results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


def table(lines: Sequence[Mapping[str, Any]]) -> None:
    """Print for each class the mean over seeds of both, and for each lesson what they cost."""
    print("| study | class | seeds | before | now | change |\n| --- | --- | --- | --- | --- | --- |")
    costs = []
    for lesson in dict.fromkeys(str(line["lesson"]) for line in lines):
        here = [line for line in lines if line["lesson"] == lesson]
        seeds = {way: {line["seed"]: line for line in here if line["way"] == way} for way in WAYS}
        both = sorted(set(seeds["before"]) & set(seeds["now"]))
        for name in here[0]["precisions"] if both else ():
            before, now = (float(np.mean([seeds[way][s]["precisions"][name] for s in both])) for way in WAYS)
            print(f"| {lesson} | {name} | {len(both)} | {before:.3f} | {now:.3f} | {now - before:+.3f} |")
        for measure in ("cpu_s", "seconds") if both else ():
            before, now = (float(np.mean([seeds[way][s][measure] for s in both])) for way in WAYS)
            costs.append(f"| {lesson} | {measure} | {before:.0f} | {now:.0f} | {before / now:.1f} |")
    print("\n| study | measure | before | now | ratio |\n| --- | --- | --- | --- | --- |\n" + "\n".join(costs))


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    splits: tuple[Split, ...] = ("val", "test")
    parser.add_argument("--split", choices=splits, default="val")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default="", help="lessons whose name has this")
    parser.add_argument("--noisy", type=int, default=1000, help="at most so many noisy patches")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    results = _SCRATCH / "results.jsonl"
    if options.what == "run":
        run(options, results)
    else:
        table([line for line in read_results(results) if line["split"] == options.split])


if __name__ == "__main__":
    main()
