"""What a model found is judged: what is recorded, what is told of it, and how the table and the image show it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simsearch.app.components.judgements import SaidPlaces, judged_since
from simsearch.app.components.results.objects import ResultObjects, neighbours
from simsearch.app.components.viewing.scene import find_peak, found_scene
from simsearch.app.components.viewing.viewer import Viewer
from simsearch.app.pages.results import results_page
from simsearch.app.session.judging import flag
from simsearch.curation.state import Patch
from simsearch.errors import ConfigError, CurationError
from simsearch.workflows.run.found_objects import read_found
from simsearch.workflows.run.results import RESULTS_NAME
from tests.app.drawing import drawn, say
from tests.app.planted_runs import SIDE, THRESHOLDS, draw_classes, found_cells, plant_run

if TYPE_CHECKING:
    from simsearch.app.context import Page, PageContext
    from simsearch.core.synthetic import CellField
    from simsearch.curation.state import RoiClass
    from simsearch.workflows.run.found_objects import FoundObjects


@pytest.fixture
def planted(context: PageContext, cell_fields: dict[str, CellField]) -> PageContext:
    draw_classes(context.live, cell_fields["a"])
    plant_run(context.live.study, "detect-1", found_cells(cell_fields))
    return context


@pytest.fixture
def found(planted: PageContext) -> FoundObjects:
    return read_found(planted.live.study.folder / RESULTS_NAME / "detect-1", THRESHOLDS)


def said_of(context: PageContext, name: str) -> RoiClass:
    return context.live.snapshot.curation.roi_class(name)


def places(context: PageContext, image: str, y: float, x: float) -> list[dict[str, float]]:
    return [{"image": context.urls.indices[image], "y": y, "x": x}]


@pytest.fixture
def page(planted: PageContext) -> Page:
    page = results_page(planted)
    page.update(planted.live.snapshot)
    return page


def test_right_wrong_and_another_class_are_marks_also_where_nothing_is_displayed(
    page: Page, planted: PageContext
) -> None:
    wire = page.roots["corrections"]
    say(wire, "assign", name="cytoplasm", to="cytoplasm", places=places(planted, "d", 60, 60))
    say(wire, "refuse", name="cytoplasm", to="", places=places(planted, "d", 120, 60))
    say(wire, "assign", name="cytoplasm", to="nucleus", places=places(planted, "d", 60, 120))
    cytoplasm, nucleus = (said_of(planted, name) for name in ("cytoplasm", "nucleus"))
    assert [(each.image, each.y, each.x) for each in cytoplasm.confirmed] == [("d", 60, 60)]
    assert [(each.y, each.x) for each in cytoplasm.negatives] == [(120, 60), (60, 120)]
    assert [(each.y, each.x) for each in nucleus.confirmed] == [(60, 120)]
    curation = planted.live.snapshot.curation
    said = [SaidPlaces(curation).said("cytoplasm", Patch.at("d", y, x)) for y, x in ((61, 60), (120, 60), (60, 119))]
    assert [(each["said"], each["to"]) for each in said] == [("right", ""), ("wrong", ""), ("wrong", "nucleus")]
    assert SaidPlaces(curation).said("gone", Patch.at("d", 1, 1)) == {"said": "", "to": ""}
    planted.live.undo("ada")
    assert not said_of(planted, "nucleus").confirmed


def test_several_of_several_classes_are_answered_at_once_and_undone_as_one(page: Page, planted: PageContext) -> None:
    wire, before = page.roots["corrections"], planted.live.snapshot.curation
    found = {"cytoplasm": (60, 60), "nucleus": (60, 120)}
    each = [{**places(planted, "d", *at)[0], "class": name} for name, at in found.items()]

    def said() -> dict[str, tuple[list[float], list[float]]]:
        classes = planted.live.snapshot.curation.classes
        return {c.name: ([p.x for p in c.confirmed], [p.x for p in c.negatives]) for c in classes}

    say(wire, "together", to="", places=each)
    assert said() == {"cytoplasm": ([], [60]), "nucleus": ([], [120])}
    say(wire, "together", to=None, places=each)
    assert said() == {"cytoplasm": ([60], []), "nucleus": ([120], [])}
    say(wire, "together", to="nucleus", places=each)
    assert said() == {"cytoplasm": ([], [60]), "nucleus": ([120, 60], [])}
    last = planted.live.snapshot.history.entries[-1]
    assert str(last.action) == "confirm 2 regions of nucleus"
    for _ in range(3):
        planted.live.undo("ada")
    assert planted.live.snapshot.curation == before


def test_a_click_adds_what_was_missed_only_while_that_is_asked_for(page: Page, planted: PageContext) -> None:
    wire = page.roots["corrections"]
    say(wire, "miss", to="nucleus", places=places(planted, "d", 2, 88))
    assert [(each.y, each.x) for each in said_of(planted, "nucleus").confirmed] == [(SIDE / 2 - 0.5, 88)]  # inwards
    with pytest.raises(CurationError, match="expected one of the classes"):
        say(wire, "miss", to="gone", places=places(planted, "d", 60, 88))


def test_judgements_after_a_training_are_counted(page: Page, planted: PageContext) -> None:
    before = planted.live.snapshot.history.entries[-1].time
    wire = page.roots["corrections"]
    say(wire, "assign", name="cytoplasm", to="nucleus", places=places(planted, "d", 60, 120))
    say(wire, "refuse", name="cytoplasm", to="", places=places(planted, "d", 120, 60))
    assert judged_since(planted.live.snapshot.history, before) == 2  # a move is one
    planted.live.undo("ada")
    assert judged_since(planted.live.snapshot.history, before) == 1


def test_two_runs_are_drawn_and_one_is_judged(planted: PageContext, found: FoundObjects) -> None:
    curation = planted.live.snapshot.curation
    scene = found_scene(curation, ("a", "d"), found, found)
    assert [(each.key, each.is_compared) for each in scene.layers] == [
        ("peaks:cytoplasm", False), ("peaks:nucleus", False),
        ("compared:cytoplasm", True), ("compared:nucleus", True),
    ]  # fmt: skip
    peaks = found.by_class["nucleus"]
    y, x = float(peaks.y[0]), float(peaks.x[0])
    alone = replace(scene, layers=scene.layers[2:])
    image = found.images[peaks.image[0]]
    assert find_peak(scene, image, (y, x)) == ("nucleus", y, x)
    assert find_peak(alone, image, (y, x)) is None
    assert {mark.kind for mark in scene.marks} == {"prototype"}


def test_of_a_plate_the_fields_of_a_well_are_neighbours() -> None:
    names = ["P/A/01/0", "P/A/01/1", "P/A/02/0"]
    assert neighbours("P/A/02/0", names) == ("P/A/02/0",)
    assert neighbours("gone", ["a", "b"]) == ("gone", "a", "b")


def test_a_table_has_a_page_of_rows_and_what_was_said_of_them(planted: PageContext, found: FoundObjects) -> None:
    chosen: list[tuple[object, ...]] = []
    viewer = Viewer(planted)
    objects = ResultObjects(planted, viewer, lambda *place: chosen.append(place))
    (result,) = planted.live.results()
    objects.show(result, None)
    objects.take(found)
    say(objects.root, "table", order="confidence", is_descending=True, **{"class": "nucleus"})
    table = drawn(objects.root, "table")
    assert (table["run"], table["start"], table["total"]) == ("detect-1", 0, len(found.by_class["nucleus"]))
    first = table["rows"][0]
    assert first["confidence"] == max(each["confidence"] for each in table["rows"])
    assert (first["said"], first["to"]) == ("", "")
    planted.do(flag, "nucleus", [Patch.at(first["image"], first["y"], first["x"])])
    objects.update(planted.live.snapshot)
    assert drawn(objects.root, "table")["rows"][0]["said"] == "wrong"
    say(objects.root, "look", image="d", y=60, x=70, **{"class": "nucleus"})
    assert viewer.image == "d"
    assert chosen == [("nucleus", "d", 60.0, 70.0)]
    say(objects.root, "look", image="of another study")
    assert viewer.image == "d"


def test_what_a_run_found_is_kept_in_memory(planted: PageContext) -> None:
    assert planted.live.found("detect-1") is planted.live.found("detect-1")
    with pytest.raises(ConfigError, match="expected one of the runs"):
        planted.live.found("detect-9")
