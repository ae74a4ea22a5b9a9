"""In a real browser: boxes are changed, negatives and background drawn anywhere, and all of it with keys too."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.app import shell
from simsearch.app.context import Page
from simsearch.app.pages.regions import regions_page
from simsearch.app.server.application import Site
from simsearch.app.session.snapshot import Suggestions
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AcceptClass, AddPrototypes
from simsearch.curation.state import Patch
from tests.app.axe import check_light_and_dark
from tests.app.browser import flawless_tab, on_screen, wait_until
from tests.app.drawing import Shown
from tests.app.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

    from simsearch.app.context import PageContext
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.state import RoiClass

pytestmark = pytest.mark.browser

BOX, OTHER = Patch.at("a", 60.0, 60.0), Patch.at("b", 60.0, 60.0)
FRAMED, ACCEPTED, BELOW, FREE = (120.0, 60.0), (60.0, 130.0), (140.0, 140.0), (30.0, 100.0)
FOUND = RankedPeaks(
    np.zeros(4, np.int32),
    *(np.array([at[axis] for at in ((BOX.y, BOX.x), FRAMED, ACCEPTED, BELOW)]) for axis in (0, 1)),
    np.array([0.95, 0.9, 0.8, 0.3], np.float32),
)
SUGGESTED = Suggestions(("a", "b", "c"), {"cell": FOUND}, {"cell": 0.5, "debris": 0.5}, state="ready")
HEIGHT = "Height of the boxes of cell in pixels"
HANDLE = 12  # of a box of 24 x 20 px: its lower border is so far from its centre


class Trial:
    """The Regions page with two classes, a box, and suggestions that the test chooses."""

    def __init__(self, live: LiveStudy, tab: Tab) -> None:
        self.live, self.tab = live, tab
        for name, color in (("cell", "#e69f00"), ("debris", "#56b4e9")):
            live.act("ada", AddClass(name, color))
        live.act("ada", AddPrototypes("cell", (BOX,), (24.0, 20.0)))

    def page(self, context: PageContext) -> Page:
        """Make the page."""
        page = regions_page(replace(context, live=Shown(context.live, SUGGESTED)))
        return Page(page.roots, lambda snapshot: page.update(self.shown(snapshot)), page.close)

    def shown(self, snapshot: Snapshot) -> Snapshot:
        """Have the suggestions of the test on the page."""
        return replace(snapshot, suggestions=SUGGESTED)

    def said(self, name: str = "cell") -> RoiClass:
        """Read what was said of a class."""
        return self.live.snapshot.curation.roi_class(name)

    @property
    def box(self) -> Patch:
        """The first box of the first class."""
        return self.said().prototypes[0]

    def click(self, y: float, x: float) -> None:
        """Click a place of the image."""
        self.tab.mouse.click(*on_screen(self.tab, y, x))
        self.tab.wait_for_timeout(400)  # the next click is not the second of a double click

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from a place of the image to another."""
        mouse = self.tab.mouse
        mouse.move(*on_screen(self.tab, *start))
        mouse.down()
        mouse.move(*on_screen(self.tab, *end), steps=6)
        mouse.up()

    def look(self, name: str, folder: str) -> None:
        """Keep pictures of the page, and check that everybody can use it."""
        self.tab.mouse.move(0, 0)
        self.tab.wait_for_load_state("networkidle")
        for scheme in ("light", "dark"):
            self.tab.emulate_media(color_scheme=scheme)
            self.tab.wait_for_timeout(300)
            self.tab.screenshot(path=f"{folder}/3-marking-{name}-{scheme}.png")
        check_light_and_dark(self.tab, name)


@pytest.fixture
def trial(live: LiveStudy, chromium: Browser) -> Iterator[Trial]:
    """Show the page."""
    with flawless_tab(chromium, height=720) as tab:
        trial = Trial(live, tab)
        with serving(live, Site({"regions": trial.page}, shell.mount_page, lambda _: "regions")) as server:
            tab.goto(f"http://127.0.0.1:{server.port}/regions")
            tab.wait_for_selector("html[data-ready]")
            tab.wait_for_function("simsearch.viewer.image === 'a'")
            tab.locator(".gallery-grid .tile").first.wait_for()
            tab.wait_for_function("simsearch.viewer.place() === null")
            yield trial
            tab.goto("about:blank")  # before the server goes, which a page would complain about


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    """Tell where pictures of pages go."""
    return os.environ.get("SIMSEARCH_SCREENSHOTS", str(tmp_path))


