"""What people do on the Regions page, as actions: boxes become prototypes, clicks become flags.

Each decides by what holds when it is done, not by what the page showed: others may have been quicker. None is to be
called in an event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.peaks import Peak
from simsearch.curation.actions import AddClass, Batch, SetSimilarityThreshold
from simsearch.curation.marks import AcceptClass, AddPrototypes, FlagNegatives, UnflagNegatives
from simsearch.curation.state import Patch, Places
from simsearch.curation.suggestions import suggested_patches
from simsearch.errors import CurationError
from simsearch.io.pictures.overlay import CLASS_COLORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Suggestions
    from simsearch.curation.actions import Action
    from simsearch.curation.state import Curation

PALETTE = tuple(color.lower() for color in CLASS_COLORS)
"""Colours that people with any kind of colour vision tell apart."""

_LEAST_SIDE_PX = 8.0  # of the first box: a smaller one was drawn by a slip, and would fix the shape of all patches


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
        The first box of all fixes the shape of patches, in whole pixels. Of later ones the centre counts, moved inwards
        where a patch would not lie in the image.

    Raises
    ------
    CurationError
        If the first box is tiny, or the opposite was said of its place.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    shape = curation.patch_shape or (float(round(box.height)), float(round(box.width)))
    if min(shape) < _LEAST_SIDE_PX:
        raise CurationError(
            f"expected a box of at least {_LEAST_SIDE_PX:g} x {_LEAST_SIDE_PX:g} px, got "
            f"{shape[0]:g} x {shape[1]:g} px: draw around the whole object and a little of what surrounds it"
        )
    y, x = (
        _inside(centre, side, length)
        for centre, side, length in zip((box.y, box.x), shape, curation.shapes[box.image], strict=True)
    )
    actions: list[Action] = []
    if class_name is None or all(each.name != class_name for each in curation.classes):
        actions.append(added := new_class(curation))
        class_name = added.class_name
    actions.append(AddPrototypes(class_name, (Patch.at(box.image, y, x),), shape))
    live.act(user, actions[0] if len(actions) == 1 else Batch(f"draw the first box of {class_name}", tuple(actions)))


def toggle_negative(live: LiveStudy, user: str, class_name: str, at: Patch) -> None:
    """Flag what is suggested at a place as not of the class; or, if it is flagged, take that back.

    Raises
    ------
    CurationError
        If there is a prototype at the place, or no such class.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    roi_class = curation.roi_class(class_name)
    if curation.patch_shape is None:
        raise CurationError("expected a suggestion, got none: draw a box around something first")
    if Places(roi_class.prototypes, curation.patch_shape).near(at):
        raise CurationError(f"expected a suggestion, got a prototype of {class_name}: remove it in the list of classes")
    flagged = Places(roi_class.negatives, curation.patch_shape).near(at)
    live.act(user, UnflagNegatives(class_name, (flagged.id,)) if flagged else FlagNegatives(class_name, (at,)))


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
    accept = AcceptClass(class_name, tuple(suggested_patches(curation, class_name, peaks)))
    live.act(user, Batch(str(accept), (*actions, accept)) if actions else accept)


def peaks_above(curation: Curation, suggestions: Suggestions, class_name: str) -> Sequence[Peak]:
    """List the peaks of a class that reach its similarity threshold."""
    least, shape = curation.roi_class(class_name).similarity_threshold, curation.patch_shape
    if least is None or shape is None:
        return []
    found = suggestions.by_class[class_name]
    n = int((found.score >= least).sum())  # the best come first
    return [
        Peak(suggestions.images[found.image[row]], class_name, float(found.y[row]), float(found.x[row]), shape, score)
        for row, score in enumerate(found.score[:n].tolist())
    ]


def _inside(centre: float, side: float, length: int) -> float:
    """Move a centre so that its patch lies inside the image, if there is room for it."""
    if side > length:
        return centre
    return min(max(centre, (side - 1) / 2), length - (side + 1) / 2)
