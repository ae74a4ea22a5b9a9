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
from simsearch.curation.background import N_BACKGROUND
from simsearch.curation.marks import AcceptBackground, AcceptClass, AddPrototypes, FlagNegatives, FlagNotBackground
from simsearch.curation.state import Curation, Patch
from simsearch.curation.suggestions import background_patches, marked_patches, suggested_patches
from simsearch.errors import ConfigError
from simsearch.io.pictures.overlay import CLASS_COLORS
from simsearch.runtime.events import Noted, Observer, ignore
from simsearch.workflows.curate.study import open_curation
from simsearch.workflows.curate.suggest import find_suggestions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.core.peaks import Peak
    from simsearch.curation.journal import Journal
    from simsearch.io.tables.truth import TrueObject
    from simsearch.runtime import Client
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.find.peaks import Candidates

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
    is_truth_complete: bool = True
    """Whether the truth names all objects on displayed images. Otherwise a suggestion where it names none is neither
    flagged nor accepted, and only easy background is accepted."""
    distance: float | None = None
    """A suggestion nearer than this to an object is that object, in level-0 pixels; by default three strides of the
    paper (section 3.3)."""
    seed: int = 0
    """Source of all randomness."""

    @property
    def reach(self) -> float:
        """The distance, whichever way it was given."""
        return self.distance or _PAPER_DISTANCE * self.patch_shape[1]


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
        Objects on its displayed images.
    behaviour : Behaviour
        How the person works.
    observe : callable
        Gets the events, and notes.

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
        bare = sorted(set(journal.state.displayed) - {o.image for o in shown})
        if bare and behaviour.is_truth_complete:
            observe(Noted(_of_bare(bare)))
        drawn_of = {name: _prototypes(journal.state, name, shown, behaviour, rng) for name in behaviour.classes}
        for index, (name, drawn) in enumerate(drawn_of.items()):
            journal.append(_USER, AddClass(name, CLASS_COLORS[index % len(CLASS_COLORS)].lower()))
            journal.append(_USER, AddPrototypes(name, tuple(drawn), behaviour.patch_shape))
        found = find_suggestions(client, study, journal.state, observe=observe)
        for name in behaviour.classes:
            _judge_class(journal, name, found, shown, behaviour)
        _judge_background(journal, found, shown, behaviour)
        return journal.state


def _of_bare(images: Sequence[str]) -> str:
    return (
        f"expected objects on all displayed images, got none on {', '.join(images)}: all that is suggested there is "
        "taken for wrong; display other images, or say that the truth is not complete (is_truth_complete=False)"
    )


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
    """Lower the threshold until the last wrong suggestion that is tolerated shows, flag those, accept the right."""
    peaks = sorted((p for p in found.peaks if p.class_name == name), key=lambda p: -p.score)
    right: list[Peak] = []
    wrong: list[Peak] = []
    lowest = 1.0
    for peak in peaks:
        verdict = _is_right(peak, shown, behaviour)
        if verdict is False and len(wrong) == behaviour.n_negatives:
            break
        lowest = peak.score
        if verdict is not None:
            (right if verdict else wrong).append(peak)
    journal.append(_USER, SetSimilarityThreshold(name, lowest))
    if wrong:
        journal.append(_USER, FlagNegatives(name, tuple(Patch.at(p.image, p.y, p.x) for p in wrong)))
    journal.append(_USER, AcceptClass(name, tuple(suggested_patches(journal.state, name, right))))


def _is_right(peak: Peak, shown: Sequence[TrueObject], behaviour: Behaviour) -> bool | None:
    """Tell whether a suggestion is of its class, as far as the truth says."""
    here = (o for o in shown if o.image == peak.image)
    near = {o.class_name for o in here if math.hypot(o.y - peak.y, o.x - peak.x) < behaviour.reach}
    if peak.class_name in near:
        return True
    is_known = not near.isdisjoint(behaviour.classes) or (not near and behaviour.is_truth_complete)
    return False if is_known else None


def _judge_background(journal: Journal, found: Candidates, shown: Sequence[TrueObject], behaviour: Behaviour) -> None:
    state = journal.state
    difficult, easy = background_patches(
        state, found.highest, found.lowest, marked_patches(state), behaviour.n_background
    )
    patches = [*difficult, *easy] if behaviour.is_truth_complete else easy
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