def near(patch: Patch, y: float, x: float) -> bool:
    return abs(patch.y - y) < 1 and abs(patch.x - x) < 1


def test_a_box_is_moved_with_the_mouse_and_with_keys(trial: Trial, pictures: str) -> None:
    tab = trial.tab
    trial.click(BOX.y, BOX.x)
    tab.locator(".viewer-selected").wait_for()
    trial.look("selected", pictures)
    trial.drag((62, 62), (82, 72))
    wait_until(lambda: near(trial.box, 80, 70), "a box that was moved")
    assert trial.box.id == BOX.id
    before = trial.box
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown"):
        tab.keyboard.press(key)
    wait_until(lambda: trial.box != before, "a box that was moved by keys")
    assert (trial.box.y, trial.box.x) == (pytest.approx(before.y + 10), pytest.approx(before.x + 2))
    tab.get_by_text("The box is at row").wait_for()
    tab.locator("#past summary").click()
    rows = tab.locator(".past-list .done button")
    wait_until(lambda: rows.count() == 2, "both deeds, but none of another person")
    trial.look("history", pictures)
    rows.nth(1).click()
    wait_until(lambda: trial.box == BOX, "the box before both")
    tab.locator(".past-list .undone button").first.click()
    wait_until(lambda: trial.box.y == pytest.approx(before.y + 10), "the box after both")
    tab.keyboard.press("Escape")
    tab.locator("#past .past").wait_for(state="hidden")
    for expected in (before, BOX):  # keys in a row are one deed, the drag is another
        tab.keyboard.press("z")
        wait_until(lambda expected=expected: trial.box == expected, "a box where it was before")
    n = len(trial.live.snapshot.history.entries)
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("z")  # at once: nothing was saved yet
    tab.wait_for_timeout(600)
    assert (trial.box, len(trial.live.snapshot.history.entries)) == (BOX, n)


def test_the_size_of_the_only_box_follows_a_handle(trial: Trial) -> None:
    trial.click(BOX.y, BOX.x)
    trial.drag((BOX.y + HANDLE, BOX.x + 10), (BOX.y + HANDLE + 8, BOX.x + 16))  # the lower right corner
    wait_until(lambda: trial.said().patch_shape == (32.0, 26.0), "a class of larger boxes")
    assert (trial.box.y, trial.box.x) == (64.0, 63.0)  # the upper left corner has stayed
    trial.tab.locator("#undo:enabled").wait_for()
    trial.tab.keyboard.press("z")
    wait_until(lambda: (trial.said().patch_shape, trial.box) == ((24.0, 20.0), BOX), "the box of before")


def test_the_size_of_many_boxes_is_asked_about(trial: Trial, pictures: str) -> None:
    tab = trial.tab
    trial.live.act("ada", AddPrototypes("cell", (OTHER,), (24.0, 20.0)))
    trial.click(BOX.y, BOX.x)
    tab.get_by_label(HEIGHT).fill("40")
    tab.keyboard.press("Enter")
    tab.get_by_text("All 2 boxes of “cell” become 40").wait_for()
    trial.look("resized", pictures)
    tab.get_by_role("button", name="Keep 24").click()
    assert trial.said().patch_shape == (24.0, 20.0)
    tab.get_by_label(HEIGHT).fill("40")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Change all").click()
    wait_until(lambda: trial.said().patch_shape == (40.0, 20.0), "a class of larger boxes")


def test_a_box_is_given_to_another_class_and_removed(trial: Trial) -> None:
    tab = trial.tab
    trial.click(BOX.y, BOX.x)
    tab.keyboard.press("2")
    wait_until(lambda: trial.said("debris").prototypes == (BOX,), "a box of debris")
    assert (trial.said().prototypes, trial.said("debris").patch_shape) == ((), (24.0, 20.0))
    choice = tab.get_by_role("combobox", name="Class", exact=True)
    wait_until(lambda: choice.input_value() == "debris", "the box, which is still selected")
    choice.select_option("cell")
    wait_until(lambda: trial.said().prototypes == (BOX,), "a box of a cell")
    trial.live.act("bob", AddPrototypes("debris", (OTHER,), (24.0, 20.0)))  # another tab
    tab.wait_for_function("document.querySelector('.viewer-selected').hidden === false")
    tab.keyboard.press("Delete")
    wait_until(lambda: not trial.said().prototypes, "no box")
    tab.wait_for_function("document.querySelector('.viewer-selected').hidden")


