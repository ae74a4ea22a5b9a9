"""Boxes become prototypes, clicks become flags, and the active class stays active."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bokeh.events import SelectionGeometry

from simsearch.app.components.class_list import ClassList
from simsearch.app.components.gallery import Gallery
from simsearch.app.pages.regions import regions_page
from simsearch.app.session.judging import (
    PALETTE,
    DrawnBox,
    accept_class,
    confirm,
    draw_prototype,
    flag,
    move_to_class,
    new_class,
    peaks_above,
    toggle_negative,
)
from simsearch.app.session.snapshot import Suggestions
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.curation.actions import AddClass, RemoveClass, RenameClass, SetSimilarityThreshold
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.errors import CurationError
from tests.app.drawing import drawn, say

if TYPE_CHECKING:
    from simsearch.app.context import PageContext
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot

CELL = AddClass("cell", "#e69f00")
BOX = AddPrototypes("cell", (Patch.at("a", 60.0, 60.0),), (48.0, 40.0))
PEAKS = RankedPeaks(
    np.array([0, 1, 0], np.int32),
    np.array([60.0, 100.5, 120.0]),
    np.array([61.0, 90.25, 30.0]),
    np.array([0.9, 0.7, 0.3], np.float32),
)


def _with_peaks(live: LiveStudy, version: int = 1) -> Snapshot:
    found = Suggestions(("a", "b"), {"cell": PEAKS}, {"cell": 0.5}, state="ready", version=version)
    return replace(live.snapshot, suggestions=found)


class Stopped:
    """A study whose suggestions are what the test says: what is computed meanwhile comes to nothing."""

    def __init__(self, live: LiveStudy, version: int = 1) -> None:
        self._live, self._version = live, version
        self.act = live.act

    @property
    def snapshot(self) -> Snapshot:
        """The curation as it is, with the test's suggestions."""
        return _with_peaks(self._live, self._version)


def _prototypes(live: LiveStudy, name: str) -> list[tuple[str, float, float]]:
    return [(each.image, each.y, each.x) for each in live.snapshot.curation.roi_class(name).prototypes]


def test_the_first_box_begins_a_class_and_fixes_the_shape(live: LiveStudy) -> None:
    draw_prototype(live, "ada", None, DrawnBox("a", 60.2, 70.4, 47.6, 52.1))
    curation = live.snapshot.curation
    assert (curation.patch_shape, _prototypes(live, "class 1")) == ((48.0, 52.0), [("a", 60.2, 70.4)])
    assert curation.classes[0].color == PALETTE[0]
    live.undo("ada")  # one deed, one undo
    assert (live.snapshot.curation.classes, live.snapshot.curation.patch_shape) == ((), None)


def test_of_later_boxes_the_centre_counts_and_stays_inside(live: LiveStudy) -> None:
    live.act("ada", CELL)
    draw_prototype(live, "ada", "cell", DrawnBox("a", 60, 60, 48, 40))
    draw_prototype(live, "ada", "cell", DrawnBox("b", 5, 174, 10, 4))
    assert _prototypes(live, "cell")[1] == ("b", 23.5, 155.5)
    assert live.snapshot.curation.patch_shape == (48.0, 40.0)


def test_a_box_for_a_class_that_was_removed_meanwhile_begins_another(live: LiveStudy) -> None:
    live.act("ada", CELL)
    live.act("bob", RemoveClass("cell"))
    draw_prototype(live, "ada", "cell", DrawnBox("a", 60, 60, 48, 48))
    assert _prototypes(live, "class 1") == [("a", 60.0, 60.0)]


def test_a_slip_of_the_hand_is_no_first_box(live: LiveStudy) -> None:
    with pytest.raises(CurationError, match="expected a box of at least 8 x 8 px, got 5 x 48 px"):
        draw_prototype(live, "ada", None, DrawnBox("a", 60, 60, 5, 48))
    assert live.snapshot.history.entries == ()


def test_a_box_larger_than_the_image_is_refused_in_words(live: LiveStudy) -> None:
    with pytest.raises(CurationError, match="expected"):
        draw_prototype(live, "ada", None, DrawnBox("a", 88, 88, 400, 400))


def test_new_classes_differ_in_name_and_colour(live: LiveStudy) -> None:
    for _ in range(len(PALETTE) + 2):
        live.act("ada", new_class(live.snapshot.curation))
    classes = live.snapshot.curation.classes
    assert len({each.name for each in classes}) == len(classes)
    assert [each.color for each in classes[: len(PALETTE)]] == list(PALETTE)
    live.act("ada", RemoveClass("class 2"))
    assert new_class(live.snapshot.curation).class_name == "class 2"


