"""How well a study's labels agree, by cross-validation: before anything is found anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.accuracy.metrics import precision_recall
from simsearch.io.tables.held_out import read_held_out
from simsearch.runtime.tasks.labels import HELD_OUT_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """How well patches of a class are told from all others by a quick classifier that was not shown their images.

    Precision holds for the mix of places that were judged, which is not that of the images.
    """

    n_patches: int
    """Patches of the class that were judged so."""
    precision: float | None
    """Share of the class's own among all that are taken for it; None where none is."""
    recall: float
    """Share of the class's own that are taken for it."""
    average_precision: float
    """Of all patches, ordered by how probable the class is."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What cross-validation says of the labels of a study."""

    classes: Mapping[str, HeldOutScore]
    """By class, without background; those of which two images have patches."""
    n_doubtful: int
    """Patches that are taken for something else, surely."""


def read_agreement(folder: Path, classes: Sequence[str]) -> HeldOut | None:
    """Read how well the labels of a training agree; None where they were not compared.

    Parameters
    ----------
    folder : Path
        Of the training.
    classes : sequence of str
        Those of the model, background first.
    """
    if not (folder / HELD_OUT_NAME).exists():
        return None
    patches = read_held_out(folder / HELD_OUT_NAME, classes)
    judged = [patch for patch in patches if not np.isnan(patch.confidences[0])]
    labels = np.array([classes.index(patch.class_name) for patch in judged], int)
    confidences = np.array([patch.confidences for patch in judged]).reshape(len(judged), len(classes))
    taken = confidences.argmax(axis=1)
    scores = {}
    for label, name in enumerate(classes):
        if label and (labels == label).any():
            is_own, is_taken = labels == label, taken == label
            curve = precision_recall([is_own], [confidences[:, label]], int(is_own.sum()))
            scores[name] = HeldOutScore(
                n_patches=int(is_own.sum()),
                precision=float(is_own[is_taken].mean()) if is_taken.any() else None,
                recall=float(is_taken[is_own].mean()),
                average_precision=float(curve.average_precision),
            )
    return HeldOut(scores, sum(patch.is_doubtful for patch in patches))


def disagreement(held_out: HeldOut) -> str:
    """Say how many patches disagree, and where to look; nothing where none does.

    Examples
    --------
    >>> disagreement(HeldOut({}, 1))
    '1 patch disagrees with the rest: look at the first rows of held_out.csv'
    >>> disagreement(HeldOut({}, 0))
    ''
    """
    n = held_out.n_doubtful
    who = "1 patch disagrees" if n == 1 else f"{n} patches disagree"
    return f"{who} with the rest: look at the first rows of {HELD_OUT_NAME}" if n else ""


def agreement_facts(held_out: HeldOut | None) -> dict[str, str]:
    """Write for a model's card how well classes were told apart in images that were held out."""
    return {
        f"{name}, held out": f"average precision {each.average_precision:.2f}, recall {each.recall:.2f} of "
        f"{each.n_patches} patches"
        for name, each in (held_out.classes.items() if held_out else ())
    }
