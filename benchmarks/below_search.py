"""What answers given one by one say of search and model, against the truth on other images.

    python -m benchmarks.below_search --split val --sets cells --answers 10 40

Studies of `benchmarks.people`: a careful person answers so many questions a class by truth. `train` compares the search
with a stand-in for the network at these places; the search, the network, both as they would be mixed without answers,
and the model as it comes out are judged on other images by average precision. `--short` trains a fifth as long.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import people
from benchmarks.people import Person
from benchmarks.people_sets import SETS, StudySet, read_set
from simsearch.curation.suggestions import own_candidates, own_of
from simsearch.nn.model_file import read_header
from simsearch.runtime import open_cluster
from simsearch.runtime.events import ignore
from simsearch.training.recipe import Schedule
from simsearch.workflows.curate.headless import CurateOptions, curate
from simsearch.workflows.curate.sight import study_setting
from simsearch.workflows.curate.study import Study, read_curation
from simsearch.workflows.curate.suggest import find_elsewhere
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn import carried
from simsearch.workflows.learn import train as learning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simsearch.runtime import Client

SHORT = replace(
    learning.BRIEF,
    noisy=Schedule(5, 128, decay_every=3, decay=0.1),
    clean=Schedule(6, 32, decay_every=4, decay=0.1, n_patches=256),
    classifier=Schedule(8, 32, decay_every=5, decay=0.1, n_patches=256),
)


def main() -> None:
    """Curate, train, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["cells"])
    parser.add_argument("--answers", type=int, nargs="+", default=[10])
    parser.add_argument("--draw", type=int, default=0)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    usual = learning.TrainOptions(seed=options.draw)
    chosen = replace(usual, n_noisy=100) if options.short else usual
    if options.short:
        learning.BRIEF = SHORT
    print("| set: class | answers | right, wrong | search | else | decides | AP: search | network | mixed | model |")
    print("| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |", flush=True)
    with open_cluster("threads:1") as client:
        for name in options.sets:
            images = read_set(client, options.data, people.SCRATCH, name, options.split)
            persons = [Person(options.split, name, options.draw, "careful", n) for n in options.answers]
            for person, study in people.answering(client, images, persons):
                for row in _judged(client, images, study, chosen):
                    print(f"| {name}: {row} |".replace("ANSWERS", str(person.n_answers)), flush=True)


def _judged(client: Client, images: StudySet, study: Study, options: learning.TrainOptions) -> Iterator[str]:
    """Accept, train, and judge all that could decide."""
    curate(client, study, "simulated", CurateOptions(accept=True))
    state, judged = read_curation(study)[0].state, find_image_set(images.judged)
    names = [image.name for image in judged]
    searched = find_elsewhere(client, study, state, list(judged))
    everywhere = replace(state, shapes={**state.shapes, **{image.name: image.shape for image in judged}})
    found = {"search": own_candidates(everywhere, names, own_of(everywhere, names, searched.peaks))}
    started = time.process_time()
    model = learning.train_study(client, study, state, options).model
    print(f"(training: {time.process_time() - started:.0f} CPU-s)", flush=True)
    network, mixed = (model.with_name(f"{which}.safetensors") for which in ("network", "mixed"))
    network.write_bytes(people.without_search(model.read_bytes()))
    arithmetic = study_setting(client, study, state).arithmetic
    started = time.process_time()
    mixed.write_bytes(carried.with_search(client, study, state, network.read_bytes(), arithmetic, ignore))
    print(f"(search without answers: {time.process_time() - started:.0f} CPU-s)", flush=True)
    for which, path in (("network", network), ("mixed", mixed), ("model", model)):
        found[which] = people.detected(client, judged, path)
    header = read_header(model.read_bytes())
    words: dict[str, Any] = carried.shares_in_words(header)
    for name in header.classes[1:]:
        said = header.training["answers"][name]
        precision = {
            which: people.judge(images, name, [p for p in peaks if p.class_name == name], 0.5)[0]
            for which, peaks in found.items()
        }
        told = ["-" if said[who] is None else f"{said[who]:.2f}" for who in ("search", "model")]
        print(json.dumps({"class": name, **said, "words": words.get(name), "precision": precision}), flush=True)
        who = "search" if said["better"] == "search" else "as before"
        numbers = " | ".join(f"{precision[which]:.3f}" for which in ("search", "network", "mixed", "model"))
        counts = f"{said['n_right']}, {said['n_wrong']}"
        yield f"{name} | ANSWERS | {counts} | {told[0]} | {told[1]} | {who} | {numbers}"


if __name__ == "__main__":
    main()