def test_a_click_flags_and_another_takes_it_back(live: LiveStudy) -> None:
    live.act("ada", CELL)
    live.act("ada", BOX)
    toggle_negative(live, "ada", "cell", Patch.at("b", 100, 90))
    assert len(live.snapshot.curation.roi_class("cell").negatives) == 1
    toggle_negative(live, "bob", "cell", Patch.at("b", 101, 91))
    assert live.snapshot.curation.roi_class("cell").negatives == ()


def test_a_prototype_is_not_flagged(live: LiveStudy) -> None:
    live.act("ada", CELL)
    live.act("ada", BOX)
    with pytest.raises(CurationError, match="got a prototype of cell: remove it"):
        toggle_negative(live, "ada", "cell", Patch.at("a", 61, 62))


def test_a_second_look_in_an_accepted_class_confirms(live: LiveStudy) -> None:
    live.act("ada", CELL)
    live.act("ada", BOX)
    accept_class(Stopped(live), "ada", "cell")  # type: ignore[arg-type]  # all that it uses
    for n_positives, n_confirmed in ((1, 0), (1, 1)):
        toggle_negative(live, "ada", "cell", Patch.at("b", 100.5, 90.25))
        cell = live.snapshot.curation.roi_class("cell")
        assert (cell.is_accepted, len(cell.positives), len(cell.confirmed)) == (True, n_positives, n_confirmed)


def test_this_is_another_class_is_one_deed(live: LiveStudy) -> None:
    live.act("ada", CELL)
    live.act("ada", BOX)
    live.act("ada", AddClass("other", "#56b4e9"))
    places = [Patch.at("b", 100, 90), Patch.at("b", 30, 30)]
    confirm(live, "ada", "cell", places[:1])
    move_to_class(live, "ada", "cell", "other", places)
    move_to_class(live, "ada", "cell", "other", places[:1])  # said already
    cell, other = (live.snapshot.curation.roi_class(name) for name in ("cell", "other"))
    assert (cell.confirmed, cell.negatives, other.confirmed) == ((), tuple(places), tuple(places))
    move_to_class(live, "ada", "other", "cell", places[:1])
    cell, other = (live.snapshot.curation.roi_class(name) for name in ("cell", "other"))
    assert (cell.confirmed, cell.negatives) == ((places[0],), (places[1],))
    assert (other.confirmed, other.negatives) == ((places[1],), (places[0],))
    live.undo("ada")
    live.undo("ada")
    assert live.snapshot.curation.roi_class("cell").confirmed == (places[0],)
    with pytest.raises(CurationError, match="got a prototype of cell"):
        move_to_class(live, "ada", "cell", "other", [Patch.at("a", 61, 61)])


def test_a_box_in_a_place_of_another_class_takes_it_from_there(live: LiveStudy) -> None:
    live.act("ada", CELL)
    live.act("ada", BOX)
    live.act("ada", AddClass("other", "#56b4e9"))
    place = Patch.at("b", 100, 90)
    confirm(live, "ada", "cell", [place])
    draw_prototype(live, "ada", "other", DrawnBox("b", 101, 91, 48, 48))
    cell, other = (live.snapshot.curation.roi_class(name) for name in ("cell", "other"))
    assert (cell.confirmed, len(other.prototypes)) == ((), 1)
    live.undo("ada")
    assert live.snapshot.curation.roi_class("cell").confirmed == (place,)


def test_several_are_flagged_at_once_and_none_twice(live: LiveStudy) -> None:
    live.act("ada", CELL)
    live.act("ada", BOX)
    places = [Patch.at("b", 100, 90), Patch.at("b", 30, 30)]
    confirm(live, "ada", "cell", places[:1])
    flag(live, "ada", "cell", places)
    flag(live, "ada", "cell", places)
    cell = live.snapshot.curation.roi_class("cell")
    assert (cell.negatives, cell.confirmed) == (tuple(places), ())
    live.undo("ada")
    assert live.snapshot.curation.roi_class("cell").confirmed == (places[0],)


