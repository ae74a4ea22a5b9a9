"""Images are chosen by hand, at random, or by how they differ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simsearch.app.components.image_picker import ImagePicker, column_parts, plate_part, with_images
from simsearch.app.pages.images import images_page
from simsearch.app.session.snapshot import JobView
from simsearch.errors import CurationError
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.workflows.curate.layout import PlateField, PlateLayout, PlateMap, find_layout
from simsearch.workflows.curate.study import StudyImage
from tests.app.drawing import drawn, say

if TYPE_CHECKING:
    from simsearch.app.context import PageContext


def _displayed(context: PageContext) -> tuple[str, ...]:
    return context.live.snapshot.curation.displayed


def test_the_page_shows_all_images_and_which_are_displayed(context: PageContext) -> None:
    page = images_page(context)
    page.update(context.live.snapshot)
    wire = page.roots["picker"]
    assert drawn(wire, "images")["names"] == ["a", "b", "c", "d"]
    assert drawn(wire, "images")["thumbnail"].startswith("/lab/thumbnails/{I}?c=0,00FF00,0,1000")
    assert drawn(wire, "displayed") == {"indices": [0, 1, 2], "marked": [], "is_choosing": False}


def test_a_click_displays_an_image_and_another_does_not(context: PageContext) -> None:
    wire = ImagePicker(context).root
    say(wire, "show", images=[3], on=True)
    assert _displayed(context) == ("a", "b", "c", "d")
    say(wire, "show", images=[0, 2], on=False)
    assert _displayed(context) == ("b", "d")
    assert len(context.live.snapshot.history.entries) == 2
    say(wire, "show", images=[1], on=True)  # it is, already
    assert len(context.live.snapshot.history.entries) == 2


def test_the_last_image_stays(context: PageContext) -> None:
    wire = ImagePicker(context).root
    with pytest.raises(CurationError, match="expected at least one image to be displayed"):
        say(wire, "show", images=[0, 1, 2], on=False)
    assert _displayed(context) == ("a", "b", "c")


@pytest.mark.parametrize(("n", "n_chosen"), [(2, 2), (0, 1), (100, 4)])
def test_images_at_random_are_in_their_order(context: PageContext, n: int, n_chosen: int) -> None:
    say(ImagePicker(context).root, "random", n=n)
    assert len(_displayed(context)) == n_chosen
    assert list(_displayed(context)) == sorted(_displayed(context))


def test_wells_of_each_value_of_a_column_are_chosen(context: PageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = tuple(PlateField(index, Well(0, index), "0") for index in range(4))
    rows = tuple({"well": f"A0{i + 1}", "role": role, "index": i} for i, role in enumerate(("pc", "nc", "empty", "pc")))
    maps = [PlateMap(PlateLayout("P", "/x/P", 1, 4, fields), rows)]
    assert column_parts(maps) == [{"name": "role", "n": 2}]  # nobody chooses by what each well has of its own
    picker = ImagePicker(context)
    monkeypatch.setattr(picker, "_maps", maps)
    say(picker.root, "by", column="role", n=2)
    assert _displayed(context) in (("a", "b"), ("b", "d"))
    before = _displayed(context)
    say(picker.root, "by", column="gone", n=2)
    assert _displayed(context) == before


def test_only_these(context: PageContext) -> None:
    say(ImagePicker(context).root, "only", images=[3, 1])
    assert _displayed(context) == ("b", "d")


def test_while_diverse_images_are_chosen_the_page_says_so(context: PageContext) -> None:
    picker = ImagePicker(context)
    picker.update(replace(context.live.snapshot, jobs=(JobView("1", "diverse", "Choose", "ada", "running"),)))
    assert drawn(picker.root, "displayed")["is_choosing"]


def test_with_images_keeps_the_order_of_the_study(context: PageContext) -> None:
    curation = context.live.snapshot.curation
    assert with_images(replace(curation, displayed=("c", "a")), ["b"], is_on=True) == ("a", "b", "c")


def test_a_plate_is_drawn_well_by_well() -> None:
    images = [StudyImage(f"p/B/03/{field}", f"/x/p.ome.zarr/B/03/{field}", (9, 9)) for field in (0, 1)]
    (plate,) = find_layout(images).plates
    assert plate_part(plate) == {
        "name": "p",
        "rows": 2,
        "columns": 3,
        "wells": [{"name": "B03", "row": 1, "column": 2, "images": [0, 1]}],
    }