def test_what_another_removes_is_selected_no_more(trial: Trial) -> None:
    trial.click(BOX.y, BOX.x)
    trial.tab.locator(".viewer-selected").wait_for()
    trial.live.undo("ada")
    trial.tab.locator(".viewer-selected").wait_for(state="hidden")


def test_a_stray_click_does_no_harm(trial: Trial, pictures: str) -> None:
    tab, about = trial.tab, trial.tab.locator(".marking-about")
    trial.live.act("ada", AcceptClass("cell", (Patch.at("a", *ACCEPTED),)))
    n = len(trial.live.snapshot.history.entries)
    trial.click(*FREE)
    assert "Drag around one more" in about.inner_text()
    trial.click(*BELOW)
    wait_until(lambda: "Below threshold" in about.inner_text(), "what is there, with its choices")
    trial.look("below", pictures)
    trial.click(BOX.y, BOX.x)
    wait_until(lambda: "Box of" in about.inner_text(), "the box")
    assert len(trial.live.snapshot.history.entries) == n
    tab.keyboard.press("Escape")
    trial.click(*FRAMED)
    wait_until(lambda: trial.said().negatives, "a negative")
    assert trial.said().is_accepted
    trial.click(*FRAMED)  # its dashed frame
    wait_until(lambda: not trial.said().negatives, "no negative")
    trial.drag((20, 20), (44, 40))
    wait_until(lambda: len(trial.said().prototypes) == 2, "another box")
    assert (trial.said().is_accepted, trial.said().n_changes) == (True, 1)
    tab.locator(".class-row .chip", has_text="+1").wait_for()


def test_choices_of_what_is_selected(trial: Trial) -> None:
    tab = trial.tab
    trial.click(*BELOW)
    tab.keyboard.press("y")
    wait_until(lambda: trial.said().confirmed, "a region that is confirmed")
    trial.click(*BELOW)
    tab.get_by_role("button", name="Not it").nth(1).click()  # the first is a tool
    wait_until(lambda: trial.said().negatives, "a negative")
    assert near(trial.said().negatives[0], *BELOW)
    assert not trial.said().confirmed


def test_negatives_and_background_are_drawn_anywhere(trial: Trial, pictures: str) -> None:
    tab = trial.tab
    tab.get_by_role("button", name="Not it").click()
    trial.click(*FREE)
    wait_until(lambda: trial.said().negatives, "a negative where nothing was found")
    assert near(trial.said().negatives[0], *FREE)
    trial.click(FRAMED[0] + 4, FRAMED[1] - 3)
    wait_until(lambda: len(trial.said().negatives) == 2, "a negative")
    assert (trial.said().negatives[1].y, trial.said().negatives[1].x) == FRAMED  # what was found there
    trial.click(*FREE)
    wait_until(lambda: len(trial.said().negatives) == 1, "one negative, since the other was taken back")
    tab.keyboard.press("t")
    trial.click(160, 30)
    wait_until(lambda: trial.live.snapshot.curation.background, "background")
    trial.look("background", pictures)
    trial.drag((160, 60), (166, 66))
    wait_until(lambda: len(trial.live.snapshot.curation.background) == 2, "more background")
    tab.keyboard.press("Escape")
    assert tab.locator("[data-tool=box]").get_attribute("aria-pressed") == "true"
    assert len(trial.said().prototypes) == 1


def test_what_is_said_below_the_image_is_of_the_class_that_one_works_on(trial: Trial) -> None:
    tab = trial.tab
    tab.keyboard.press("t")
    tab.get_by_text("Click what is no “cell”").wait_for()
    tab.keyboard.press("Shift+2")
    tab.get_by_text("Click what is no “debris”").wait_for()


def test_a_second_click_takes_background_back(trial: Trial) -> None:
    trial.tab.get_by_role("button", name="Background", exact=True).click()
    trial.click(*FREE)
    wait_until(lambda: trial.live.snapshot.curation.background, "background")
    wait_until(lambda: trial.tab.evaluate("simsearch.model('marks').data.kind.includes('background')"), "its mark")
    trial.click(*FREE)
    wait_until(lambda: not trial.live.snapshot.curation.background, "no background")