def test_accepting_takes_what_reaches_the_threshold_and_is_not_flagged(live: LiveStudy) -> None:
    live.act("ada", CELL)
    live.act("ada", BOX)
    stopped = Stopped(live)
    accept_class(stopped, "ada", "cell")  # type: ignore[arg-type]  # all that it uses
    cell = live.snapshot.curation.roi_class("cell")
    assert (cell.is_accepted, cell.similarity_threshold) == (True, 0.5)
    assert [(each.image, each.y, each.x) for each in cell.positives] == [("a", 60.0, 61.0), ("b", 100.5, 90.25)]
    toggle_negative(live, "ada", "cell", Patch.at("b", 100, 90))
    live.act("ada", SetSimilarityThreshold("cell", 0.2))
    accept_class(stopped, "ada", "cell")  # type: ignore[arg-type]
    assert [each.y for each in live.snapshot.curation.roi_class("cell").positives] == [60.0, 120.0]


def test_nothing_is_accepted_before_there_are_suggestions(live: LiveStudy) -> None:
    live.act("ada", CELL)
    with pytest.raises(CurationError, match="expected suggestions, got none yet"):
        accept_class(live, "ada", "cell")


def test_peaks_above_are_those_that_the_browser_counts(live: LiveStudy) -> None:
    live.act("ada", CELL)
    live.act("ada", BOX)
    least = float(PEAKS.score[1])
    live.act("ada", SetSimilarityThreshold("cell", least))
    snapshot = _with_peaks(live)
    found = peaks_above(snapshot.curation, snapshot.suggestions, "cell")
    assert [peak.score for peak in found] == [float(score) for score in PEAKS.score[:2]]
    assert (found[1].image, found[1].patch_shape) == ("b", (48.0, 40.0))


def _classes(context: PageContext) -> tuple[ClassList, list[str | None]]:
    activated: list[str | None] = []
    classes = ClassList(context, lambda: activated.append(classes.active), lambda *place: None)
    context.live.subscribe(classes.update)
    classes.update(context.live.snapshot)
    return classes, activated


def test_classes_are_listed_with_their_prototypes(context: PageContext) -> None:
    classes, _ = _classes(context)
    assert drawn(classes.root, "active") is None
    context.act(CELL)
    assert drawn(classes.root, "prototypes") == {"crops": {"cell": None}, "of": {"cell": []}}
    context.act(BOX)
    assert drawn(classes.root, "classes")["list"] == [
        {
            "shape": [48.0, 40.0],
            "name": "cell",
            "color": "#e69f00",
            "n_prototypes": 1,
            "n_positives": 0,
            "n_confirmed": 0,
            "n_negatives": 0,
            "is_accepted": False,
            "n_changes": 0,
        }
    ]
    (patch,) = drawn(classes.root, "prototypes")["of"]["cell"]
    assert (patch["image"], patch["y"], patch["x"]) == (0, 60.0, 60.0)
    assert drawn(classes.root, "prototypes")["crops"]["cell"].startswith("/lab/crops/{I}/{Y}/{X}/48/40?")


def test_the_active_class_stays_active_over_changes(context: PageContext) -> None:
    classes, activated = _classes(context)
    for name in ("one", "two", "three"):
        context.act(AddClass(name, "#e69f00"))
    assert classes.active == "one"
    say(classes.root, "activate", name="two")
    assert (classes.active, activated) == ("two", ["two"])
    context.live.act("bob", RenameClass("two", "second"))
    assert classes.active == "second"
    context.live.act("bob", RemoveClass("second"))
    assert classes.active == "three"
    context.live.act("bob", RemoveClass("three"))
    assert classes.active == "one"
    context.live.act("bob", RemoveClass("one"))
    assert classes.active is None


def test_an_added_class_is_active(context: PageContext) -> None:
    classes, _ = _classes(context)
    context.act(CELL)
    say(classes.root, "add")
    assert (classes.active, drawn(classes.root, "active")) == ("class 1", "class 1")


def test_classes_are_named_coloured_and_removed(context: PageContext) -> None:
    classes, _ = _classes(context)
    context.act(CELL)
    context.act(BOX)
    say(classes.root, "rename", name="cell", new_name=" big cell ")
    say(classes.root, "rename", name="big cell", new_name="big cell")  # nothing to do
    say(classes.root, "recolor", name="big cell", color="#56b4e9")
    (patch,) = drawn(classes.root, "prototypes")["of"]["big cell"]
    say(classes.root, "remove_prototype", name="big cell", id=patch["id"])
    assert drawn(classes.root, "classes")["list"][0]["color"] == "#56b4e9"
    assert len(context.live.snapshot.history.entries) == 5
    say(classes.root, "remove", name="big cell")
    assert context.live.snapshot.curation.classes == ()


