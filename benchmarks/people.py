"""Whole studies by three people, from five boxes a class to what a trained model finds elsewhere.

    python -m benchmarks.people run --split val
    python -m benchmarks.people table --split val

The classes of a set are one study. The hurried person accepts what is suggested, unseen. The careful one first answers
10 or 40 questions a class by truth, the mixed one wrongly one time in ten; then they too accept what is suggested. The
search with their answers, the network trained from them, and the model, which is that network with the search that it
came from, are judged on other images: average precision, and how many
are found (at the suggested threshold, and at a confidence of 0.5) for one that is there. `run` appends a line to
``results.jsonl`` for each person and leaves out those that are there, so it can be stopped at any time.

Blood smears lack many cells in their truth, and only some cells of the plate are labelled: a place that has no label is
not asked about there. Labelled cells of the plate are sorted by how sure the search or the model is of their class.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.people_sets import DISTANCE, SETS, StudySet, read_set
from benchmarks.trunks import read_results
from simsearch.core.accuracy.metrics import match, precision_recall
from simsearch.curation.actions import AddClass, Batch
from simsearch.curation.marks import AddPrototypes, ConfirmPatches, FlagNegatives
from simsearch.curation.questions import open_questions
from simsearch.curation.state import Patch
from simsearch.curation.suggestions import own_candidates, own_of
from simsearch.io.pictures.overlay import CLASS_COLORS
from simsearch.io.tables.peaks import read_peaks
from simsearch.nn.model_file import model_from_bytes, model_to_bytes
from simsearch.runtime import open_cluster
from simsearch.workflows.curate.headless import CurateOptions, curate
from simsearch.workflows.curate.offers import suggested_thresholds, thresholds
from simsearch.workflows.curate.study import (
    CACHE_NAME,
    Study,
    StudyOptions,
    create_study,
    open_curation,
    open_study,
    read_curation,
)
from simsearch.workflows.curate.suggest import find_elsewhere, find_suggestions
from simsearch.workflows.image_set import ImageSet, find_image_set
from simsearch.workflows.learn.train import TrainOptions, train_study
from simsearch.workflows.run.detect import DetectOptions, detect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simsearch.core.peaks import Peak
    from simsearch.curation.journal import Journal
    from simsearch.runtime import Client

SCRATCH = Path(__file__).parent / "scratch" / "people"
_N_PROTOTYPES, _ROUND = 5, 5
_CONFIDENCE = 0.5
_USER = "simulated"
WRONG = {"hurried": 0.0, "careful": 0.0, "mixed": 0.1}
"""How often each person is wrong."""
ANSWERS = {"hurried": (0,), "careful": (10, 40), "mixed": (10, 40)}
"""After how many answers a class each is judged."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who curates a study, and how long."""

    split: str
    set_name: str
    draw: int
    name: str
    n_answers: int

    @property
    def folder(self) -> Path:
        """Where the study is."""
        return SCRATCH / "studies" / f"{self.split}-{self.set_name}-{self.draw}-{self.name}-{self.n_answers}"


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--results", type=Path, default=SCRATCH / "results.jsonl")
    options = parser.parse_args()
    run(options) if options.what == "run" else table(options)


