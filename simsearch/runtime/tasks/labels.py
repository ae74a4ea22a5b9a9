"""Whether labels agree: which patches a classifier takes for something else that was not shown their images.

The same classifier stands in for the network where a study's answers are compared with its search: what the network
will say of them is learned from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from simsearch.core.feature_grid import to_level0
from simsearch.io.tables.answered import AnsweredPlace, write_answered
from simsearch.io.tables.held_out import HeldOutPatch, write_held_out
from simsearch.training.held_out import (
    few_of_each,
    folds_of,
    held_out_logits,
    log_odds_of,
    probabilities_of,
    products,
    rotated_vectors,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simsearch.nn.classifier import PatchClassifier
    from simsearch.runtime.tasks.train import Place, TrainTask
    from simsearch.training.patches import LabelledPatches

HELD_OUT_NAME = "held_out.csv"
ANSWERED_NAME = "answered.csv"
_DOUBTFUL = 0.2  # a smaller probability of what it was said to be; as is the next, measured in benchmarks/RESULTS.md
_ASKED = -1  # the label of what is asked about, and not learned from
_LITTLE = 0.1  # how far a doubtful label counts that was accepted with many


def check_labels(
    task: TrainTask, model: PatchClassifier, clean: LabelledPatches, answered: LabelledPatches, folder: Path
) -> torch.Tensor:
    """Judge clean patches and answers by cross-validation over images, and write what it says into a training's folder.

    Returns
    -------
    (N,) tensor
        How far each label counts: what was accepted with many less, where the rest says that it is something else.
    """
    labels = [place.label for place in task.clean]
    rows = few_of_each(labels)
    places, others = [task.clean[row] for row in rows], _others(task, rows)
    crops = torch.cat([clean.crops[rows], answered.crops[others]])
    judged = [*places, *(task.answers[other].place for other in others)]
    said = [*(place.label for place in places), *([len(task.header.classes)] * len(others))]
    folds = folds_of([p.image for p in judged], [p.y for p in judged], said)
    gram = products(rotated_vectors(model, crops, task.arithmetic))
    own = torch.tensor([*(place.label for place in places), *([_ASKED] * len(others))])
    logits = _padded(held_out_logits(gram, own, folds), task)
    if task.answers:
        taught = torch.cat([own[: len(rows)], torch.tensor(_taught(task, others), dtype=own.dtype)])
        _write_answered(task, judged, _padded(held_out_logits(gram, taught, folds), task), folder)
    probabilities = probabilities_of(logits[: len(rows)], own[: len(rows)])
    is_doubtful = (probabilities[torch.arange(len(rows)), own[: len(rows)]] < _DOUBTFUL).tolist()
    _write_held_out(task, places, probabilities, is_doubtful, folder)
    weights = torch.ones(len(labels))
    weights[[r for r, p, bad in zip(rows, places, is_doubtful, strict=True) if bad and not p.is_single]] = _LITTLE
    return weights.to(clean.labels.device)


def _padded(logits: torch.Tensor, task: TrainTask) -> torch.Tensor:
    """Add the last classes, where no patch is of them."""
    return torch.nn.functional.pad(logits, (0, len(task.header.classes) - logits.shape[1]), value=-torch.inf)


def _others(task: TrainTask, rows: Sequence[int]) -> list[int]:
    """List the answers of which the place is not among some clean ones, each place once."""
    known = {_spot(task.clean[row]) for row in rows}
    new = {_spot(each.place): index for index, each in enumerate(task.answers) if _spot(each.place) not in known}
    return sorted(new.values())


def _taught(task: TrainTask, others: Sequence[int]) -> list[int]:
    """Take what is wrong, and of no class, for background: searches learn from flags, and so do networks."""
    known = {_spot(place) for place in task.clean} | {_spot(each.place) for each in task.answers if each.is_right}
    return [_ASKED if _spot(task.answers[other].place) in known else 0 for other in others]


def _spot(place: Place) -> tuple[int, float, float]:
    return place.image, place.y, place.x


def _write_answered(task: TrainTask, judged: Sequence[Place], logits: torch.Tensor, folder: Path) -> None:
    """Write what is said of answers, which are found by their places."""
    rows = {_spot(place): row for row, place in enumerate(judged)}
    asked = torch.tensor([each.place.label for each in task.answers])
    log_odds = log_odds_of(logits[[rows[_spot(each.place)] for each in task.answers]], asked)
    written = [
        AnsweredPlace(*_named(task, each.place), is_right=each.is_right, network=value)
        for each, value in zip(task.answers, log_odds.tolist(), strict=True)
    ]
    write_answered(written, folder / ANSWERED_NAME)


def _write_held_out(
    task: TrainTask, places: Sequence[Place], probabilities: torch.Tensor, is_doubtful: Sequence[bool], folder: Path
) -> None:
    patches = [
        HeldOutPatch(*_named(task, place), tuple(confidences), doubtful)
        for place, confidences, doubtful in zip(places, probabilities.tolist(), is_doubtful, strict=True)
    ]
    write_held_out(patches, task.header.classes, folder / HELD_OUT_NAME)


def _named(task: TrainTask, place: Place) -> tuple[str, str, float, float]:
    """Return image, class, y and x in level-0 pixels of a place."""
    y, x = (to_level0(at, task.header.downsampling) for at in (place.y, place.x))
    return task.views[place.image].image.meta.name, task.header.classes[place.label], y, x