def test_the_gallery_shows_the_peaks_of_the_active_class(context: PageContext) -> None:
    context.act(CELL)
    context.act(BOX)
    gallery = Gallery(context, lambda *place: None)
    gallery.update(_with_peaks(context.live), "cell")
    assert {name: list(column) for name, column in gallery.peaks.data.items()} == {
        "image": [0, 1, 0], "y": [60.0, 100.5, 120.0], "x": [61.0, 90.25, 30.0], "score": list(PEAKS.score),
    }  # fmt: skip
    about = drawn(gallery.root, "about")
    assert (about["threshold"], about["suggested"], about["shape"], about["radius"]) == (None, 0.5, [48.0, 40.0], 10.0)
    asked = [(each["image"], each["y"]) for each in drawn(gallery.root, "questions")]
    assert asked == [(1, 100.5), (0, 120.0)]  # not the box itself; the nearest to the threshold first
    assert drawn(gallery.root, "progress") == {"state": "ready", "message": "", "note": ""}
    gallery.update(_with_peaks(context.live), None)
    assert (len(gallery.peaks.data["score"]), drawn(gallery.root, "about")) == (0, None)


def test_flags_and_thresholds_do_not_send_the_peaks_again(context: PageContext) -> None:
    context.act(CELL)
    context.act(BOX)
    gallery, sent = Gallery(context, lambda *place: None), []
    gallery.peaks.on_change("data", lambda attribute, old, new: sent.append(attribute))
    gallery.update(_with_peaks(context.live), "cell")
    say(gallery.root, "flag", name="cell", image=1, y=100.5, x=90.25)
    say(gallery.root, "threshold", name="cell", value=0.655)
    gallery.update(_with_peaks(context.live), "cell")
    assert len(sent) == 1
    assert drawn(gallery.root, "about")["threshold"] == 0.655
    assert [(each["image"], each["y"]) for each in drawn(gallery.root, "marks")["negatives"]] == [(1, 100.5)]
    gallery.update(replace(_with_peaks(context.live), suggestions=Suggestions(version=2)), "cell")
    assert (len(sent), len(gallery.peaks.data["score"])) == (2, 0)


def test_regions_are_said_to_be_of_classes_or_not_several_at_once(context: PageContext) -> None:
    for action in (CELL, BOX, AddClass("other", "#56b4e9")):
        context.act(action)
    gallery = Gallery(context, lambda *place: None)
    places = [{"image": 1, "y": 100.5, "x": 90.25}, {"image": 0, "y": 120, "x": 30}]
    say(gallery.root, "assign", name="cell", to="cell", places=places)
    gallery.update(_with_peaks(context.live), "cell")
    marks = drawn(gallery.root, "marks")
    assert [(each["image"], each["y"]) for each in marks["confirmed"]] == [(1, 100.5), (0, 120)]
    say(gallery.root, "refuse", name="cell", places=places[:1])
    say(gallery.root, "assign", name="cell", to="other", places=places[1:])
    gallery.update(_with_peaks(context.live), "cell")
    marks = drawn(gallery.root, "marks")
    assert ([each["image"] for each in marks["negatives"]], marks["confirmed"]) == ([1, 0], [])
    ((other, color, radius, patches),) = [each.values() for each in marks["others"]]
    assert radius == 10
    assert (other, color, [each["image"] for each in patches]) == ("other", "#56b4e9", [0])
    assert drawn(gallery.root, "classes")[1] == {"name": "other", "color": "#56b4e9"}
    context.live.undo("ada")
    context.live.undo("ada")
    assert len(context.live.snapshot.curation.roi_class("cell").confirmed) == 2  # a deed each


def test_a_suggestion_can_be_visited(context: PageContext) -> None:
    visited: list[tuple[str, float, float]] = []
    gallery = Gallery(context, lambda *place: visited.append(place))
    say(gallery.root, "visit", image=1, y=3.5, x=4.5)
    assert visited == [("b", 3.5, 4.5)]


def test_a_drag_on_the_page_draws_a_prototype(context: PageContext) -> None:
    page = regions_page(context)
    page.update(context.live.snapshot)
    figure = page.roots["viewer"]
    geometry = {"type": "rect", "x0": 40.0, "x1": 88.0, "y0": -100.0, "y1": -52.0}
    figure._trigger_event(SelectionGeometry(figure, geometry, final=True))
    page.update(context.live.snapshot)
    assert _prototypes(context.live, "class 1") == [("a", 75.5, 63.5)]
    assert drawn(page.roots["classes"], "active") == "class 1"  # type: ignore[arg-type]
