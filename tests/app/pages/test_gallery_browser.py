"""In a real browser: regions are judged one by one and several at once, and nothing moves under a moving pointer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from simsearch.app import shell
from simsearch.app.context import Page
from simsearch.app.pages.regions import regions_page
from simsearch.app.server.application import Site
from simsearch.app.session.snapshot import Suggestions
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.questions import N_QUESTIONS
from simsearch.curation.state import Patch
from simsearch.workflows.curate.patch_map import PatchMap
from tests.app.browser import flawless_tab, wait_until
from tests.app.conftest import SIDE
from tests.app.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator
    from playwright.sync_api import Page as Tab

    from simsearch.app.context import PageContext
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.state import RoiClass

pytestmark = pytest.mark.browser

IMAGES = ("a", "b", "c")
NAMES, COLORS = ("nuclear", "cytoplasmic", "debris"), ("#e69f00", "#56b4e9", "#cc79a7")


def lattice(seed: int) -> RankedPeaks:
    """Rank places that are apart, in another order for each seed."""
    rows, columns = np.mgrid[8 : SIDE - 8 : 12, 8 : SIDE - 8 : 12]
    rng, n = np.random.default_rng(seed), 3 * rows.size
    order = rng.permutation(n)
    return RankedPeaks(
        np.repeat(np.arange(3, dtype=np.int32), rows.size)[order],
        np.tile(rows.ravel(), 3)[order].astype(float),
        np.tile(columns.ravel(), 3)[order].astype(float),
        np.linspace(0.95, 0.05, n, dtype=np.float32),
    )


class Trial:
    """The Regions page with three classes and suggestions that the test chooses."""

    def __init__(self, live: LiveStudy) -> None:
        self.live, self.pages, self.is_told = live, list[Any](), True
        self.found = Suggestions(IMAGES, {NAMES[0]: lattice(1)}, dict.fromkeys(NAMES, 0.5), state="ready", version=1)
        for name, color in zip(NAMES, COLORS, strict=True):
            live.act("ada", AddClass(name, color))
        live.act("ada", AddPrototypes(NAMES[0], (Patch.at("a", 68.0, 68.0),), (40.0, 40.0)))

    def page(self, context: PageContext) -> Page:
        """Make the page."""
        page = regions_page(context)

        def update(snapshot: Snapshot) -> None:
            if self.is_told:
                page.update(replace(snapshot, suggestions=self.found))

        self.pages.append((context.doc, update))
        return Page(page.roots, update)

    def find_others(self, seed: int) -> None:
        """Have the page told of peaks in another order, as after a refined search."""
        version = self.found.version + 1
        self.found = replace(self.found, by_class={NAMES[0]: lattice(seed)}, version=version)
        for doc, update in self.pages:
            doc.add_next_tick_callback(lambda update=update: update(self.live.snapshot))

    def said(self, name: str = NAMES[0]) -> RoiClass:
        """Read what was said of a class."""
        return self.live.snapshot.curation.roi_class(name)


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    with flawless_tab(chromium, height=800) as tab:
        yield tab


@pytest.fixture
def trial(live: LiveStudy, tab: Tab) -> Iterator[Trial]:
    """Show the page in the tab."""
    trial = Trial(live)
    with serving(live, Site({"regions": trial.page}, shell.mount_page, lambda _: "regions")) as server:
        tab.goto(f"http://127.0.0.1:{server.port}/regions")
        tab.wait_for_selector("html[data-ready]")
        tab.locator(".gallery-grid .tile").first.wait_for()
        yield trial
        tab.goto("about:blank")  # before the server goes, which a page would complain about


KEYS = "[...document.querySelectorAll('.gallery-grid .tile')].sort((a, b) => a.dataset.index - b.dataset.index)"
ORDER = f"{KEYS}.map((tile) => tile.dataset.key)"


def leave(tab: Tab) -> None:
    tab.mouse.move(100, 600)  # over the list of classes


def tile(tab: Tab, index: int) -> Locator:
    """Find a tile by its place in the order."""
    return tab.locator(f".gallery-grid .tile[data-index='{index}']")


def test_a_key_over_a_region_says_of_which_class_it_is(trial: Trial, tab: Tab) -> None:
    tiles = tab.locator(".gallery-grid .tile:not(.own)")
    tiles.nth(1).hover()
    tab.keyboard.press("1")
    tab.locator(".tile.confirmed").wait_for()
    tiles.nth(2).hover()
    tab.keyboard.press("2")
    tab.locator(".tile.flagged.moved").wait_for()
    tiles.nth(3).hover()
    tab.keyboard.press("x")
    wait_until(lambda: len(trial.said().negatives) == 2, "two that do not belong")
    (moved,) = trial.said(NAMES[1]).confirmed
    assert (len(trial.said().confirmed), trial.said().negatives[0]) == (1, moved)
    tiles.nth(4).click(button="right")
    tab.locator("#region-menu").get_by_text("debris").click()
    wait_until(lambda: len(trial.said(NAMES[2]).confirmed) == 1, "one that is debris")
    tab.keyboard.press("ArrowRight")
    focused = tab.evaluate("document.activeElement.dataset.key")
    tab.keyboard.press("1")
    tab.locator(f".tile.confirmed[data-key='{focused}']").wait_for()
    leave(tab)
    tab.keyboard.press("2")  # beside all regions, the key chooses the class
    tab.get_by_text("Like “cytoplasmic”").wait_for()
    tab.keyboard.press("Shift+Digit1")
    tab.get_by_text("Like “nuclear”").wait_for()


def test_a_key_over_a_region_in_the_image_does_the_same(trial: Trial, tab: Tab) -> None:
    tab.wait_for_function("simsearch.viewer.image === 'a'")
    place = """() => {
      const { x, y, score, is_flagged } = simsearch.model('peaks:nuclear').data;
      const at = [...x.keys()].find((row) => score[row] >= 0.5 && !is_flagged[row]
        && x[row] > 60 && x[row] < 120 && y[row] < -100 && y[row] > -150);
      const figure = simsearch.model('viewer');
      const view = Bokeh.index.find_one(figure);
      const corner = view.canvas_view.el.getBoundingClientRect();
      const { left, top, width, height } = view.frame.bbox;
      const [h, v] = [figure.x_range, figure.y_range];
      return { at: [-y[at] - 0.5, x[at] - 0.5],
               screen: [corner.left + left + (x[at] - h.start) / (h.end - h.start) * width,
                        corner.top + top + (v.end - y[at]) / (v.end - v.start) * height] };
    }"""
    for key, name in (("3", NAMES[2]), ("1", NAMES[0])):
        found = tab.evaluate(place)
        tab.mouse.move(*found["screen"])
        tab.keyboard.press(key)
        wait_until(lambda name=name: trial.said(name).confirmed, f"a region that is {name}")
        (said,) = trial.said(name).confirmed
        assert (said.image, said.y, said.x) == ("a", *found["at"])
        tab.wait_for_function("[...simsearch.model('peaks:nuclear').data.is_flagged].some(Boolean)")
    assert tab.locator(".viewer-said").inner_text() == "This is “nuclear”. Z takes it back."
    assert len(trial.said().negatives) == 1


def test_several_are_picked_and_judged_at_once(trial: Trial, tab: Tab) -> None:
    order = tab.evaluate(ORDER)
    tile(tab, 1).hover()
    tab.mouse.down()
    tile(tab, 7).hover()
    tab.mouse.up()
    assert tab.locator(".tile.picked").count() == 7
    tile(tab, 10).click(modifiers=["Control"])
    tile(tab, 2).click(modifiers=["Control"])
    assert tab.locator("#picked-count").inner_text() == "7 picked"
    tab.locator("#picked-classes").get_by_text("cytoplasmic").click()
    wait_until(lambda: len(trial.said(NAMES[1]).confirmed) == 7, "seven of the other class")
    assert len(trial.said().negatives) == 7
    trial.live.undo("tester")
    assert (trial.said().negatives, trial.said(NAMES[1]).confirmed) == ((), ())
    leave(tab)
    wait_until(lambda: tab.evaluate(ORDER) == order, "all in their places, since that was undone")
    tile(tab, 0).click(modifiers=["Shift"])
    tile(tab, 2).click(modifiers=["Shift"])
    assert tab.locator("#picked-count").inner_text() == "3 picked"
    n = int(tab.locator("#threshold-count").inner_text().split()[0])
    tab.locator("#picked-all").click()
    n_picked = int(tab.locator("#picked-count").inner_text().split()[0])
    assert n_picked == n - n_own(tab)
    tab.keyboard.press("x")
    wait_until(lambda: len(trial.said().negatives) == n_picked, "all flagged")
    assert tab.locator("#gallery-picked").is_hidden()


def n_own(tab: Tab) -> int:
    """Count the suggestions that are a person's own boxes, which cannot be picked."""
    near = """() => { const { image, y, x, score } = simsearch.model('gallery_peaks').data;
      return [...y.keys()].filter((row) => score[row] >= 0.5 && image[row] === 0
        && Math.hypot(y[row] - 68, x[row] - 68) < 10).length; }"""
    return int(tab.evaluate(near))


