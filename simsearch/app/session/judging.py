"""What people do where regions are found and looked at, as actions: boxes become prototypes, clicks become flags.

Each decides by what holds when it is done, not by what the page showed: others may have been quicker. None is to be
called in an event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from simsearch.core.peaks import Peak
from simsearch.curation.actions import AddClass, Batch, SetSimilarityThreshold, apply
from simsearch.curation.checks import common_shape, count, fixed_shape
from simsearch.curation.marks import (
    AddBackground,
    AddPrototypes,
    ConfirmPatches,
    FlagNegatives,
    UnflagNegatives,
    WithdrawConfirmed,
)
from simsearch.curation.state import Patch, Places, singled_out
from simsearch.curation.suggestions import acceptance, release, suggested_patches
from simsearch.errors import CurationError
from simsearch.io.pictures.overlay import CLASS_COLORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Suggestions
    from simsearch.curation.actions import Action
    from simsearch.curation.state import Curation

PALETTE = tuple(color.lower() for color in CLASS_COLORS)
"""Colours that people with any kind of colour vision tell apart."""

_LEAST_SIDE_PX = 8.0  # of the box that fixes the shape of patches: a smaller one was drawn by a slip


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box that was drawn, in level-0 pixels."""

    image: str
    y: float
    """Row of the centre."""
    x: float
    """Column of the centre."""
    height: float
    width: float


def new_class(curation: Curation) -> AddClass:
    """Name and colour a class unlike those there are."""
    taken = {each.name for each in curation.classes}
    used = {each.color for each in curation.classes}
    number = next(n for n in range(1, len(taken) + 2) if f"class {n}" not in taken)
    free = [color for color in PALETTE if color not in used]
    return AddClass(f"class {number}", free[0] if free else PALETTE[len(taken) % len(PALETTE)])


def draw_prototype(live: LiveStudy, user: str, class_name: str | None, box: DrawnBox) -> None:
    """Make a box a prototype.

    Parameters
    ----------
    live : LiveStudy
        The study.
    user : str
        Who drew it.
    class_name : str or None
        Of which class; without one, or if it was removed meanwhile, a class is added.
    box : DrawnBox
        The first box of a class fixes the shape of its patches, in whole pixels; that of all, where one patch serves
        all. Of later ones the centre counts, moved inwards where a patch would not lie in the image. What was said
        otherwise of the place is taken back.

    Raises
    ------
    CurationError
        If the first box is tiny.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    known = next((each for each in curation.classes if each.name == class_name), None)
    shape = fixed_shape(curation, known) or (float(round(box.height)), float(round(box.width)))
    check_large_enough(shape)
    actions: list[Action] = []
    if class_name is None or known is None:
        actions.append(added := new_class(curation))
        class_name = added.class_name
    drawn = Patch.at(box.image, box.y, box.x).moved_inside(shape, curation.shapes[box.image])
    actions += taken_back(curation, class_name, shape, [drawn])
    actions.append(AddPrototypes(class_name, (drawn,), shape))
    live.act(user, actions[0] if len(actions) == 1 else Batch(f"draw a box of {class_name}", tuple(actions)))


def toggle_negative(live: LiveStudy, user: str, class_name: str, at: Patch) -> None:
    """Flag what is suggested at a place as not of the class; or, if it is flagged, take that back.

    What is unflagged in a class that is accepted is of it: somebody has looked at it twice.

    Raises
    ------
    CurationError
        If there is a prototype at the place, or no such class.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    roi_class = curation.roi_class(class_name)
    shape = common_shape(curation, roi_class)
    flagged = Places(roi_class.negatives, shape).near(at)
    if flagged is None:
        actions = _refusals(curation, class_name, [at])
    else:
        actions = [UnflagNegatives(class_name, (flagged.id,))]
        actions += [ConfirmPatches(class_name, (at,))] if roi_class.is_accepted else []
    act_together(live, user, f"{'flag' if flagged is None else 'unflag'} a region of {class_name}", actions)


def flag(live: LiveStudy, user: str, class_name: str, places: Sequence[Patch]) -> None:
    """Flag what is suggested at several places as not of the class; what is flagged stays so.

    Raises
    ------
    CurationError
        If there is a prototype at a place, or no such class.
    StoreError
        If it cannot be saved.
    """
    actions = _refusals(live.snapshot.curation, class_name, places)
    act_together(live, user, f"flag {count(places, 'region')} of {class_name}", actions)


