"""Who curates whole studies in the benchmark knows what is there, and only that."""

from __future__ import annotations

import pytest

from benchmarks.people_sets import StudySet
from simsearch.curation.state import Curation, Patch
from simsearch.io.tables.truth import TrueObject

TRUTH = [TrueObject("i", "cell", 50, 50), TrueObject("i", "platelet", 50, 60), TrueObject("i", "cell", 5, 90)]


def images(*, is_complete: bool) -> StudySet:
    return StudySet({"cell": 40.0, "platelet": 20.0}, [], TRUTH, [], [], is_complete=is_complete)


@pytest.mark.parametrize(
    ("name", "y", "x", "kind"),
    [
        ("cell", 50, 58, "cell"),  # of 40 px, so within 12
        ("platelet", 50, 58, "platelet"),
        ("platelet", 50, 52, "cell"),  # of 20 px, within 6: what is there is a cell
        ("cell", 50, 65, "platelet"),
        ("cell", 90, 20, ""),
    ],
)
def test_a_place_is_of_the_class_asked_about_or_else_of_the_nearest(name: str, y: float, x: float, kind: str) -> None:
    assert images(is_complete=True).truth_at(name, Patch.at("i", y, x)) == kind


def test_where_not_all_is_labelled_a_place_without_a_label_may_be_anything() -> None:
    assert images(is_complete=False).truth_at("cell", Patch.at("i", 90, 20)) is None


def test_prototypes_lie_wholly_inside_and_are_the_same_for_all_people_of_a_draw() -> None:
    curation = Curation({"i": (100, 100)}, ("grey",), ("i",), ("grey",))
    drawn = images(is_complete=True).prototypes("cell", curation, draw=3, n=1)
    assert [(patch.y, patch.x) for patch in drawn] == [(50, 50)]
