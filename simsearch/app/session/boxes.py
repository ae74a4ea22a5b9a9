"""What people do to boxes that they have drawn: move, resize, give to another class, remove; each is one undo.

As in `judging`, what holds when it is done decides. None is to be called in an event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.session.judging import act_together, check_large_enough, taken_back
from simsearch.core.named_regions import rectangle
from simsearch.curation.checks import common_shape, fixed_shape
from simsearch.curation.marks import AddPrototypes, MovePrototype, RemovePrototype, ResizePatches
from simsearch.curation.outlines import AddRegion
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from simsearch.app.session.judging import DrawnBox
    from simsearch.app.session.live import LiveStudy
    from simsearch.curation.actions import Action
    from simsearch.curation.state import Curation, Patch, RoiClass


def move_box(live: LiveStudy, user: str, box_id: str, y: float, x: float) -> None:
    """Move a box in its image, inwards where it has to; what was said otherwise of the place is taken back.

    Raises
    ------
    CurationError
        If it was removed, or another box of the class is there.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    roi_class, box = _find(curation, box_id)
    shape = common_shape(curation, roi_class)
    moved = box.moved(y, x).moved_inside(shape, curation.shapes[box.image])
    if moved == box:
        return
    actions: list[Action] = taken_back(curation, roi_class.name, shape, [moved])
    actions.append(MovePrototype(roi_class.name, box_id, moved.y, moved.x))
    act_together(live, user, f"move a box of {roi_class.name}", actions)


def resize_box(live: LiveStudy, user: str, box_id: str, at: tuple[float, float], shape: tuple[float, float]) -> None:
    """Give a box, and with it all boxes of its class, another size: patches of a class have one.

    Parameters
    ----------
    live : LiveStudy
        The study.
    user : str
        Who does it.
    box_id : str
        Of the box that is resized.
    at : (float, float)
        y and x of its centre from then on, moved inwards where the box would not lie in the image.
    shape : (float, float)
        Height and width, in whole pixels then.

    Raises
    ------
    CurationError
        If it was removed, the size is tiny, one patch serves all classes, or the opposite was said of what boxes would
        reach.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    roi_class, _ = _find(curation, box_id)
    whole = float(round(shape[0])), float(round(shape[1]))
    check_large_enough(whole)
    if whole == curation.shape_of(roi_class):
        move_box(live, user, box_id, *at)
        return
    resize: Action = ResizePatches(roi_class.name, whole)
    resized = resize.apply(curation)
    _, box = _find(resized, box_id)
    moved = box.moved(*at).moved_inside(whole, curation.shapes[box.image])
    actions = [resize]
    if moved != box:
        actions += taken_back(resized, roi_class.name, whole, [moved])
        actions.append(MovePrototype(roi_class.name, box_id, moved.y, moved.x))
    act_together(live, user, str(resize), actions)


def give_box_to_class(live: LiveStudy, user: str, box_id: str, class_name: str) -> None:
    """Say of a box that it is of another class. The first one of that class fixes the size of its patches.

    Raises
    ------
    CurationError
        If it was removed, or there is no such class.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    before, box = _find(curation, box_id)
    after = curation.roi_class(class_name)
    if before is after:
        return
    shape = fixed_shape(curation, after) or common_shape(curation, before)
    moved = box.moved_inside(shape, curation.shapes[box.image])
    actions: list[Action] = [RemovePrototype(before.name, box_id)]
    actions += taken_back(curation, class_name, shape, [moved])
    actions.append(AddPrototypes(class_name, (moved,), shape))
    act_together(live, user, f"move a box from {before.name} to {class_name}", actions)


def remove_box(live: LiveStudy, user: str, box_id: str) -> None:
    """Remove a box.

    Raises
    ------
    CurationError
        If it was removed already.
    StoreError
        If it cannot be saved.
    """
    roi_class, _ = _find(live.snapshot.curation, box_id)
    live.act(user, RemovePrototype(roi_class.name, box_id))


def outline(live: LiveStudy, user: str, box: DrawnBox) -> None:
    """Make a rectangle that was drawn a named region, with the first number that no region of the image has.

    Raises
    ------
    CurationError
        If it has nothing inside.
    StoreError
        If it cannot be saved.
    """
    taken = {each.name for each in live.snapshot.curation.regions if each.image == box.image}
    name = next(free for n in range(1, len(taken) + 2) if (free := f"region {n}") not in taken)
    half_height, half_width = box.height / 2, box.width / 2
    bounds = box.y - half_height, box.x - half_width, box.y + half_height, box.x + half_width
    top, left, bottom, right = (round(each + 0.5) - 0.5 for each in bounds)  # on edges of pixels
    live.act(user, AddRegion(box.image, name, rectangle(box.image, name, (top, left, bottom, right)).corners))


def _find(curation: Curation, box_id: str) -> tuple[RoiClass, Patch]:
    for each in curation.classes:
        for patch in each.prototypes:
            if patch.id == box_id:
                return each, patch
    raise CurationError("expected a box that is there, got one that was removed: look again")