def confirm(live: LiveStudy, user: str, class_name: str, places: Sequence[Patch]) -> None:
    """Say of suggestions that were looked at one by one that they are of a class, whatever was said of them before.

    Raises
    ------
    CurationError
        If there is a prototype of another class at a place, or no such class.
    StoreError
        If it cannot be saved.
    """
    actions = _assents(live.snapshot.curation, class_name, places)
    act_together(live, user, f"confirm {count(places, 'region')} of {class_name}", actions)


def add_missed(live: LiveStudy, user: str, class_name: str, at: Patch) -> None:
    """Say that there is one of a class at a place, moved inwards where its patch would not lie in the image.

    Raises
    ------
    CurationError
        If there is a prototype of another class at the place, or no such class, or no box yet.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    shape = common_shape(curation, curation.roi_class(class_name))
    confirm(live, user, class_name, [at.moved_inside(shape, curation.shapes[at.image])])


def refuse(live: LiveStudy, user: str, class_name: str, places: Sequence[Patch]) -> None:
    """Say of places that look like a class that they are not of it: where no object of another is, background.

    Raises
    ------
    CurationError
        If there is a prototype of the class at a place, or no such class.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    actions = _refusals(curation, class_name, places)
    others = (each for each in curation.classes if each.name != class_name)
    objects = (patch for each in others for patch in (*singled_out(each), *each.positives))
    known = Places((*curation.background, *objects), common_shape(curation))
    if new := tuple(at for at in places if known.near(at) is None):
        actions.append(AddBackground(new))
    act_together(live, user, f"take {count(places, 'region')} for background, not {class_name}", actions)


def move_to_class(live: LiveStudy, user: str, class_name: str, other_name: str, places: Sequence[Patch]) -> None:
    """Say of suggestions for a class that they are of another.

    Raises
    ------
    CurationError
        If there is a prototype at a place, or no such class.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    actions = _refusals(curation, class_name, places)
    actions += _assents(curation, other_name, places, refused=class_name)
    act_together(live, user, f"move {count(places, 'region')} from {class_name} to {other_name}", actions)


def judge_together(live: LiveStudy, user: str, places: Mapping[str, Sequence[Patch]], to: str | None = None) -> None:
    """Say of places that are taken for several classes what they are, to be undone as one.

    Parameters
    ----------
    live : LiveStudy
        The study.
    user : str
        Who says so.
    places : mapping of str to sequence of Patch
        By the class for which they were taken.
    to : str, optional
        The class of which all of them are; empty if each is not of the one for which it was taken. By default each is.

    Raises
    ------
    CurationError
        If there is a prototype at a place, or no such class.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    actions: list[Action] = []
    for class_name, own in places.items():
        target = class_name if to is None else to
        judged = [] if target == class_name else _refusals(curation, class_name, own)
        judged += _assents(curation, target, own, refused=class_name) if target else []
        actions += judged
        curation = reduce(apply, judged, curation)
    n = count([at for own in places.values() for at in own], "region")
    act_together(live, user, f"flag {n}" if to == "" else f"confirm {n}{f' of {to}' if to else ''}", actions)


def accept_class(live: LiveStudy, user: str, class_name: str) -> None:
    """Accept what is suggested for a class, with the suggested threshold if nobody has chosen one.

    Raises
    ------
    CurationError
        If there are no suggestions for it (yet).
    StoreError
        If it cannot be saved.
    """
    curation, suggestions = live.snapshot.curation, live.snapshot.suggestions
    if suggestions.state != "ready" or class_name not in suggestions.by_class:
        raise CurationError(f"class {class_name}: expected suggestions, got none yet: draw a box, or wait for them")
    actions: list[Action] = []
    if curation.roi_class(class_name).similarity_threshold is None:
        actions.append(SetSimilarityThreshold(class_name, suggestions.suggested_thresholds[class_name]))
        curation = actions[0].apply(curation)
    peaks = peaks_above(curation, suggestions, class_name)
    accept = acceptance(curation, class_name, suggested_patches(curation, class_name, peaks))
    live.act(user, Batch(str(accept), (*actions, accept)) if actions else accept)