def test_nothing_moves_under_a_moving_pointer(trial: Trial, tab: Tab) -> None:
    tiles = tab.locator(".gallery-grid .tile:not(.own)")
    tiles.nth(5).hover()
    tab.evaluate("""() => { window.moving = setInterval(() => document.getElementById('gallery-area')
      .dispatchEvent(new PointerEvent('pointermove', { pointerType: 'mouse' })), 20); }""")
    before, first = tab.evaluate(ORDER), tab.evaluate("simsearch.model('gallery_peaks').data.y[0]")
    tiles.nth(5).click()
    flagged = tab.locator(".tile.flagged").get_attribute("data-key")
    trial.find_others(2)
    tab.wait_for_function("(first) => simsearch.model('gallery_peaks').data.y[0] !== first", arg=first)
    wait_until(lambda: trial.said().negatives, "a negative")
    assert tab.evaluate(ORDER) == before
    assert tab.locator(".tile.flagged").get_attribute("data-key") == flagged
    tab.evaluate("clearInterval(window.moving)")
    leave(tab)
    wait_until(lambda: tab.evaluate(ORDER) != before, "the new order")
    assert tab.locator(".tile.flagged").count() == 0
    tab.locator("#gallery-jump button", has_text="Flagged 1").click()
    assert tab.evaluate(ORDER) == [flagged]
    tiles.first.click()  # takes it back; it stays where it is until the pointer has left
    wait_until(lambda: not trial.said().negatives, "no negative")
    assert tab.evaluate(ORDER) == [flagged]


