"""Whether labels agree: which patches a classifier takes for something else that was not shown their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from simsearch.core.feature_grid import to_level0
from simsearch.io.tables.held_out import HeldOutPatch, write_held_out
from simsearch.training.held_out import few_of_each, folds_of, held_out_probabilities, rotated_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.nn.classifier import PatchClassifier
    from simsearch.runtime.tasks.train import TrainTask
    from simsearch.training.patches import LabelledPatches

HELD_OUT_NAME = "held_out.csv"
_DOUBTFUL = 0.2  # a smaller probability of what it was said to be; as is the next, measured in benchmarks/RESULTS.md
_LITTLE = 0.1  # how far a doubtful label counts that was accepted with many


def check_labels(task: TrainTask, model: PatchClassifier, clean: LabelledPatches, folder: Path) -> torch.Tensor:
    """Judge clean patches by cross-validation over images, and write what it says into the folder of a training.

    Returns
    -------
    (N,) tensor
        How far each label counts: what was accepted with many less, where the rest says that it is something else.
    """
    labels = [place.label for place in task.clean]
    rows = few_of_each(labels)
    places = [task.clean[row] for row in rows]
    folds = folds_of([p.image for p in places], [p.y for p in places], [p.label for p in places])
    rotated = rotated_vectors(model, clean.crops[rows], task.arithmetic)
    found = held_out_probabilities(rotated, clean.labels[rows].cpu(), folds)
    found = torch.nn.functional.pad(found, (0, len(task.header.classes) - found.shape[1]))
    own = found[torch.arange(len(rows)), clean.labels[rows].cpu()]
    is_doubtful = own < _DOUBTFUL
    names, downsampling = [view.image.meta.name for view in task.views], task.header.downsampling
    patches = [
        HeldOutPatch(
            names[place.image],
            task.header.classes[place.label],
            to_level0(place.y, downsampling),
            to_level0(place.x, downsampling),
            tuple(confidences),
            doubtful,
        )
        for place, confidences, doubtful in zip(places, found.tolist(), is_doubtful.tolist(), strict=True)
    ]
    write_held_out(patches, task.header.classes, folder / HELD_OUT_NAME)
    weights = torch.ones(len(labels))
    weights[[r for r, p, bad in zip(rows, places, is_doubtful.tolist(), strict=True) if bad and not p.is_single]] = (
        _LITTLE
    )
    return weights.to(clean.labels.device)
