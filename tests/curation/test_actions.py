"""What each action does to a state, and when it does not apply."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest

from simsearch.curation.actions import (
    AddClass,
    Batch,
    ChooseChannels,
    ChooseImages,
    RecolorClass,
    RemoveClass,
    RenameClass,
    SetSimilarityThreshold,
    apply,
)
from simsearch.curation.marks import (
    AcceptBackground,
    AcceptClass,
    AddPrototypes,
    ConfirmPatches,
    FlagNegatives,
    FlagNotBackground,
    MovePrototype,
    ReleasePositives,
    RemovePrototype,
    ResizePatches,
    UnflagNegatives,
    UnflagNotBackground,
    WithdrawConfirmed,
)
from simsearch.curation.older import AddAndReopen, FlagAndReopen, MoveAndReopen, RemoveAndReopen, UnflagAndReopen
from simsearch.curation.state import Curation, Patch, Places, clean_objects
from simsearch.errors import CurationError, SimSearchError

if TYPE_CHECKING:
    from simsearch.curation.actions import Action

SHAPE = (48.0, 40.0)
FIRST, SECOND, THIRD = Patch.at("a", 50, 50), Patch.at("a", 100, 200), Patch.at("P/A/01/0", 40, 40)


def after(curation: Curation, *actions: Action) -> Curation:
    return reduce(apply, actions, curation)


@pytest.fixture
def drawn(empty: Curation) -> Curation:
    """Two classes, the first with a prototype."""
    return after(empty, AddClass("RBC", "#e69f00"), AddClass("WBC", "#56b4e9"), AddPrototypes("RBC", (FIRST,), SHAPE))


SMALL = (20.0, 52.0)


def test_the_first_prototype_fixes_patch_shape_and_stride(empty: Curation, drawn: Curation) -> None:
    assert (empty.patch_shape, empty.stride) == (None, None)
    assert drawn.patch_shape == SHAPE
    assert drawn.stride == pytest.approx(4.0)
    with pytest.raises(CurationError, match="expected a patch of 48 x 40 px, as the first prototype fixed for RBC"):
        apply(drawn, AddPrototypes("RBC", (SECOND,), (48.0, 41.0)))


def test_each_class_has_a_patch_of_its_own(drawn: Curation) -> None:
    rbc, wbc = drawn.classes
    assert (rbc.patch_shape, wbc.patch_shape, drawn.shape_of(wbc)) == (SHAPE, None, SHAPE)
    both = apply(drawn, AddPrototypes("WBC", (SECOND,), SMALL))
    assert [each.patch_shape for each in both.classes] == [SHAPE, SMALL]
    assert both.patch_shape == (48.0, 52.0)  # of the background: both lie in it
    moved = after(both, ConfirmPatches("WBC", (THIRD,)), RemovePrototype("WBC", SECOND.id))
    assert moved.roi_class("WBC").patch_shape == SMALL
    freed = apply(moved, WithdrawConfirmed("WBC", (THIRD.id,)))
    assert (freed.roi_class("WBC").patch_shape, freed.patch_shape) == (None, SHAPE)
    assert apply(freed, AddPrototypes("WBC", (SECOND,), (70.0, 70.0))).patch_shape == (70.0, 70.0)
    assert apply(both, RemoveClass("RBC")).patch_shape == SMALL
    alone = after(both, AcceptBackground((THIRD,)), RemoveClass("RBC"), RemoveClass("WBC"))
    assert alone.patch_shape == SMALL  # background has to have one


def test_one_patch_serves_all_where_a_study_says_so(empty: Curation) -> None:
    one = replace(empty, has_one_patch=True)
    one = after(one, AddClass("RBC", "#e69f00"), AddClass("WBC", "#56b4e9"), AddPrototypes("RBC", (FIRST,), SHAPE))
    assert (one.patch_shape, [each.patch_shape for each in one.classes]) == (SHAPE, [None, None])
    assert [one.shape_of(each) for each in one.classes] == [SHAPE, SHAPE]
    for class_name in ("RBC", "WBC"):
        with pytest.raises(CurationError, match="expected a patch of 48 x 40 px, as the first prototype fixed for all"):
            apply(one, AddPrototypes(class_name, (SECOND,), (48.0, 41.0)))
    flagged = after(one, FlagNegatives("WBC", (SECOND,)), RemoveClass("RBC"))
    assert flagged.patch_shape == SHAPE
    assert apply(flagged, RemoveClass("WBC")).patch_shape is None


def test_places_of_two_classes_are_one_as_near_as_the_smaller_patch_says(drawn: Curation) -> None:
    beside, on = Patch.at("a", FIRST.y + 6, FIRST.x), Patch.at("a", FIRST.y + 4, FIRST.x)
    both = apply(drawn, AddPrototypes("WBC", (SECOND,), SMALL))
    assert apply(both, ConfirmPatches("WBC", (beside,))).roi_class("WBC").confirmed == (beside,)
    with pytest.raises(CurationError, match="one of class RBC"):
        apply(both, ConfirmPatches("WBC", (on,)))
    with pytest.raises(CurationError, match="an object of a class"):  # as near as the background's own patch says
        apply(both, AcceptBackground((beside,)))
    accepted = apply(both, AcceptClass("RBC", (THIRD,)))
    near, at = (Patch.at(THIRD.image, THIRD.y + far, THIRD.x) for far in (6, 4))
    assert apply(accepted, ConfirmPatches("WBC", (near,))).roi_class("RBC").positives == (THIRD,)
    assert apply(accepted, ConfirmPatches("WBC", (at,))).roi_class("RBC").positives == ()


def test_with_the_last_patch_goes_the_shape(drawn: Curation) -> None:
    assert apply(drawn, RemovePrototype("RBC", FIRST.id)).patch_shape is None
    assert apply(drawn, RemoveClass("RBC")).patch_shape is None
    flagged = apply(drawn, FlagNegatives("WBC", (SECOND,)))
    kept = apply(flagged, RemoveClass("RBC"))
    assert kept.patch_shape == SHAPE
    assert apply(kept, UnflagNegatives("WBC", (SECOND.id,))).patch_shape is None
    doubted = after(drawn, FlagNotBackground((SECOND,)), RemoveClass("RBC"))
    assert doubted.patch_shape == SHAPE
    assert apply(doubted, UnflagNotBackground((SECOND.id,))).patch_shape is None


def test_classes_keep_their_order_and_their_patches(drawn: Curation) -> None:
    changed = after(drawn, RenameClass("RBC", "red"), RecolorClass("red", "#000000"), AddClass("RBC", "#ffffff"))

    assert [each.name for each in changed.classes] == ["red", "WBC", "RBC"]
    assert changed.roi_class("red").prototypes == (FIRST,)
    assert changed.roi_class("red").color == "#000000"
    assert [each.name for each in apply(changed, RemoveClass("WBC")).classes] == ["red", "RBC"]


def test_prototypes_move_and_keep_their_id(drawn: Curation) -> None:
    moved = apply(drawn, MovePrototype("RBC", FIRST.id, 60.12345, 70))
    assert moved.roi_class("RBC").prototypes == (replace(FIRST, y=60.123, x=70),)


def test_what_was_accepted_is_reopened_by_a_change(drawn: Curation) -> None:
    accepted = apply(drawn, AcceptClass("RBC", (SECOND,)))
    assert accepted.roi_class("RBC").is_accepted
    changes: list[Action] = [
        AddAndReopen("RBC", (THIRD,), SHAPE),
        MoveAndReopen("RBC", FIRST.id, 60, 60),
        RemoveAndReopen("RBC", FIRST.id),
        ResizePatches("RBC", (40.0, 40.0)),
        SetSimilarityThreshold("RBC", 0.5),
        FlagAndReopen("RBC", (THIRD,)),
    ]
    for action in changes:
        reopened = apply(accepted, action).roi_class("RBC")
        assert not reopened.is_accepted
        assert reopened.positives == (SECOND,)
    assert apply(accepted, FlagAndReopen("WBC", (THIRD,))).roi_class("RBC").is_accepted
    flagged = apply(drawn, FlagNegatives("RBC", (THIRD,)))
    unflagged = after(flagged, AcceptClass("RBC", (SECOND,)), UnflagAndReopen("RBC", (THIRD.id,))).roi_class("RBC")
    assert not unflagged.is_accepted
    assert unflagged.positives == (SECOND,)


def test_one_click_does_not_take_back_what_was_accepted_for_a_class(drawn: Curation) -> None:
    accepted = apply(drawn, AcceptClass("RBC", (SECOND, THIRD)))
    flagged = apply(accepted, FlagNegatives("RBC", (THIRD,)))
    assert flagged.roi_class("RBC").is_accepted
    assert flagged.roi_class("RBC").positives == (SECOND,)
    assert apply(flagged, UnflagNegatives("RBC", (THIRD.id,))).roi_class("RBC").is_accepted


def test_boxes_leave_accepted_what_was_and_are_counted(drawn: Curation) -> None:
    accepted = apply(drawn, AcceptClass("RBC", (SECOND,)))
    changes: list[Action] = [
        AddPrototypes("RBC", (THIRD,), SHAPE),
        MovePrototype("RBC", FIRST.id, 60, 60),
        RemovePrototype("RBC", FIRST.id),
    ]
    for n, action in enumerate(changes, start=1):
        accepted = apply(accepted, action)
        rbc = accepted.roi_class("RBC")
        assert (rbc.is_accepted, rbc.n_changes, rbc.positives) == (True, n, (SECOND,))
    assert apply(accepted, AcceptClass("RBC", (SECOND,))).roi_class("RBC").n_changes == 0
    assert apply(accepted, SetSimilarityThreshold("RBC", 0.5)).roi_class("RBC").n_changes == 0
    emptied = after(drawn, AcceptClass("RBC", ()), RemovePrototype("RBC", FIRST.id))
    assert not emptied.roi_class("RBC").is_accepted  # there is nothing of it any more


def test_all_boxes_of_a_class_are_resized_at_once(drawn: Curation) -> None:
    corner = Patch.at("a", 23.5, 19.5)
    near, far = Patch.at("a", SECOND.y + 14, SECOND.x), Patch.at("a", SECOND.y + 30, SECOND.x)
    before = after(
        drawn,
        AddPrototypes("RBC", (corner,), SHAPE),
        AcceptClass("RBC", (SECOND,)),
        FlagNegatives("RBC", (near,)),
        AcceptBackground((Patch.at("a", FIRST.y + 14, FIRST.x), far)),
    )
    resized = apply(before, ResizePatches("RBC", (60.0, 60.0)))
    rbc = resized.roi_class("RBC")
    assert (rbc.patch_shape, resized.patch_shape) == ((60.0, 60.0), (60.0, 60.0))
    assert rbc.prototypes == (FIRST, corner.moved(29.5, 29.5))  # inside the image again
    assert (rbc.positives, resized.background) == ((), (far,))  # what was said one by one is stronger
    with pytest.raises(CurationError, match="a negative of the class: choose a smaller size"):
        apply(
            apply(drawn, FlagNegatives("RBC", (Patch.at("a", FIRST.y + 14, FIRST.x),))), ResizePatches("RBC", (60, 60))
        )


def test_what_is_confirmed_is_of_one_class(drawn: Curation) -> None:
    accepted = after(drawn, AcceptClass("RBC", (SECOND, THIRD)), AcceptBackground((Patch.at("a", 150, 150),)))
    beside, elsewhere = Patch.at("a", SECOND.y + 6, SECOND.x - 6), Patch.at("a", 149, 149)
    confirmed = apply(accepted, ConfirmPatches("WBC", (beside, elsewhere)))

    assert confirmed.roi_class("WBC").confirmed == (beside, elsewhere)
    assert confirmed.roi_class("RBC").positives == (THIRD,)
    assert confirmed.roi_class("RBC").is_accepted
    assert confirmed.background == ()
    assert clean_objects(confirmed.roi_class("WBC"), SHAPE) == [beside, elsewhere]
    assert set(confirmed.patches()) >= {beside, elsewhere}
    for action, message in (
        (ConfirmPatches("WBC", (beside,)), "marked so already"),
        (ConfirmPatches("RBC", (SECOND,)), "one of class WBC"),
        (FlagNegatives("WBC", (SECOND,)), "one that was confirmed"),
        (AcceptBackground((SECOND,)), "an object of a class"),
        (WithdrawConfirmed("WBC", (THIRD.id,)), "expected one of the 2 confirmed regions"),
    ):
        with pytest.raises(CurationError, match=message):
            apply(confirmed, action)
    withdrawn = apply(confirmed, WithdrawConfirmed("WBC", (beside.id,)))
    assert withdrawn.roi_class("WBC").confirmed == (elsewhere,)
    apply(withdrawn, ConfirmPatches("RBC", (SECOND,)))


def test_positives_are_released_to_another_class(drawn: Curation) -> None:
    accepted = apply(drawn, AcceptClass("RBC", (SECOND, THIRD)))
    released = apply(accepted, ReleasePositives("RBC", (SECOND.id,))).roi_class("RBC")
    assert released.positives == (THIRD,)
    assert released.is_accepted


def test_later_marks_take_the_place_of_what_was_accepted_in_bulk(drawn: Curation) -> None:
    beside = Patch.at("a", SECOND.y + 6, SECOND.x - 6)
    accepted = after(drawn, AcceptClass("RBC", (SECOND, THIRD)), AcceptBackground((Patch.at("a", 150, 150),)))

    assert apply(accepted, FlagNegatives("RBC", (beside,))).roi_class("RBC").positives == (THIRD,)
    assert apply(accepted, FlagNegatives("WBC", (beside,))).roi_class("RBC").positives == (SECOND, THIRD)
    for action in (
        AddPrototypes("WBC", (Patch.at("a", 149, 149),), SHAPE),
        MovePrototype("RBC", FIRST.id, 149, 149),
        FlagNotBackground((Patch.at("a", 149, 149),)),
        AcceptClass("WBC", (Patch.at("a", 149, 149),)),
    ):
        assert apply(accepted, action).background == ()


def test_background_is_accepted_flagged_and_unflagged(drawn: Curation) -> None:
    accepted = apply(drawn, AcceptBackground((SECOND, THIRD)))
    flagged = apply(accepted, FlagNotBackground((SECOND,)))

    assert accepted.is_background_accepted
    assert not flagged.is_background_accepted
    assert (flagged.background, flagged.not_background) == ((THIRD,), (SECOND,))
    with pytest.raises(CurationError, match="flagged as not background: leave it out"):
        apply(flagged, AcceptBackground((SECOND,)))
    assert apply(flagged, UnflagNotBackground((SECOND.id,))).not_background == ()


def test_images_and_channels_are_chosen(empty: Curation) -> None:
    chosen = after(empty, ChooseImages(("P/A/01/0", "a")), ChooseChannels(("GFP",)))
    assert (chosen.displayed, chosen.channels) == (("P/A/01/0", "a"), ("GFP",))


def test_a_batch_applies_as_one(empty: Curation, drawn: Curation) -> None:
    batch = Batch("make RBC", (AddClass("RBC", "#e69f00"), AddPrototypes("RBC", (FIRST,), SHAPE)))
    assert after(empty, batch, AddClass("WBC", "#56b4e9")) == drawn
    with pytest.raises(CurationError, match="'RBC', which there is"):
        apply(empty, Batch("twice", (batch, batch)))


BESIDE_FIRST = Patch.at("a", FIRST.y, FIRST.x + 9)
REFUSED: dict[str, tuple[Action, str]] = {
    "class that is there": (AddClass("RBC", "#000000"), "'RBC', which there is"),
    "no name": (AddClass("", "#000000"), "name of a class, got ''"),
    "background": (AddClass("Background", "#000000"), "'background' is taken"),
    "line feed": (RenameClass("RBC", "a\nb"), "printable"),
    "colour": (AddClass("PLT", "red"), "such as #e69f00, got 'red'"),
    "unknown class": (RemoveClass("PLT"), r"one of the classes \(RBC, WBC\), got 'PLT'"),
    "renamed to another": (RenameClass("RBC", "WBC"), "'WBC', which there is"),
    "threshold": (SetSimilarityThreshold("RBC", 1.5), "from -1 to 1, got 1.5"),
    "threshold nan": (SetSimilarityThreshold("RBC", float("nan")), "got nan"),
    "nothing": (AddPrototypes("RBC", (), SHAPE), "at least one patch"),
    "same place": (AddPrototypes("RBC", (Patch.at("a", 50, 50),), SHAPE), "marked so already"),
    "same id": (AddPrototypes("RBC", (replace(FIRST, y=80),), SHAPE), "marked so already"),
    "twice in one": (FlagNegatives("RBC", (SECOND, SECOND)), "marked so already"),
    "unknown image": (AddPrototypes("RBC", (Patch.at("b", 50, 50),), SHAPE), "name of one of the images"),
    "outside": (AddPrototypes("RBC", (Patch.at("a", 10, 50),), SHAPE), "inside the 200 x 300 px"),
    "resized without a box": (ResizePatches("WBC", (20, 20)), "which its first prototype fixed, got no prototype"),
    "resized to nothing": (ResizePatches("RBC", (0, 20)), "height and width above 0"),
    "resized beyond the image": (ResizePatches("RBC", (400, 400)), "inside the 200 x 300 px"),
    "moved outside": (MovePrototype("RBC", FIRST.id, 10, 50), "inside the 200 x 300 px"),
    "centre outside": (FlagNegatives("RBC", (Patch.at("a", 50, 300),)), "centre inside the 200 x 300 px"),
    "nan": (FlagNegatives("RBC", (Patch.at("a", float("nan"), 30),)), "centre inside the 200 x 300 px"),
    "no size": (AddPrototypes("RBC", (SECOND,), (48.0, 0.0)), "height and width above 0"),
    "no such prototype": (MovePrototype("RBC", "0", 60, 60), "one of the 1 prototypes, got '0'"),
    "no such negative": (UnflagNegatives("RBC", ("0",)), "one of the 0 negatives"),
    "nothing to unflag": (UnflagNotBackground(()), "to remove, each once"),
    "prototype as negative": (FlagNegatives("RBC", (BESIDE_FIRST,)), "a prototype of the class"),
    "prototype as background": (AcceptBackground((BESIDE_FIRST,)), "an object of a class"),
    "nothing to accept": (AcceptClass("WBC", ()), "draw one before you accept"),
    "no image": (ChooseImages(()), "expected images out of a, P/A/01/0, got none"),
    "unknown channel": (ChooseChannels(("RFP",)), "channels out of DNA, GFP, got 'RFP'"),
    "channel twice": (ChooseChannels(("DNA", "DNA")), "one of them twice"),
}


@pytest.mark.parametrize(("action", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_apply_says_why(drawn: Curation, action: Action, message: str) -> None:
    with pytest.raises(CurationError, match=message) as caught:
        apply(drawn, action)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert isinstance(caught.value, SimSearchError | ValueError)


def test_a_negative_is_no_prototype_and_no_positive_until_unflagged(drawn: Curation) -> None:
    flagged = apply(drawn, FlagNegatives("RBC", (SECOND,)))
    again = Patch.at("a", SECOND.y + 3, SECOND.x)
    for action in (AddPrototypes("RBC", (again,), SHAPE), AcceptClass("RBC", (again,))):
        with pytest.raises(CurationError, match="a negative of the class"):
            apply(flagged, action)
        apply(apply(flagged, UnflagNegatives("RBC", (SECOND.id,))), action)


def test_marks_need_a_shape(empty: Curation) -> None:
    named = apply(empty, AddClass("RBC", "#e69f00"))
    marks: list[Any] = [FlagNegatives("RBC", (FIRST,)), AcceptClass("RBC", (FIRST,)), FlagNotBackground((FIRST,))]
    for action in (*marks, AcceptBackground((FIRST,))):
        with pytest.raises(CurationError, match="draw one first"):
            apply(named, action)


def test_places_are_found_across_cells() -> None:
    places = Places([Patch.at("a", 0, 0), Patch.at("b", 30, 30)], (40, 40))

    assert places.near(Patch.at("a", -0.4, -9.9)) is not None
    assert places.near(Patch.at("a", 0, 10)) is None
    assert places.near(Patch.at("a", 30, 30)) is None
    assert places.near(Patch.at("b", 39.9, 30)) is not None