def run(options: argparse.Namespace) -> None:
    """Curate, train and judge what has not been."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    done = {line["person"] for line in read_results(options.results)}
    with open_cluster("threads:1") as client:
        for draw, set_name in product(range(options.draws), options.sets):
            images = read_set(client, options.data, SCRATCH, set_name, options.split)
            for name in WRONG:
                people = [Person(options.split, set_name, draw, name, n) for n in ANSWERS[name]]
                if all(repr(person) in done for person in people):
                    continue
                for person, study in answering(client, images, people):
                    scores = _scores(client, images, study, person.draw)
                    line = {"person": repr(person), **asdict(person), "classes": scores}
                    with options.results.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    print(json.dumps(line), flush=True)


def answering(client: Client, images: StudySet, people: Sequence[Person]) -> Iterator[tuple[Person, Study]]:
    """Let a person answer, and copy the study after so many answers each."""
    first = people[0]
    study = _begun(images, first, first.folder.with_name(f"{first.folder.name}-answering"))
    n_said = 0
    chance = random.Random(f"{first.draw} {first.name}")
    for person in people:
        while n_said < person.n_answers:
            n_said += _ROUND
            _answer(client, study, images, _ROUND, WRONG[person.name], chance)
        shutil.rmtree(person.folder, ignore_errors=True)
        shutil.copytree(study.folder, person.folder, symlinks=True)
        yield person, open_study(person.folder)


def _begun(images: StudySet, person: Person, folder: Path) -> Study:
    """Create a study, and draw five boxes a class: the same for all people of a draw."""
    shutil.rmtree(folder, ignore_errors=True)
    study = create_study(folder, images.trained, StudyOptions(display=images.displayed(person.draw)))
    cache = SCRATCH / "cache" / f"{person.split}-{person.set_name}"
    cache.mkdir(parents=True, exist_ok=True)
    (folder / CACHE_NAME).symlink_to(cache.absolute())
    with open_curation(study) as journal:
        for index, (name, side) in enumerate(images.sides.items()):
            drawn = images.prototypes(name, journal.state, person.draw, _N_PROTOTYPES)
            journal.append(_USER, AddClass(name, CLASS_COLORS[index].lower()))
            journal.append(_USER, AddPrototypes(name, tuple(drawn), (side, side)))
    return study


def _answer(client: Client, study: Study, images: StudySet, n: int, wrong: float, chance: random.Random) -> None:
    """Answer so many of the questions about each class, then look again."""
    with open_curation(study) as journal:
        found = find_suggestions(client, study, journal.state)
        shown = journal.state.displayed
        own = own_of(journal.state, shown, found.peaks)
        least = thresholds(journal.state, suggested_thresholds(journal.state, shown, own, found.left_out))
        for name, peaks in own.items():
            rows = open_questions(journal.state, name, shown, peaks, least[name], n=8 * n)
            places = [Patch.at(shown[peaks.image[row]], float(peaks.y[row]), float(peaks.x[row])) for row in rows]
            known = [(place, kind) for place in places if (kind := images.truth_at(name, place)) is not None]
            for place, kind in known[:n]:
                _say(journal, name, place, kind, is_wrong=chance.random() < wrong)


def _say(journal: Journal, name: str, place: Patch, kind: str, *, is_wrong: bool) -> None:
    """Say of which class a place is, or only that it is not of this one."""
    if (kind == name) != is_wrong:
        journal.append(_USER, ConfirmPatches(name, (place,)))
        return
    says: list[FlagNegatives | ConfirmPatches] = [FlagNegatives(name, (place,))]
    if kind in [each.name for each in journal.state.classes] and not is_wrong:
        says.append(ConfirmPatches(kind, (place,)))
    journal.append(_USER, Batch("answer", tuple(says)))


def _scores(client: Client, images: StudySet, study: Study, seed: int) -> dict[str, Any]:
    """Accept, train, and judge the search and the model on other images."""
    report = curate(client, study, _USER, CurateOptions(accept=True))
    state = read_curation(study)[0].state
    judged = find_image_set(images.judged)
    names = [image.name for image in judged]
    searched = find_elsewhere(client, study, state, list(judged))
    everywhere = replace(state, shapes={**state.shapes, **{image.name: image.shape for image in judged}})
    of_search = own_candidates(everywhere, names, own_of(everywhere, names, searched.peaks))
    model = train_study(client, study, state, TrainOptions(seed=seed)).model
    network = model.with_name("network.safetensors")
    network.write_bytes(without_search(model.read_bytes()))
    of_network, of_model = (detected(client, judged, each) for each in (network, model))
    scores: dict[str, Any] = {}
    for each in report.classes:
        name = each.class_name
        right = [images.truth_at(name, patch) for patch in state.roi_class(name).positives]
        known = [kind == name for kind in right if kind is not None]
        found = {"search": of_search, "network": of_network, "model": of_model}
        scores[name] = {"suggested_right": float(np.mean(known)) if known else None, "n_suggested": len(right)}
        for which, peaks in found.items():
            least = each.similarity_threshold if which == "search" else _CONFIDENCE
            scores[name][which] = judge(images, name, [peak for peak in peaks if peak.class_name == name], least)
    return scores


def detected(client: Client, judged: ImageSet, model: Path) -> list[Peak]:
    """Find what a model sees in images, however unsure it is."""
    results = model.parent / f"results of {model.stem}"
    detect(client, judged, model, results, DetectOptions(floor=1e-4, tissue_mask=False, overwrite=True))
    return read_peaks(results / "detections.parquet")


def without_search(blob: bytes) -> bytes:
    """Take the search out of a model: its network is left."""
    network, header = model_from_bytes(blob)
    network.carried = None
    return model_to_bytes(network, replace(header, search_shares=()))


def judge(images: StudySet, name: str, peaks: Sequence[Peak], least: float) -> tuple[float, float | None]:
    """Return the average precision, and how many are found for one that is there, where all are labelled."""
    by_image: dict[str, list[Peak]] = defaultdict(list)
    for peak in peaks:
        by_image[peak.image].append(peak)
    distance, n_objects = DISTANCE * images.sides[name], sum(o.class_name == name for o in images.judged_truth)
    hits, scores = [], []
    for image, objects in images.judged_objects().items():
        found = sorted(by_image[image], key=lambda peak: -peak.score)
        points, values = np.array([(p.y, p.x) for p in found]).reshape(-1, 2), np.array([p.score for p in found])
        if images.is_sorted:
            gaps = [np.hypot(points[:, 0] - o.y, points[:, 1] - o.x) < distance for o in objects]
            scores.append(np.array([values[near].max(initial=0.0) for near in gaps]))
            hits.append(np.array([o.class_name == name for o in objects]))
        else:
            truth = np.array([(o.y, o.x) for o in objects if o.class_name == name]).reshape(-1, 2)
            scores.append(values)
            hits.append(match(points, values, truth, distance))
    precision = precision_recall(hits, scores, n_objects).average_precision
    return precision, None if images.is_sorted else sum(p.score >= least for p in peaks) / n_objects


def table(options: argparse.Namespace) -> None:
    """Print the mean over draws for each class and person."""
    rows: dict[tuple[str, str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for line in read_results(options.results):
        if line["split"] == options.split:
            for name, scores in line["classes"].items():
                rows[line["set_name"], name, line["name"], line["n_answers"]].append(scores)
    parts = ("search", "network", "model")
    columns = " | ".join(f"{part} AP | found / true" for part in parts)
    print(f"| set: class | person | answers | suggested | right | {columns} |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (set_name, name, person, n), found in rows.items():
        numbers = [[each[key] for each in found] for key in ("n_suggested", "suggested_right")] + [
            [each[key][i] for each in found] for key in parts for i in range(2)
        ]
        means = [np.mean([v for v in values if v is not None] or [np.nan]) for values in numbers]
        cells = [f"{means[0]:.0f}", *(f"{v:.2f}" if i % 2 == 0 else f"{v:.3f}" for i, v in enumerate(means[1:]))]
        print(f"| {set_name}: {name} | {person} | {n} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