def test_what_was_refused_is_said_once_and_goes_with_the_next_deed(trial: Trial) -> None:
    tab = trial.tab
    trial.click(BOX.y, BOX.x)
    tab.get_by_label(HEIGHT).fill("100000")
    tab.get_by_label(HEIGHT).press("Tab")
    assert tab.get_by_label(HEIGHT).input_value() == "24"
    trial.click(*FREE)  # nothing is selected any more
    for _ in range(2):
        tab.mouse.move(*on_screen(tab, BOX.y + 4, BOX.x))
        tab.mouse.move(*on_screen(tab, BOX.y, BOX.x), steps=3)
        tab.keyboard.press("b")  # a box is no background
        tab.locator(".toast").wait_for()
        tab.wait_for_timeout(300)
    assert tab.locator(".toast").count() == 1
    trial.drag((30, 90), (54, 110))
    tab.locator(".toast").wait_for(state="detached")
    assert len(trial.said().prototypes) == 2


def test_all_of_it_is_drawn_with_keys_alone(trial: Trial, pictures: str) -> None:
    tab = trial.tab
    tab.locator(".slot-viewer").focus()
    tab.keyboard.press("Enter")
    tab.locator(".viewer-patch.cross").wait_for()
    for _ in range(3):
        tab.keyboard.press("Shift+ArrowUp")
    tab.wait_for_function(
        "document.querySelector('.viewer-stage [role=status].visually-hidden').textContent.startsWith('Row ')"
    )
    place = tab.evaluate("simsearch.drawing.place()")
    trial.look("cross", pictures)
    tab.keyboard.press("Enter")
    wait_until(lambda: len(trial.said().prototypes) == 2, "a box")
    assert near(trial.said().prototypes[1], place["y"], place["x"])
    assert "A box at row" in tab.locator(".viewer-said").inner_text()
    for _ in range(5):
        tab.keyboard.press("Shift+ArrowDown")
    place = tab.evaluate("simsearch.drawing.place()")
    tab.keyboard.press("x")
    wait_until(lambda: trial.said().negatives, "a negative")
    assert near(trial.said().negatives[0], place["y"], place["x"])
    for _ in range(4):
        tab.keyboard.press("Shift+ArrowLeft")
    tab.keyboard.press("b")
    wait_until(lambda: trial.live.snapshot.curation.background, "background")
    tab.keyboard.press("Escape")
    tab.locator(".viewer-patch.cross").wait_for(state="hidden")


def test_the_first_box_of_a_class_has_a_size_with_keys_too(trial: Trial) -> None:
    tab = trial.tab
    tab.keyboard.press("2")  # no box of debris is drawn yet
    tab.locator(".slot-viewer").focus()
    tab.keyboard.press("Enter")
    for _ in range(4):
        tab.keyboard.press("PageDown")
    tab.keyboard.press("Enter")
    wait_until(lambda: trial.said("debris").prototypes, "a box")
    assert trial.said("debris").patch_shape == (44.0, 44.0)


def test_a_box_in_the_list_is_selected_in_its_image(trial: Trial) -> None:
    tab = trial.tab
    trial.live.act("ada", AddPrototypes("cell", (OTHER,), (24.0, 20.0)))
    tab.locator(".prototype").nth(1).get_by_role("button", name="Show this box in its image").click()
    tab.wait_for_function("simsearch.viewer.image === 'b'")
    tab.locator(".viewer-selected").wait_for()
    tab.keyboard.press("Shift+ArrowRight")
    wait_until(lambda: trial.said().prototypes[1].x == OTHER.x + 10, "a box that was moved")


def test_a_part_of_an_image_is_outlined_named_and_removed(trial: Trial, pictures: str) -> None:
    tab = trial.tab
    tab.get_by_role("button", name="Region", exact=True).click()
    trial.drag((20, 20), (90, 120))

    def regions() -> list[str]:
        return [each.name for each in trial.live.snapshot.curation.regions]

    wait_until(regions, "a named region")
    (region,) = trial.live.snapshot.curation.regions
    assert all(abs(a - b) < 2 for a, b in zip(region.bounds, (20, 20, 90, 120), strict=True))
    tab.get_by_label("Name of region 1").fill("tumour")
    tab.keyboard.press("Enter")
    wait_until(lambda: regions() == ["tumour"], "its name")
    tab.get_by_label("Name of tumour").wait_for()
    tab.locator(".slot-viewer").focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")  # a quarter of the image along each side, around the cross
    wait_until(lambda: regions() == ["tumour", "region 1"], "another region")
    tab.get_by_label("Name of region 1").wait_for()
    trial.look("region", pictures)
    tab.get_by_role("button", name="Remove tumour").click()
    wait_until(lambda: regions() == ["region 1"], "one region")
