"""Boxes are moved, resized, given to other classes and removed, each as one deed; what was said otherwise gives way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simsearch.app.components.marking import Marking
from simsearch.app.session.boxes import give_box_to_class, move_box, remove_box, resize_box
from simsearch.app.session.judging import DrawnBox, draw_prototype
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AcceptClass, AddPrototypes, ConfirmPatches, FlagNegatives
from simsearch.curation.state import Patch
from simsearch.errors import CurationError
from tests.app.drawing import drawn, say

if TYPE_CHECKING:
    from simsearch.app.context import PageContext
    from simsearch.app.session.live import LiveStudy
    from simsearch.curation.state import RoiClass

BOX, AWAY, BESIDE = Patch.at("a", 60.0, 60.0), Patch.at("a", 120.0, 90.0), Patch.at("a", 121.0, 91.0)


@pytest.fixture
def study(live: LiveStudy) -> LiveStudy:
    """Two classes, and a box of the first."""
    for name, color in (("cell", "#e69f00"), ("debris", "#56b4e9")):
        live.act("ada", AddClass(name, color))
    live.act("ada", AddPrototypes("cell", (BOX,), (24.0, 20.0)))
    return live


def said(live: LiveStudy, name: str = "cell") -> RoiClass:
    return live.snapshot.curation.roi_class(name)


def n_entries(live: LiveStudy) -> int:
    return len(live.snapshot.history.entries)


def test_a_box_moves_and_takes_the_place(study: LiveStudy) -> None:
    study.act("ada", FlagNegatives("cell", (AWAY,)))
    study.act("ada", ConfirmPatches("debris", (BESIDE,)))
    before = n_entries(study)
    move_box(study, "ada", BOX.id, AWAY.y, AWAY.x)
    assert said(study).prototypes == (BOX.moved(AWAY.y, AWAY.x),)
    assert (said(study).negatives, said(study, "debris").confirmed) == ((), ())
    move_box(study, "ada", BOX.id, AWAY.y, AWAY.x)  # nothing to do
    assert n_entries(study) == before + 1
    move_box(study, "ada", BOX.id, 0, 1000)
    assert (said(study).prototypes[0].y, said(study).prototypes[0].x) == (11.5, 165.5)  # inside the image


def test_a_box_drawn_where_something_was_flagged_takes_that_back(study: LiveStudy) -> None:
    study.act("ada", FlagNegatives("cell", (AWAY,)))
    draw_prototype(study, "ada", "cell", DrawnBox("a", BESIDE.y, BESIDE.x, 30, 30))
    assert (len(said(study).prototypes), said(study).negatives) == (2, ())
    study.undo("ada")
    assert said(study).negatives == (AWAY,)


def test_all_boxes_of_a_class_get_the_size_of_one(study: LiveStudy) -> None:
    corner = Patch.at("b", 11.5, 9.5)
    study.act("ada", AddPrototypes("cell", (corner,), (24.0, 20.0)))
    study.act("ada", AcceptClass("cell", (AWAY,)))
    before = n_entries(study)
    resize_box(study, "ada", BOX.id, (66.0, 60.0), (36.4, 20.0))
    cell = said(study)
    assert (cell.patch_shape, cell.prototypes) == ((36.0, 20.0), (BOX.moved(66, 60), corner.moved(17.5, 9.5)))
    assert (cell.is_accepted, n_entries(study)) == (False, before + 1)
    study.undo("ada")
    assert (said(study).patch_shape, said(study).is_accepted) == ((24.0, 20.0), True)
    resize_box(study, "ada", BOX.id, (66.0, 60.0), (24.0, 20.0))  # no other size: it is only moved
    assert said(study).is_accepted
    with pytest.raises(CurationError, match="at least 8 x 8 px, got 4 x 20 px"):
        resize_box(study, "ada", BOX.id, (60.0, 60.0), (4.0, 20.0))


def test_a_box_goes_to_another_class_and_back(study: LiveStudy) -> None:
    study.act("ada", FlagNegatives("debris", (BOX.moved(61, 60),)))
    before = n_entries(study)
    give_box_to_class(study, "ada", BOX.id, "debris")
    assert (said(study).prototypes, said(study, "debris").prototypes) == ((), (BOX,))
    assert (said(study).patch_shape, said(study, "debris").patch_shape) == (None, (24.0, 20.0))
    assert (said(study, "debris").negatives, n_entries(study)) == ((), before + 1)
    give_box_to_class(study, "ada", BOX.id, "debris")  # it is already
    assert n_entries(study) == before + 1
    study.act("bob", AddPrototypes("cell", (Patch.at("a", 90.0, 30.0),), (60.0, 60.0)))
    move_box(study, "ada", BOX.id, 12, 12)
    give_box_to_class(study, "ada", BOX.id, "cell")
    assert said(study).prototypes[1] == BOX.moved(29.5, 29.5)  # the boxes of that class are larger


def test_a_box_that_another_has_removed_is_said_to_be(study: LiveStudy) -> None:
    remove_box(study, "bob", BOX.id)
    assert said(study).prototypes == ()
    for deed in (
        lambda: remove_box(study, "ada", BOX.id),
        lambda: move_box(study, "ada", BOX.id, 1, 1),
        lambda: give_box_to_class(study, "ada", BOX.id, "debris"),
    ):
        with pytest.raises(CurationError, match="got one that was removed"):
            deed()


def test_messages_of_the_browser_become_deeds(context: PageContext, study: LiveStudy) -> None:
    marking = Marking(context, lambda: "cell")
    marking.update(study.snapshot)
    assert drawn(marking.root, "sizes") == {"background": [24.0, 20.0], "is_one": False}
    assert drawn(marking.root, "classes")[1] == {
        "name": "debris", "color": "#56b4e9", "shape": None, "n_boxes": 0, "n_patches": 0, "is_accepted": False,
    }  # fmt: skip
    say(marking.root, "move", id=BOX.id, y=62, x=63)
    say(marking.root, "resize", id=BOX.id, y=62, x=63, height=30, width=28)
    assert (said(study).prototypes, said(study).patch_shape) == ((BOX.moved(62, 63),), (30.0, 28.0))
    say(marking.root, "draw", tool="box", image=1, y=60, x=60, height=30, width=28)
    say(marking.root, "draw", tool="no", image=1, y=120, x=120)
    marking.draw("b", 100, 40, 9, 9)
    say(marking.root, "tool", name="background")
    marking.draw("c", 20, 150, 9, 9)
    curation = study.snapshot.curation
    assert [(each.image, each.y) for each in curation.roi_class("cell").prototypes[1:]] == [("b", 60), ("b", 100)]
    assert [each.image for each in (*curation.roi_class("cell").negatives, *curation.background)] == ["b", "c"]
    say(marking.root, "toggle", name="cell", image=1, y=121, x=120)
    assert said(study).negatives == ()
    say(marking.root, "give", id=BOX.id, to="debris")
    say(marking.root, "remove", id=BOX.id)
    assert said(study, "debris").prototypes == ()
