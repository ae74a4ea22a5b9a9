"""What may be background: nothing that looks like a class just below its threshold, and not only empty ground."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.peaks import Peak
from simsearch.core.ranked_peaks import RankedPeaks, ranked_peaks, ranked_tables
from simsearch.curation.actions import AddClass, apply
from simsearch.curation.background import (
    MOST_LOOKED_AT,
    Amount,
    BackgroundOffer,
    Similarities,
    amount_for,
    amount_in_images,
    known_similarities,
    offer_background,
)
from simsearch.curation.checks import check_drawn_background
from simsearch.curation.marks import (
    AcceptBackground,
    AcceptClass,
    AddBackground,
    AddPrototypes,
    ConfirmPatches,
    FlagNegatives,
    FlagNotBackground,
)
from simsearch.curation.state import Curation, Patch
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHAPE = (40.0, 40.0)
SIDE = 1000
Row = tuple[str, float, float, float]


@pytest.fixture
def drawn() -> Curation:
    """Draw a box of an abundant and of a rare class on one image, beside which there is another."""
    curation = Curation(dict.fromkeys("ab", (SIDE, SIDE)), ("DNA",), ("a", "b"), ("DNA",))
    for name, y in (("cell", 100), ("mitosis", 200)):
        curation = apply(curation, AddClass(name, "#e69f00"))
        curation = apply(curation, AddPrototypes(name, (Patch.at("a", y, 100),), SHAPE))
    return curation


def ranked(rows: Iterable[Row], class_name: str = "background") -> RankedPeaks:
    return ranked_peaks([Peak(image, class_name, y, x, SHAPE, score) for image, y, x, score in rows], ("a", "b"))


def known(
    highest: Iterable[Row] = (), lowest: Iterable[Row] = (), cells: Iterable[Row] = (), mitoses: Iterable[Row] = ()
) -> Similarities:
    """Tell what is known of two images; cells are suggested from 0.5 on, mitoses from 0.7."""
    own = {"cell": ranked(cells, "cell"), "mitosis": ranked(mitoses, "mitosis")}
    return Similarities(("a", "b"), (ranked(highest),), (ranked(lowest),), own, {"cell": 0.5, "mitosis": 0.7})


def places(patches: Iterable[Patch]) -> list[tuple[str, float, float]]:
    return [(patch.image, patch.y, patch.x) for patch in patches]


def asked(offer: BackgroundOffer) -> list[tuple[str, str, float]]:
    return [(each.class_name, each.patch.image, each.patch.x) for each in offer.asked]


def grid(n: int, image: str = "a", y: float = 500, step: float = 90) -> list[tuple[str, float, float]]:
    """Lay places apart from each other, below one another in rows of ten."""
    return [(image, y + step * (i // 10), 50 + step * (i % 10)) for i in range(n)]


def with_scores(at: Sequence[tuple[str, float, float]], scores: Iterable[float]) -> list[Row]:
    return [(*place, score) for place, score in zip(at, scores, strict=True)]


# How many


@pytest.mark.parametrize(
    ("n_cells", "n_images", "n"),
    [(3, 1, 10), (37, 1, 37), (900, 1, MOST_LOOKED_AT), (37, 2, 37), (3, 2, 20), (900, 20, 200)],
)
def test_there_is_as_much_background_as_the_largest_class_has(n_cells: int, n_images: int, n: int) -> None:
    images = tuple(f"{i}" for i in range(n_images))
    curation = Curation(dict.fromkeys(images, (SIDE, SIDE)), ("DNA",), images, ("DNA",))
    tables = [
        np.stack([np.arange(n_cells) * 1.0] * 2 + [np.full(n_cells, 0.6)], axis=1),
        *[np.empty((0, 3))] * (n_images - 1),
    ]
    none = ranked_tables([np.empty((0, 3))] * n_images)
    found = Similarities(
        images, (none,), (none,), {"cell": ranked_tables(tables), "rare": none}, {"cell": 0.5, "rare": 0.5}
    )
    assert amount_for(curation, found).n == n
    assert amount_for(curation, found, rounds=3).n == 3 * n
    higher = replace(found, least={"cell": 0.7, "rare": 0.5})
    assert amount_for(curation, higher).n == 10 * n_images


def test_what_is_accepted_counts_where_nothing_is_suggested(drawn: Curation) -> None:
    accepted = apply(drawn, AcceptClass("cell", tuple(Patch.at(*at) for at in grid(30))))
    assert amount_for(accepted, known()).n == 31


def test_a_number_for_each_image_is_kept_in_each(drawn: Curation) -> None:
    lows = [row for image in "ab" for row in with_scores(grid(20, image, 300), np.linspace(-0.3, 0.3, 20))]
    highs = [row for image in "ab" for row in with_scores(grid(20, image, 600), np.linspace(0.3, 0.4, 20))]
    offer = offer_background(drawn, known(highs, lows), amount_in_images(3, 2))
    assert Counter(patch.image for patch in offer.difficult) == {"a": 3, "b": 3}
    assert Counter(patch.image for patch in (*offer.easy, *offer.beside)) == {"a": 3, "b": 3}
    alone = offer_background(drawn, known([row for row in highs if row[0] == "a"]), amount_in_images(3, 2))
    assert Counter(patch.image for patch in alone.suggested) == {"a": 3}


# Which


def test_nothing_just_below_a_threshold_is_background_but_is_asked_about(drawn: Curation) -> None:
    x = {"below": 300, "above": 500, "far": 700, "flagged": 900}
    scores = {"below": 0.68, "above": 0.9, "far": 0.4, "flagged": 0.69}
    mitoses = [("b", 500, x[name], scores[name]) for name in x]
    highs = [("b", 505, at, 0.3) for at in x.values()]
    flagged = apply(drawn, FlagNegatives("mitosis", (Patch.at("b", 502, 900),)))
    offer = offer_background(flagged, known(highs, mitoses=mitoses), Amount(20, 20))
    assert places(offer.difficult) == [("b", 505, 700)]
    assert asked(offer) == [("mitosis", "b", 300)]
    # What was said of the place is the answer.
    at = Patch.at("b", 500, 300)
    for said in (ConfirmPatches("mitosis", (at,)), FlagNegatives("mitosis", (at,)), FlagNotBackground((at,))):
        after = offer_background(apply(flagged, said), known(highs, mitoses=mitoses), Amount(20, 20))
        assert asked(after) == []
        assert places(after.difficult) == [("b", 505, 700)]


def test_a_rare_class_is_asked_about_beside_an_abundant_one(drawn: Curation) -> None:
    cells = with_scores(grid(30, "b"), np.linspace(0.46, 0.49, 30))
    mitoses = [("b", 300, 300, 0.66), ("b", 300, 500, 0.69)]
    offer = offer_background(drawn, known(cells=cells, mitoses=mitoses), Amount(20, 20, n_asked=6))
    assert [each.class_name for each in offer.asked] == ["cell", "mitosis", "cell", "mitosis", "cell", "cell"]
    assert [x for name, _, x in asked(offer) if name == "mitosis"] == [500, 300]


def test_not_all_that_is_unlike_is_empty_ground(drawn: Curation) -> None:
    ground = grid(30, "b", 100)
    structure = grid(10, "b", 500)
    # On ground the similarity hardly changes, and is less than anywhere.
    lows = [*with_scores(ground, np.linspace(-0.5, -0.4, 30)), *with_scores(structure, np.linspace(-0.3, -0.2, 10))]
    highs = [(i, y + 15, x, score + 0.01 if score < -0.35 else 0.2) for i, y, x, score in lows]
    offer = offer_background(drawn, known(highs, lows), Amount(12, 12))
    assert len(offer.difficult) == 6
    n_structure = sum(patch.y >= 500 for patch in offer.easy)
    assert (len(offer.easy), n_structure) == (6, 3)


def test_surroundings_of_objects_are_there_too(drawn: Curation) -> None:
    cells = [("b", 500, 500, 0.8)]
    lows = [
        ("b", 500, 530, 0.1),
        ("b", 500, 512, 0.0),
        ("b", 500, 600, 0.2),
        ("b", 800, 800, -0.3),
        ("a", 130, 100, 0.3),
    ]
    offer = offer_background(drawn, known(lowest=lows, cells=cells), Amount(20, 20))
    assert sorted(places(offer.beside)) == [("a", 130, 100), ("b", 500, 530)]  # of what is drawn, and of what is found
    assert sorted(places(offer.easy)) == [("b", 500, 600), ("b", 800, 800)]
    assert ("b", 500, 512) not in places(offer.suggested)  # in the object's box


def test_patches_are_spread_where_there_is_room(drawn: Curation) -> None:
    near = [("b", 500.0, 500.0 + 45 * i) for i in range(4)]
    highs = [*with_scores(near, [0.4, 0.39, 0.38, 0.37]), ("b", 800, 100, 0.1)]
    few = offer_background(drawn, known(highs), Amount(6, 6))
    assert [x for _, _, x in places(few.difficult)] == [500, 590, 100]
    more = offer_background(drawn, known(highs), Amount(10, 10))
    assert [x for _, _, x in places(more.difficult)] == [500, 590, 100, 545, 635]


def test_more_begins_with_what_there_was(drawn: Curation) -> None:
    rng = np.random.default_rng(0)
    at = [row for image in "ab" for row in grid(50, image, 300, 90)]
    highs, lows = (with_scores(at, rng.uniform(low, low + 0.3, 100)) for low in (0.1, -0.4))
    lows = [(image, y + 45, x + 45, score) for image, y, x, score in lows]
    less, more = (offer_background(drawn, known(highs, lows), Amount(n, n)) for n in (20, 40))
    assert places(more.difficult)[: len(less.difficult)] == places(less.difficult)
    assert len(less.suggested) == 20
    assert len(more.suggested) == 40
    assert len(set(places(more.suggested))) == 40


def test_patches_are_whole_and_none_lies_in_another(drawn: Curation) -> None:
    highs = [("a", 10, 500, 0.4), ("a", 500, 985, 0.4), ("a", 500, 500, 0.3), ("a", 210, 110, 0.9)]
    offer = offer_background(drawn, known(highs, [("a", 510, 510, -0.2), ("a", 540, 540, -0.1)]), Amount(10, 10))
    assert places(offer.difficult) == [("a", 500, 500)]
    assert places(offer.easy) == [("a", 540, 540)]


def test_beside_a_small_object_there_is_background_however_large_others_are() -> None:
    curation = Curation({"b": (SIDE, SIDE)}, ("DNA",), ("b",), ("DNA",))
    for name, x, side in (("cell", 200, 200.0), ("mitosis", 600, 20.0)):
        curation = apply(curation, AddClass(name, "#e69f00"))
        curation = apply(curation, AddPrototypes(name, (Patch.at("b", 500, x),), (side, side)))
    highs = [Peak("b", "background", 500, x, SHAPE, 0.4) for x in (270, 608, 620)]
    none = dict.fromkeys(("cell", "mitosis"), ranked_peaks((), ("b",)))
    found = known_similarities(("b",), highs, (), none, {"cell": 0.5, "mitosis": 0.7})
    offer = offer_background(curation, found, Amount(10, 10))
    assert places(offer.difficult) == [("b", 500, 620)]  # the first is on the cell, the next on the mitosis
    accepted = apply(curation, AcceptBackground(offer.difficult))
    with pytest.raises(CurationError, match="an object of a class: leave it out"):
        apply(curation, AcceptBackground((Patch.at("b", 500, 240),)))
    beside = apply(accepted, ConfirmPatches("mitosis", (Patch.at("b", 510, 634),)))
    assert beside.background == accepted.background
    assert not apply(accepted, ConfirmPatches("cell", (Patch.at("b", 510, 634),))).background


def test_where_there_are_no_objects_there_is_nothing_to_choose() -> None:
    bare = Curation({"a": (SIDE, SIDE)}, ("DNA",), ("a",), ("DNA",))
    assert offer_background(bare, known_similarities(("a",), [], [], {}, {}), Amount(10, 10)) == BackgroundOffer()


# What is background already


def test_what_is_background_stays_so_unless_a_class_reaches_it(drawn: Curation) -> None:
    patches = [Patch.at("b", 500, x) for x in (100, 300, 500, 700)]
    accepted = apply(drawn, AcceptBackground(tuple(patches)))
    flagged = apply(accepted, FlagNegatives("mitosis", (patches[3],)))
    mitoses = [("b", 500, 300, 0.9), ("b", 500, 700, 0.69)]
    offer = offer_background(flagged, known([("b", 500, 500, 0.2)], mitoses=mitoses), Amount(10, 10))
    assert offer.kept == (patches[0], patches[3])  # of the others one looks like a mitosis, and one is suggested
    assert places(offer.difficult) == [("b", 500, 500)]


def test_background_that_is_said_one_by_one_leaves_the_rest_to_be_accepted(drawn: Curation) -> None:
    one, other = Patch.at("b", 500, 500), Patch.at("b", 500, 700)
    after = apply(apply(drawn, AddBackground((one,))), AddBackground((other,)))
    assert after.background == (one, other)
    assert not after.is_background_accepted
    assert apply(apply(drawn, AcceptBackground((one,))), AddBackground((other,))).is_background_accepted
    with pytest.raises(CurationError, match="an object of a class: leave it out"):
        apply(drawn, AddBackground((Patch.at("a", 101, 100),)))
    with pytest.raises(CurationError, match="flagged as not background: leave it out"):
        apply(apply(drawn, FlagNotBackground((one,))), AddBackground((Patch.at("b", 501, 500),)))
    assert str(AddBackground((one,))) == "add 1 patch to the background"


def test_background_that_was_drawn_stays_just_below_a_threshold_and_beside_a_suggestion(drawn: Curation) -> None:
    below, beside = Patch.at("b", 500, 300), Patch.at("b", 500, 715)
    said = apply(drawn, AddBackground((below, beside)))
    offer = offer_background(said, known([("b", 500, 700, 0.2)], mitoses=[("b", 500, 310, 0.69)]), Amount(10, 10))
    assert offer.kept == (below, beside)
    assert not offer.asked  # somebody has answered


OBJECTS = {
    "a box of cell: draw beside it, or remove that box": ("a", 115, 85),
    "an accepted region of cell: draw beside it, or flag it": ("a", 400, 419),
    "a confirmed region of mitosis: draw beside it, or flag it": ("b", 81, 100),
    "a region above the threshold of cell: draw beside it": ("b", 300, 300),
    "background: it is that already": ("b", 603, 600),
    "flagged as not background: take that back": ("b", 700, 700),
}


@pytest.mark.parametrize(("words", "place"), OBJECTS.items())
def test_background_is_not_drawn_on_what_is_of_a_class_or_was_said(
    drawn: Curation, words: str, place: tuple[str, float, float]
) -> None:
    for action in (
        AcceptClass("cell", (Patch.at("a", 400, 400),)),
        ConfirmPatches("mitosis", (Patch.at("b", 100, 100),)),
        AddBackground((Patch.at("b", 600, 600),)),
        FlagNotBackground((Patch.at("b", 700, 700),)),
    ):
        drawn = apply(drawn, action)
    found = {"cell": [Patch.at("b", 310, 310)]}
    with pytest.raises(CurationError, match=words):
        check_drawn_background(drawn, Patch.at(*place), found)
    image, y, x = place
    check_drawn_background(drawn, Patch.at(image, y, x + 40), found)  # beside it