def peaks_above(curation: Curation, suggestions: Suggestions, class_name: str) -> Sequence[Peak]:
    """List the peaks of a class that reach its similarity threshold."""
    roi_class = curation.roi_class(class_name)
    least, shape = roi_class.similarity_threshold, curation.shape_of(roi_class)
    if least is None or shape is None:
        return []
    found = suggestions.by_class[class_name]
    n = int((found.score >= least).sum())  # the best come first
    return [
        Peak(suggestions.images[found.image[row]], class_name, float(found.y[row]), float(found.x[row]), shape, score)
        for row, score in enumerate(found.score[:n].tolist())
    ]


def check_large_enough(shape: tuple[float, float]) -> None:
    """Refuse a shape of patches that is a slip of the hand."""
    if min(shape) < _LEAST_SIDE_PX:
        raise CurationError(
            f"expected a box of at least {_LEAST_SIDE_PX:g} x {_LEAST_SIDE_PX:g} px, got "
            f"{shape[0]:g} x {shape[1]:g} px: draw around the whole object and a little of what surrounds it"
        )


def taken_back(
    curation: Curation, class_name: str, shape: tuple[float, float], places: Sequence[Patch]
) -> list[Action]:
    """Take back what was said otherwise of places that are of a class, as far as actions on them would be refused."""
    roi_class = next((each for each in curation.classes if each.name == class_name), None)
    flagged = _ids_near(roi_class.negatives, shape, places) if roi_class else ()
    unflag: list[Action] = [UnflagNegatives(class_name, flagged)] if flagged else []
    released = release(curation, class_name, places, shape)
    return [*unflag, *released, *_withdrawn(curation, class_name, shape, places)]


def act_together(live: LiveStudy, user: str, label: str, actions: Sequence[Action]) -> None:
    """Do several things as one, to be undone as one; nothing where there are none."""
    if actions:  # else all of it was said before
        live.act(user, actions[0] if len(actions) == 1 else Batch(label, tuple(actions)))


def _refusals(curation: Curation, class_name: str, places: Sequence[Patch]) -> list[Action]:
    """Say that places are not of a class, as far as nobody flagged them."""
    roi_class = curation.roi_class(class_name)
    shape = common_shape(curation, roi_class)
    drawn, flagged = Places(roi_class.prototypes, shape), Places(roi_class.negatives, shape)
    if any(drawn.near(at) for at in places):
        raise CurationError(f"expected a suggestion, got a prototype of {class_name}: remove it in the list of classes")
    new = tuple(at for at in places if flagged.near(at) is None)
    confirmed = _ids_near(roi_class.confirmed, shape, new)
    before: list[Action] = [WithdrawConfirmed(class_name, confirmed)] if confirmed else []
    return [*before, FlagNegatives(class_name, new)] if new else []


def _assents(curation: Curation, class_name: str, places: Sequence[Patch], refused: str = "") -> list[Action]:
    """Say that places are of a class, and of no other; of one more class that has been said."""
    roi_class = curation.roi_class(class_name)
    shape = common_shape(curation, roi_class)
    said = Places(singled_out(roi_class), shape)
    new = tuple(at for at in places if said.near(at) is None)
    actions: list[Action] = []
    if flagged := _ids_near(roi_class.negatives, shape, new):
        actions.append(UnflagNegatives(class_name, flagged))
    actions += _withdrawn(curation, class_name, shape, new, refused)
    return [*actions, ConfirmPatches(class_name, new)] if new else []


def _withdrawn(
    curation: Curation, class_name: str, shape: tuple[float, float], places: Sequence[Patch], refused: str = ""
) -> list[WithdrawConfirmed]:
    """Take back that places are of other classes, but of that of which it is taken back anyway."""
    withdrawn = []
    for each in curation.classes:
        if each.confirmed and each.name not in (class_name, refused):
            common = min(shape, common_shape(curation, each), key=min)
            if ids := _ids_near(each.confirmed, common, places):
                withdrawn.append(WithdrawConfirmed(each.name, ids))
    return withdrawn


def _ids_near(patches: Sequence[Patch], shape: tuple[float, float], places: Sequence[Patch]) -> tuple[str, ...]:
    known = Places(patches, shape)
    return tuple(dict.fromkeys(found.id for at in places if (found := known.near(at))))
