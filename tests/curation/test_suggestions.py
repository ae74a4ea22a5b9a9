"""What is suggested: patches like the prototypes, and what may be background, against slow words of the paper."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.peaks import NEAREST, Peak
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.curation.actions import AddClass, SetSimilarityThreshold, apply
from simsearch.curation.marks import AcceptClass, AddPrototypes, ConfirmPatches, FlagNegatives, FlagNotBackground
from simsearch.curation.state import Curation, Patch
from simsearch.curation.suggestions import (
    acceptance,
    background_patches,
    marked_patches,
    own_candidates,
    own_of,
    own_peaks,
    suggested_patches,
)
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

SHAPE = (48.0, 40.0)
Place = tuple[str, float, float]


def peak(y: float, x: float, score: float = 0.5, image: str = "a", class_name: str = "RBC") -> Peak:
    return Peak(image, class_name, y, x, SHAPE, score)


def places(patches: Iterable[Patch | Peak]) -> list[Place]:
    return [(patch.image, patch.y, patch.x) for patch in patches]


@pytest.fixture
def curation(empty: Curation) -> Curation:
    """Class RBC with a prototype at (50, 50) and a threshold; of the images, only a is displayed."""
    for action in (
        AddClass("RBC", "#e69f00"),
        AddClass("WBC", "#56b4e9"),
        AddPrototypes("RBC", (Patch.at("a", 50, 50),), SHAPE),
        SetSimilarityThreshold("RBC", 0.5),
    ):
        empty = apply(empty, action)
    return empty


# Suggestions for a class


def test_peaks_from_the_threshold_on_are_suggested_the_most_similar_first(curation: Curation) -> None:
    peaks = [peak(10, 10, 0.7), peak(20, 90, 0.5), peak(30, 170, 0.9), peak(40, 250, 0.499), peak(90, 10, 0.7)]
    assert places(suggested_patches(curation, "RBC", peaks)) == [
        ("a", 30, 170),
        ("a", 10, 10),
        ("a", 90, 10),
        ("a", 20, 90),
    ]
    assert suggested_patches(curation, "RBC", []) == []


def test_other_classes_and_images_that_are_not_displayed_are_left_out(curation: Curation) -> None:
    peaks = [peak(60, 60, class_name="WBC"), peak(60, 60, image="P/A/01/0"), peak(60, 60)]
    assert places(suggested_patches(curation, "RBC", peaks)) == [("a", 60, 60)]
    shown = replace(curation, displayed=("P/A/01/0",))
    assert places(suggested_patches(shown, "RBC", peaks)) == [("P/A/01/0", 60, 60)]


def test_what_was_flagged_is_not_suggested_again(curation: Curation) -> None:
    flagged = apply(curation, FlagNegatives("RBC", (Patch.at("a", 100, 100),)))
    near, far = peak(106, 107, 0.9), peak(100, 110, 0.6)  # a quarter of the shorter side away, that is 10 px, or not
    assert places(suggested_patches(flagged, "RBC", [near, far])) == [("a", 100, 110)]
    other = apply(curation, FlagNegatives("WBC", (Patch.at("a", 100, 100),)))
    assert len(suggested_patches(other, "RBC", [near, far])) == 2
    elsewhere = apply(curation, FlagNegatives("RBC", (Patch.at("P/A/01/0", 40, 40),)))
    assert len(suggested_patches(elsewhere, "RBC", [peak(40, 40)])) == 1


def test_a_class_without_a_threshold_has_no_suggestions_yet(curation: Curation) -> None:
    with pytest.raises(CurationError, match="class WBC: expected a similarity threshold, got none: choose one first"):
        suggested_patches(curation, "WBC", [])
    with pytest.raises(CurationError, match=r"one of the classes \(RBC, WBC\), got 'PLT'"):
        suggested_patches(curation, "PLT", [])


def test_what_was_said_about_a_place_marks_it(curation: Curation) -> None:
    for action in (
        FlagNegatives("WBC", (Patch.at("a", 60, 150),)),
        AcceptClass("RBC", (Patch.at("a", 90, 90),)),
        FlagNotBackground((Patch.at("P/A/01/0", 30, 30),)),
    ):
        curation = apply(curation, action)
    assert set(places(marked_patches(curation))) == {
        ("a", 50, 50),
        ("a", 60, 150),
        ("a", 90, 90),
        ("P/A/01/0", 30, 30),
    }


# Background

IMAGES = {"a": (100, 120), "b": (48, 60), "c": (44, 100)}  # b is as high as a patch, c lower


def is_in(at: Patch | Peak, boxes: Iterable[Patch]) -> bool:
    """Tell whether a centre lies in one of some patches."""
    for box in boxes:
        top, left = box.y - SHAPE[0] / 2, box.x - SHAPE[1] / 2
        if box.image == at.image and top < at.y < top + SHAPE[0] and left < at.x < left + SHAPE[1]:
            return True
    return False


def is_whole(at: Peak) -> bool:
    """Tell whether a patch lies inside its image, whose pixels have their centres at whole numbers."""
    for centre, side, length in zip((at.y, at.x), SHAPE, IMAGES[at.image], strict=True):
        first, last = centre - side / 2, centre + side / 2
        if side <= length and not (first >= -0.5 and last <= length - 0.5):
            return False
    return True


def oracle(highest: list[Peak], lowest: list[Peak], marked: list[Patch], n: int) -> tuple[set[Place], set[Place]]:
    """Take the n highest and then the n lowest of each image that may be taken."""
    difficult: list[Peak] = []
    easy: list[Peak] = []
    for image in IMAGES:
        allowed = [p for p in highest if p.image == image and is_whole(p) and not is_in(p, marked)]
        difficult += sorted(allowed, key=lambda p: p.score)[::-1][:n]
    taken = [*marked, *(Patch.at(p.image, p.y, p.x) for p in difficult)]
    for image in IMAGES:
        allowed = [p for p in lowest if p.image == image and is_whole(p) and not is_in(p, taken)]
        easy += sorted(allowed, key=lambda p: p.score)[:n]
    return set(places(difficult)), set(places(easy))


@st.composite
def spots(draw: st.DrawFn) -> Place:
    """Draw a place in an image, so coarsely that sides of patches meet, and where a patch just fits."""
    image = draw(st.sampled_from(sorted(IMAGES)))
    height, width = IMAGES[image]
    y = draw(st.sampled_from([*range(0, height, 4), 23, 23.5, height - 24.5, height - 24]))
    x = draw(st.sampled_from([*range(0, width, 4), 19, 19.5, width - 20.5, width - 20]))
    return image, y, x


@st.composite
def extrema(draw: st.DrawFn) -> list[Peak]:
    """Draw peaks of different scores."""
    found = draw(st.lists(spots(), max_size=40))
    scores = draw(st.permutations(range(len(found))))
    return [
        peak(y, x, score / 50 - 0.3, image, "background") for (image, y, x), score in zip(found, scores, strict=True)
    ]


@given(extrema(), extrema(), st.lists(spots(), max_size=6), st.integers(0, 4))
def test_background_is_that_of_algorithm_1(highest: list[Peak], lowest: list[Peak], marks: list[Place], n: int) -> None:
    curation = Curation(IMAGES, ("DNA",), ("a",), ("DNA",), patch_shape=SHAPE)
    marked = [Patch.at(*mark) for mark in marks]
    difficult, easy = background_patches(curation, highest, lowest, marked, n)
    assert len(set(places(difficult))) <= len(difficult) <= n * len(IMAGES)
    assert (set(places(difficult)), set(places(easy))) == oracle(highest, lowest, marked, n)


def test_background_is_chosen_in_each_image_whether_it_is_displayed_or_not(curation: Curation) -> None:
    highest = [peak(60, 100, 0.9), peak(60, 200, 0.8), peak(120, 200, 0.7), peak(40, 40, 0.1, "P/A/01/0")]
    lowest = [peak(150, 100, -0.2), peak(150, 200, -0.1), peak(60, 70, -0.3, "P/A/01/0")]
    difficult, easy = background_patches(curation, highest, lowest, [], 2)
    assert places(difficult) == [("a", 60, 100), ("a", 60, 200), ("P/A/01/0", 40, 40)]
    assert set(places(easy)) == {("a", 150, 100), ("a", 150, 200), ("P/A/01/0", 60, 70)}


def test_without_a_prototype_there_is_no_background_to_look_for(empty: Curation) -> None:
    with pytest.raises(CurationError, match="expected a prototype, got none: draw one before"):
        background_patches(empty, [], [], [], 5)


# A place belongs to one class


def ranked(*rows: tuple[int, float, float, float]) -> RankedPeaks:
    image, y, x, score = zip(*rows, strict=True)
    return RankedPeaks(np.array(image, np.int32), np.array(y), np.array(x), np.array(score, np.float32))


def own_places(curation: Curation, by_class: dict[str, RankedPeaks]) -> dict[str, list[tuple[int, float]]]:
    own = own_peaks(curation, ("a", "P/A/01/0"), by_class)
    return {name: list(zip(peaks.image.tolist(), peaks.y.tolist(), strict=True)) for name, peaks in own.items()}


def test_a_place_belongs_to_the_class_that_it_is_most_like(curation: Curation) -> None:
    found = {
        "RBC": ranked((0, 10, 10, 0.9), (0, 60, 10, 0.5), (1, 10, 10, 0.4)),
        "WBC": ranked((0, 62, 12, 0.6), (0, 12, 12, 0.3), (1, 60, 10, 0.2)),
    }
    assert own_places(curation, found) == {"RBC": [(0, 10), (1, 10)], "WBC": [(0, 62), (1, 60)]}
    # An image below another is no neighbour of its last row.
    assert own_places(curation, {"RBC": ranked((0, 199, 10, 0.9)), "WBC": ranked((1, 0, 10, 0.2))}) == {
        "RBC": [(0, 199)],
        "WBC": [(1, 0)],
    }


def test_what_was_said_of_a_place_weighs_more_than_similarity(curation: Curation) -> None:
    found = {"RBC": ranked((0, 80, 10, 0.9), (0, 120, 10, 0.8)), "WBC": ranked((0, 82, 12, 0.3), (0, 121, 12, 0.2))}
    confirmed = apply(curation, ConfirmPatches("WBC", (Patch.at("a", 81, 11),)))
    assert own_places(confirmed, found) == {"RBC": [(0, 120)], "WBC": [(0, 82)]}
    flagged = apply(curation, FlagNegatives("RBC", (Patch.at("a", 81, 11),)))
    assert own_places(flagged, found) == {"RBC": [(0, 80), (0, 120)], "WBC": [(0, 82)]}
    own = own_of(flagged, ["a"], [peak(80, 10, 0.9), peak(82, 12, 0.3, class_name="WBC")])
    assert [(p.class_name, p.y) for p in own_candidates(flagged, ["a"], own)] == [("WBC", 82)]


def test_acceptance_moves_a_place_from_one_class_to_another(curation: Curation) -> None:
    kept, moved = Patch.at("a", 120, 120), Patch.at("a", 80, 10)
    accepted = apply(curation, AcceptClass("RBC", (kept, moved)))
    after = apply(accepted, acceptance(accepted, "WBC", [Patch.at("a", 82, 12)]))
    assert after.roi_class("RBC").positives == (kept,)
    assert places(after.roi_class("WBC").positives) == [("a", 82, 12)]
    assert acceptance(curation, "RBC", [kept]) == AcceptClass("RBC", (kept,))


@given(
    st.lists(
        st.tuples(st.sampled_from(["RBC", "WBC"]), st.integers(0, 90), st.integers(0, 90), st.integers(1, 9)),
        min_size=1,
        max_size=12,
    )
)
def test_no_place_is_in_two_classes(rows: list[tuple[str, int, int, int]]) -> None:
    empty = Curation({"a": (100, 100)}, ("DNA",), ("a",), ("DNA",))
    for name in ("RBC", "WBC"):
        empty = apply(empty, AddClass(name, "#000000"))
    drawn = apply(empty, AddPrototypes("RBC", (Patch.at("a", 50, 50),), SHAPE))
    peaks = [peak(y, x, score / 10, class_name=name) for name, y, x, score in rows]
    own = own_candidates(drawn, ["a"], own_of(drawn, ["a"], peaks))
    for one in own:
        for other in own:
            is_apart = math.hypot(one.y - other.y, one.x - other.x) >= NEAREST * min(SHAPE)
            assert one.class_name == other.class_name or is_apart
