"""In a real browser: background is drawn in the images, with the mouse and with keys, and refused on objects."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.app import shell
from simsearch.app.context import Page
from simsearch.app.pages.background import background_page
from simsearch.app.server.application import Site
from simsearch.app.session.snapshot import Suggestions
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.curation.actions import AddClass
from simsearch.curation.background import Question
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
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
    from simsearch.curation.state import Curation

pytestmark = pytest.mark.browser

PEAK = (120.0, 60.0)
SUGGESTED = Suggestions(
    ("a", "b", "c"),
    {"cell": RankedPeaks(np.zeros(1, np.int32), *(np.array([at]) for at in PEAK), np.array([0.9], np.float32))},
    {"cell": 0.5},
    easy=(Patch.at("b", 150.0, 60.0), Patch.at("a", 30.0, 150.0)),
    asked=(Question("cell", Patch.at("a", 100.0, 120.0)),),
    state="ready",
)


class Trial:
    """The Background page with suggestions that the test chooses."""

    def __init__(self, live: LiveStudy, tab: Tab) -> None:
        self.live, self.tab = live, tab
        live.act("ada", AddClass("cell", "#e69f00"))
        live.act("ada", AddPrototypes("cell", (Patch.at("a", 60.0, 60.0),), (24.0, 20.0)))

    def page(self, context: PageContext) -> Page:
        """Make the page."""
        page = background_page(replace(context, live=Shown(context.live, SUGGESTED)))

        def update(snapshot: Snapshot) -> None:
            kept = snapshot.curation.background
            page.update(replace(snapshot, suggestions=replace(SUGGESTED, kept=kept)))

        return Page(page.roots, update)

    @property
    def said(self) -> Curation:
        """Read what was said."""
        return self.live.snapshot.curation

    def point_at(self, y: float, x: float) -> tuple[float, float]:
        """Move the pointer to a place of the image."""
        at = on_screen(self.tab, y, x)
        self.tab.mouse.move(*at)
        return at


@pytest.fixture
def trial(live: LiveStudy, chromium: Browser) -> Iterator[Trial]:
    """Show the page."""
    with flawless_tab(chromium, height=720) as tab:
        trial = Trial(live, tab)
        with serving(live, Site({"background": trial.page}, shell.mount_page, lambda _: "background")) as server:
            tab.goto(f"http://127.0.0.1:{server.port}/background")
            tab.wait_for_selector("html[data-ready]")
            tab.wait_for_function("simsearch.viewer.image === 'a'")
            yield trial
            tab.goto("about:blank")  # before the server goes, which a page would complain about


def near(patch: Patch, y: float, x: float) -> bool:
    return patch.image == "a" and abs(patch.y - y) < 1 and abs(patch.x - x) < 1


def test_a_click_in_the_image_draws_background_and_undo_takes_it_back(trial: Trial, tmp_path: Path) -> None:
    tab = trial.tab
    tab.mouse.click(*trial.point_at(150, 120))
    wait_until(lambda: trial.said.background, "background that was drawn")
    assert near(trial.said.background[0], 150, 120)
    tab.locator(".judged-kept .tile").wait_for()
    tab.mouse.move(0, 0)
    tab.wait_for_load_state("networkidle")
    folder = os.environ.get("SIMSEARCH_SCREENSHOTS", str(tmp_path))
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_timeout(400)
        tab.screenshot(path=f"{folder}/4-background-drawn-{scheme}.png")
    tab.keyboard.press("z")
    wait_until(lambda: not trial.said.background, "no background again")


def test_a_drag_draws_background_of_the_size_of_all_patches_inside_the_image(trial: Trial) -> None:
    tab = trial.tab
    tab.mouse.move(*trial.point_at(2, 2))
    tab.mouse.down()
    tab.mouse.move(*on_screen(tab, 8, 30), steps=5)
    tab.mouse.up()
    wait_until(lambda: trial.said.background, "background that was drawn")
    assert near(trial.said.background[0], 11.5, 16)  # its centre was at 5, 16; moved inwards


@pytest.mark.parametrize(
    ("y", "x", "words"), [(66, 66, "a box of cell"), (*PEAK, "a region above the threshold of cell")]
)
def test_background_on_an_object_is_refused_in_words(trial: Trial, y: float, x: float, words: str) -> None:
    tab = trial.tab
    tab.mouse.click(*trial.point_at(y, x))
    tab.locator(".toast.error", has_text=f"This needs a place of no class, and there is {words}").wait_for()
    assert not trial.said.background


def test_keys_alone_draw_background(trial: Trial) -> None:
    tab = trial.tab
    tab.locator(".slot-viewer").focus()
    tab.keyboard.press("ArrowDown")
    tab.locator(".viewer-patch").wait_for()
    middle = tab.evaluate("simsearch.viewer.middle()")
    tab.keyboard.press("b")
    wait_until(lambda: trial.said.background, "background that was drawn")
    assert near(trial.said.background[0], -middle["y"] - 0.5, middle["x"] - 0.5)


def test_a_picture_can_be_seen_in_its_image(trial: Trial) -> None:
    tab = trial.tab
    tab.locator(".judged-easy .tile").first.hover()
    tab.keyboard.press("v")
    tab.wait_for_function("simsearch.viewer.image === 'b'")
