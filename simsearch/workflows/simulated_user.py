"""A person who answers from ground truth, and does what a person does: the same actions, in the same journal.

The design of the paper's ablation (section 3.3): so many prototypes are picked at random, the similarity threshold is
lowered until so many wrong suggestions show, these are flagged, and the rest is accepted.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.boxes import Box
from simsearch.curation.actions import AddClass, SetSimilarityThreshold
from simsearch.curation.marks import AcceptBackground, AcceptClass, AddPrototypes, FlagNegatives, FlagNotBackground
from simsearch.curation.state import Curation, Patch
from simsearch.curation.suggestions import background_patches, marked_patches, suggested_patches
from simsearch.errors import ConfigError
from simsearch.io.overlay import CLASS_COLORS
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.study import open_curation
from simsearch.workflows.suggest import N_BACKGROUND, find_suggestions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.core.peaks import Peak
    from simsearch.curation.journal import Journal
    from simsearch.io.truth_table import TrueObject
    from simsearch.runtime import Client
    from simsearch.workflows.peaks import Candidates
    from simsearch.workflows.study import Study

_PAPER_DISTANCE = 0.3  # of the patch's width: three strides (section 3.3)
_USER = "simulated user"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the person works."""

    classes: tuple[str, ...]
    """Classes to look for; objects of others are neither right nor wrong."""
    patch_shape: tuple[float, float]
    """Height and width of the prototypes in level-0 pixels."""
    n_prototypes: int = 5
    """How many prototypes are drawn for each class (P)."""
    n_negatives: int = 5
    """How many wrong suggestions are let in, and flagged, for each class (N)."""
    n_background: int = N_BACKGROUND
    """How many patches of most and of least similarity are looked at in an image."""
    seed: int = 0
    """Source of all randomness."""


def simulate_curation(
    client: Client, study: Study, truth: Sequence[TrueObject], behaviour: Behaviour, *, observe: Observer = ignore
) -> Curation:
    """Curate a study that nobody has said anything in.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        A new study.
    truth : sequence of TrueObject
        All objects on its displayed images.
    behaviour : Behaviour
        How the person works.
    observe : callable
        Gets the events.

    Returns
    -------
    Curation
        With accepted classes and background.

    Raises
    ------
    ConfigError
        If there are too few objects of a class for its prototypes.
    """
    rng = random.Random(behaviour.seed)
    with open_curation(study) as journal:
        shown = [o for o in truth if o.image in set(journal.state.displayed)]
        for index, name in enumerate(behaviour.classes):
            drawn = _prototypes(journal.state, name, shown, behaviour, rng)
            journal.append(_USER, AddClass(name, CLASS_COLORS[index % len(CLASS_COLORS)].lower()))
            journal.append(_USER, AddPrototypes(name, tuple(drawn), behaviour.patch_shape))
        found = find_suggestions(client, study, journal.state, observe=observe)
        for name in behaviour.classes:
            _judge_class(journal, name, found, shown, behaviour)
        _judge_background(journal, found, shown, behaviour)
        return journal.state


def _prototypes(
    curation: Curation, name: str, shown: Sequence[TrueObject], behaviour: Behaviour, rng: random.Random
) -> list[Patch]:
    of_class = [o for o in shown if o.class_name == name]
    whole = [
        o for o in of_class if Box(o.image, name, o.y, o.x, *behaviour.patch_shape).is_inside(curation.shapes[o.image])
    ]
    if len(whole) < behaviour.n_prototypes:
        raise ConfigError(
            f"class {name}: expected {behaviour.n_prototypes} objects wholly inside the displayed images, got "
            f"{len(whole)}: display other images"
        )
    return [Patch.at(box.image, box.y, box.x) for box in rng.sample(whole, behaviour.n_prototypes)]


def _judge_class(
    journal: Journal, name: str, found: Candidates, shown: Sequence[TrueObject], behaviour: Behaviour
) -> None:
    """Lower the threshold until the last wrong suggestion that is tolerated shows, flag those, accept the rest."""
    peaks = sorted((p for p in found.peaks if p.class_name == name), key=lambda p: -p.score)
    distance = _PAPER_DISTANCE * behaviour.patch_shape[1]
    wrong: list[Peak] = []
    lowest = 1.0
    for peak in peaks:
        if _is_wrong(peak, shown, behaviour.classes, distance):
            if len(wrong) == behaviour.n_negatives:
                break
            wrong.append(peak)
        lowest = peak.score
    journal.append(_USER, SetSimilarityThreshold(name, lowest))
    if wrong:
        flagged = tuple(Patch.at(peak.image, peak.y, peak.x) for peak in wrong)
        journal.append(_USER, FlagNegatives(name, flagged))
    journal.append(_USER, AcceptClass(name, tuple(suggested_patches(journal.state, name, peaks))))


def _is_wrong(peak: Peak, shown: Sequence[TrueObject], classes: Sequence[str], distance: float) -> bool:
    """Tell whether a suggestion is known to be none of its class."""
    near = [o for o in shown if o.image == peak.image and math.hypot(o.y - peak.y, o.x - peak.x) < distance]
    if any(o.class_name == peak.class_name for o in near):
        return False
    return not near or any(o.class_name in classes for o in near)


def _judge_background(journal: Journal, found: Candidates, shown: Sequence[TrueObject], behaviour: Behaviour) -> None:
    state = journal.state
    presented = background_patches(state, found.highest, found.lowest, marked_patches(state), behaviour.n_background)
    patches = [patch for group in presented for patch in group]
    objects = [patch for patch in patches if _holds_object(patch, shown, behaviour.patch_shape)]
    if objects:
        journal.append(_USER, FlagNotBackground(tuple(objects)))
    if len(objects) < len(patches):
        journal.append(_USER, AcceptBackground(tuple(patch for patch in patches if patch not in objects)))


def _holds_object(patch: Patch, shown: Sequence[TrueObject], shape: tuple[float, float]) -> bool:
    """Tell whether the centre of an object lies in a patch."""
    height, width = shape
    return any(
        o.image == patch.image and abs(o.y - patch.y) < height / 2 and abs(o.x - patch.x) < width / 2 for o in shown
    )