def test_what_is_undone_before_the_page_hears_of_it_is_not_left_flagged(trial: Trial, tab: Tab) -> None:
    trial.is_told = False
    tile(tab, 5).click()
    wait_until(lambda: trial.said().negatives, "a negative")
    assert tab.locator(".tile.flagged").count() == 1
    trial.live.undo(trial.live.snapshot.history.entries[-1].user)
    trial.is_told = True
    trial.find_others(2)
    tab.get_by_role("button", name="Flagged 0").wait_for()
    assert tab.locator(".tile.flagged").count() == 0


def test_pictures_show_channels_as_the_viewer_does(trial: Trial, tab: Tab) -> None:
    tab.locator("#viewer-channels summary").click()
    bright = tab.get_by_role("spinbutton", name="shown brightest").first
    bright.fill("1500")
    bright.press("Tab")
    for picture in (tile(tab, 3).locator("img"), tab.locator("#class-list img").first):
        wait_until(lambda picture=picture: ",1500&" in str(picture.get_attribute("src")), "another contrast")


def test_a_similarity_map_says_what_its_colours_mean_and_is_faded(trial: Trial, tab: Tab) -> None:
    legend = tab.locator(".viewer-legend")
    assert legend.is_hidden()
    tab.locator("#viewer-heat").click()
    legend.wait_for()
    assert "similar to nuclear" in legend.inner_text()
    tab.locator("#viewer-layers summary").click()
    opacity = tab.get_by_label("Opacity of Similarity map")
    opacity.fill("0.5")
    alpha = "simsearch.model('viewer').renderers.find((each) => each.data_source?.name === 'heat').glyph.global_alpha"
    wait_until(lambda: tab.evaluate(f"{alpha}.value") == 0.5, "a faint map")
    tab.get_by_label("Show Similarity map").click()
    assert legend.is_hidden()


