"""What was answered one by one, apart from what was drawn to search with and what was accepted with many."""

from __future__ import annotations

from simsearch.curation.actions import AddClass, apply
from simsearch.curation.answers import answers_for
from simsearch.curation.marks import (
    AcceptBackground,
    AcceptClass,
    AddPrototypes,
    ConfirmPatches,
    FlagNegatives,
)
from simsearch.curation.state import Curation, Patch

SHAPE = (20.0, 20.0)


def said(empty: Curation, *, reverse: bool = False) -> Curation:
    """Curate two classes."""
    confirmed = [Patch.at("a", 90, 30), Patch.at("P/A/01/0", 60, 60)]
    curation = empty
    for action in (
        AddClass("cell", "#e69f00"),
        AddClass("dirt", "#56b4e9"),
        AddPrototypes("cell", (Patch.at("a", 30, 30),), SHAPE),
        AddPrototypes("dirt", (Patch.at("a", 30, 150),), SHAPE),
        AcceptClass("cell", (Patch.at("a", 31, 30), Patch.at("a", 150, 150))),
        ConfirmPatches("cell", tuple(reversed(confirmed) if reverse else confirmed)),
        ConfirmPatches("cell", (Patch.at("a", 31, 31),)),  # of the prototype once more
        FlagNegatives("cell", (Patch.at("a", 90, 150),)),
        ConfirmPatches("dirt", (Patch.at("a", 91, 150), Patch.at("a", 150, 60))),
        AcceptBackground((Patch.at("a", 150, 250),)),
    ):
        curation = apply(curation, action)
    return curation


def test_each_place_that_was_answered_is_right_or_wrong_once(empty: Curation) -> None:
    found = [(each.patch.image, each.patch.y, each.patch.x, each.is_right) for each in answers_for(said(empty), "cell")]
    assert found == [
        ("P/A/01/0", 60, 60, True),
        ("a", 30, 150, False),  # drawn for the other class
        ("a", 90, 30, True),
        ("a", 90, 150, False),  # flagged, and said to be of the other
        ("a", 150, 60, False),
    ]
    places = [[(each.patch.y, each.patch.x) for each in answers_for(said(empty, reverse=r), "cell")] for r in (0, 1)]
    assert places[0] == places[1]


def test_who_only_drew_and_accepted_answered_nothing(empty: Curation) -> None:
    curation = apply(apply(empty, AddClass("cell", "#e69f00")), AddPrototypes("cell", (Patch.at("a", 30, 30),), SHAPE))
    curation = apply(curation, AcceptClass("cell", (Patch.at("a", 150, 150),)))
    assert answers_for(curation, "cell") == []
