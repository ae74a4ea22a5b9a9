"""Named regions are outlined, renamed and removed, and nothing else changes with them."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import pytest

from simsearch.core.named_regions import NamedRegion
from simsearch.curation.actions import apply
from simsearch.curation.outlines import AddRegion, RemoveRegion, RenameRegion
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from simsearch.curation.actions import Action
    from simsearch.curation.state import Curation

CORNERS = ((9.5, 9.5), (9.5, 59.5), (49.5, 59.5), (49.5, 9.5))
TUMOUR = AddRegion("a", "tumour", CORNERS)


def after(curation: Curation, *actions: Action) -> Curation:
    return reduce(apply, actions, curation)


def test_regions_are_named_in_their_image(empty: Curation) -> None:
    elsewhere = AddRegion("P/A/01/0", "tumour", ((0, 0), (20, 0), (0, 20)))
    outlined = after(empty, TUMOUR, elsewhere, RenameRegion("a", "tumour", "edge"))
    assert [(each.image, each.name) for each in outlined.regions] == [("a", "edge"), ("P/A/01/0", "tumour")]
    assert outlined.regions[0] == NamedRegion("a", "edge", CORNERS)
    assert apply(outlined, RemoveRegion("a", "edge")).regions == outlined.regions[1:]
    assert str(TUMOUR) == "outline tumour in a"


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (TUMOUR, "another name than that of a region of a, got 'tumour'"),
        (AddRegion("a", " ", CORNERS), "the name of a region, got ' '"),
        (AddRegion("z", "b", CORNERS), "name of an image, got 'z'"),
        (AddRegion("a", "b", CORNERS[:2]), "at least 3 corners, got nothing inside"),
        (AddRegion("a", "b", (CORNERS[0], CORNERS[1], CORNERS[0])), "got nothing inside"),
        (AddRegion("a", "b", tuple((y + 500, x) for y, x in CORNERS)), "got one beside it"),
        (RenameRegion("a", "tumour", "tumour"), "another name"),
        (RenameRegion("a", "gone", "b"), "it was removed, look again"),
        (RemoveRegion("P/A/01/0", "tumour"), "it was removed, look again"),
    ],
)
def test_what_is_no_region_is_refused(empty: Curation, action: Action, message: str) -> None:
    with pytest.raises(CurationError, match=message):
        after(empty, TUMOUR, action)