def test_names_of_images_are_read_at_1024_px_and_below_it_is_said_what_is_missing(trial: Trial, tab: Tab) -> None:
    tab.set_viewport_size({"width": 1024, "height": 768})
    assert tab.locator(".narrow").is_hidden()
    is_whole = "(name) => name.scrollWidth <= name.clientWidth && name.clientWidth > 0"
    wait_until(lambda: tab.locator("#viewer-image .image-name").evaluate(is_whole), "a name that is not cut")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1024
    tab.set_viewport_size({"width": 900, "height": 768})
    assert tab.locator(".narrow").is_visible()


def test_what_looks_alike_is_drawn_around_on_a_map_and_judged_at_once(
    trial: Trial, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = lattice(1).take(np.arange(40))
    at = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    made = PatchMap(found, np.stack([np.cos(at), np.sin(at)], axis=1))
    monkeypatch.setattr(trial.live, "patch_map", lambda name: made if name == NAMES[0] else None)
    tab.get_by_role("button", name="Map", exact=True).click()
    tab.get_by_text("Draw around some").wait_for()
    assert tab.locator(".gallery-grid .tile").count() == 0
    box = tab.locator("#gallery-map .slot").bounding_box()
    assert box
    corners = [(0.5, 0.01), (0.99, 0.01), (0.99, 0.99), (0.5, 0.99), (0.5, 0.02)]  # the right half
    tab.mouse.move(box["x"] + corners[0][0] * box["width"], box["y"] + corners[0][1] * box["height"])
    tab.mouse.down()
    for across, down in corners[1:]:
        tab.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"], steps=8)
    tab.mouse.up()
    n = int((np.cos(at) > 1e-6).sum())
    wait_until(lambda: f"{n} picked" in tab.locator("#picked-count").inner_text(), f"{n} regions that are picked")
    tab.keyboard.press("2")
    wait_until(lambda: len(trial.said(NAMES[1]).confirmed) == n, "regions of the other class")
    places = {(found.y[row], found.x[row]) for row in np.flatnonzero(np.cos(at) > 1e-6)}
    assert {(each.y, each.x) for each in trial.said(NAMES[1]).confirmed} == places
    assert tab.evaluate("simsearch.model('patch_map_points').selected.indices") == []  # the same may be drawn anew
    tab.get_by_role("button", name="Map", exact=True).click()
    assert tab.locator("#gallery-map").is_hidden()


def pictures(tab: Tab) -> list[str]:
    """List which pictures are asked of."""
    found: list[str] = tab.locator(".ask-picture img").evaluate_all("(all) => all.map((one) => one.src)")
    return found


def test_a_few_are_asked_of_and_it_is_told_what_was_gained(trial: Trial, tab: Tab) -> None:
    tab.get_by_role("button", name="Ask", exact=True).click()
    cards = tab.locator(".ask-card")
    wait_until(lambda: cards.count() == N_QUESTIONS, "questions")
    assert sorted("above" in text for text in cards.all_inner_texts()) == [False] * 6 + [True] * 6
    n = int(tab.locator("#threshold-count").inner_text().split()[0])
    above = tab.locator(".ask-card", has_text="above")
    above.nth(0).get_by_role("button", name="Yes").click()
    above.nth(1).get_by_role("button", name="No").click()
    above.nth(2).get_by_role("button", name="It is “cytoplasmic”").click()
    above.nth(3).hover()
    tab.keyboard.press("x")
    gain = "4 answered: 1 yes, 2 no, 1 of another class; 3 fewer above the threshold"
    tab.get_by_text(gain).wait_for()
    wait_until(lambda: len(trial.said().negatives) == 3, "three that do not belong")
    assert (len(trial.said().confirmed), len(trial.said(NAMES[1]).confirmed)) == (1, 1)
    shown = tab.locator(".ask-card.answered img")
    wait_until(lambda: shown.count() == 4, "four that are answered")
    answered = shown.evaluate_all("(all) => all.map((one) => one.src)")
    assert tab.locator("#threshold-count").inner_text().startswith(str(n - 3))
    leave(tab)
    wait_until(lambda: tab.locator(".ask-card.answered").count() == 0, "others to ask of")
    after = pictures(tab)
    assert (len(after), {*after} & {*answered}) == (N_QUESTIONS, set())
    trial.find_others(2)
    wait_until(lambda: set(pictures(tab)) != set(after), "questions of another search")
    assert tab.locator(".ask-gain").inner_text().startswith("4 answered: 1 yes, 2 no, 1 of another class; ")
