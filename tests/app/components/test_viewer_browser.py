"""In a real browser: images lie where they should, drags draw, boxes follow a threshold without asking the server."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from simsearch.app import shell
from simsearch.app.components.confidence_choice import ConfidenceChoice
from simsearch.app.components.viewing.scene import Layer, Mark, Scene
from simsearch.app.components.viewing.viewer import Viewer
from simsearch.app.context import Page
from simsearch.app.server.application import Site
from simsearch.app.session.live import LiveStudy
from simsearch.core.peaks import Peak, objects
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.curation.state import Patch
from simsearch.workflows.curate.study import StudyOptions, create_study
from simsearch.workflows.curate.trained import TrainedModel
from simsearch.workflows.run.predict import Predictions
from tests.app.browser import flawless_tab, wait_until
from tests.app.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab
    from tornado.ioloop import IOLoop

    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from tests.conftest import SaveImage

pytestmark = pytest.mark.browser

HEIGHT, WIDTH = 900, 1300
SHAPE = (40.0, 30.0)
TO_SCREEN = """([y, x]) => {
  const figure = Bokeh.documents[0].get_model_by_name('viewer');
  const view = Bokeh.index.find_one(figure);
  const corner = view.canvas_view.el.getBoundingClientRect();
  const { left, top, width, height } = view.frame.bbox;
  return [corner.left + left + (x - figure.x_range.start) / (figure.x_range.end - figure.x_range.start) * width,
          corner.top + top + (figure.y_range.end + y) / (figure.y_range.end - figure.y_range.start) * height];
}"""
ABOVE = """() => [...document.querySelectorAll('.bars')].map((bars) =>
  [...bars.querySelectorAll('.in')].reduce((sum, bar) => sum + Number(bar.dataset.n), 0))"""
ALL_LOADED = """() => {
  const tiles = [...simsearch.model('viewer').renderers[0].tile_source.tiles.values()];
  return tiles.length > 0 && tiles.every((tile) => tile.loaded);
}"""


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    with flawless_tab(chromium, height=720) as tab:
        yield tab


def marked(name: str) -> NDArray[np.uint16]:
    """Make an image, dark but for a bright square; in a also a bright bar along the lower border."""
    pixels = np.full((1, HEIGHT, WIDTH), 100, np.uint16)
    pixels[0, 200:260, 300:360] = 3000
    if name == "a":
        pixels[0, HEIGHT - 50 :, WIDTH // 2 :] = 3000
    return pixels


@pytest.fixture
def live(client: Client, save_image: SaveImage, tmp_path: Path) -> Iterator[LiveStudy]:
    """Open a study of two images."""
    paths = [save_image(tmp_path / f"{n}.ome.zarr", marked(n), pixel_size_um=(0.5, 0.5)).path for n in "ab"]
    with LiveStudy(client, create_study(tmp_path / "study", paths, StudyOptions(display=("a", "b")))) as live:
        yield live


def random_peaks(seed: int, n: int = 400) -> RankedPeaks:
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.uniform(0.05, 1, n).astype(np.float32))[::-1]
    return RankedPeaks(
        rng.integers(0, 2, n).astype(np.int32), rng.uniform(30, HEIGHT - 30, n), rng.uniform(30, WIDTH - 30, n), scores
    )


class Trial:
    """A page with nothing but a viewer, on which a square, a negative and random peaks are shown."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.peaks = random_peaks(1)
        self.loop: IOLoop | None = None

    def page(self, context: PageContext) -> Page:
        """Make the page."""
        viewer = Viewer(
            context, lambda *box: self.said.append(("box", *box)), lambda *flag: self.said.append(("flag", *flag))
        )
        layers = (Layer("cell", "#e69f00", 0.9, self.peaks, SHAPE),)
        marks = (Mark("prototype", "cell", "#ff0000", Patch.at("a", 229.5, 329.5), SHAPE),)

        def update(snapshot: Snapshot) -> None:
            viewer.draw(Scene(("a", "b"), layers, ("a", "b"), marks), snapshot.curation)

        return Page({"viewer": viewer.figure, "viewer_bar": viewer.bar}, update)


@pytest.fixture
def trial(live: LiveStudy, tab: Tab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """Show the trial in the tab."""
    source = (
        '{% extends "page.html" %}{% from "viewer.html" import viewer, viewer_assets with context %}'
        "{% block scripts %}{{ viewer_assets() }}{% endblock %}"
        "{% block main %}<div style='height: 100%; display: grid'>{{ viewer(slot, has_heat=true) }}</div>{% endblock %}"
    )
    monkeypatch.setattr(shell, "_template", lambda _: shell._templates().from_string(source))
    trial = Trial()
    with serving(live, Site({"trial": trial.page}, shell.mount_page, lambda _: "trial")) as server:
        trial.loop = server.io_loop
        tab.goto(f"http://127.0.0.1:{server.port}/trial")
        tab.wait_for_selector("html[data-ready]")
        tab.wait_for_function("simsearch.viewer.image === 'a'")
        tab.wait_for_function(ALL_LOADED)
        yield trial
        tab.goto("about:blank")  # before the server goes, which a page would complain about


def at(tab: Tab, y: float, x: float) -> tuple[float, float]:
    left, top = tab.evaluate(TO_SCREEN, [y, x])
    return left, top


def brightness(tab: Tab, y: float, x: float) -> int:
    """Read the screen at a place of the image."""
    left, top = at(tab, y, x)
    pixels = np.asarray(Image.open(BytesIO(tab.screenshot())).convert("L"))
    return int(pixels[round(top), round(left)])


def drag(tab: Tab, start: tuple[float, float], end: tuple[float, float], button: Any = "left") -> None:  # noqa: ANN401
    tab.mouse.move(*start)
    tab.mouse.down(button=button)
    tab.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
    tab.mouse.move(*end, steps=4)
    tab.mouse.up(button=button)


def in_view(tab: Tab) -> list[float]:
    found: list[float] = tab.evaluate("""() => {
      const { x_range: h, y_range: v } = simsearch.model('viewer');
      return [h.start, h.end, v.start, v.end];
    }""")
    return found


def test_the_image_lies_where_its_pixels_are(trial: Trial, tab: Tab) -> None:
    left, right, bottom, top = in_view(tab)
    assert left < 0 < WIDTH < right or bottom < -HEIGHT < 0 < top  # all of it is seen
    for y, x, is_bright in (
        (206, 306, True),
        (170, 330, False),
        (215, 400, False),
        (880, 1200, True),
        (880, 500, False),
    ):
        assert (brightness(tab, y, x) > 128) == is_bright, (y, x)
    assert tab.locator("#viewer-scale").inner_text() == "200 µm"


def test_what_is_seen_is_saved_as_a_picture_with_boxes_and_a_scale_bar(trial: Trial, tab: Tab) -> None:
    tab.evaluate("simsearch.viewer.centre(330, -230, 200, 200)")
    tab.wait_for_timeout(300)
    tab.wait_for_function(ALL_LOADED)
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save what is seen as a picture").click()
    assert download.value.suggested_filename == "a.png"
    with Image.open(download.value.path()) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    room = tab.evaluate("(() => { const { width, height } = simsearch.viewer.frame(); return [height, width]; })()")
    assert pixels.shape == (round(room[0]), round(room[1]), 3)
    scale = tab.evaluate("simsearch.viewer.scale()")

    def color(y: float, x: float) -> list[int]:
        found: list[int] = pixels[
            round(room[0] / 2 + (y - 230) / scale), round(room[1] / 2 + (x - 330) / scale)
        ].tolist()
        return found

    assert min(color(206, 306)) > 128 > max(color(170, 330))  # the square, and beside it
    assert color(230, 330 - SHAPE[1] / 2)[0] > 200 > 60 > color(230, 330 - SHAPE[1] / 2)[1]  # the red box
    assert pixels[-16, 16].tolist() == pytest.approx([243, 244, 248], abs=3)  # the scale bar


def test_a_plain_drag_draws_a_box_of_exactly_these_pixels(trial: Trial, tab: Tab) -> None:
    tab.evaluate("simsearch.viewer.centre(330, -230, 200, 200)")
    drag(tab, at(tab, 200, 300), at(tab, 260, 360))
    wait_until(lambda: trial.said, "a box")
    tab.mouse.move(*at(tab, 200, 300))
    tab.mouse.down()
    tab.wait_for_timeout(400)  # who thinks before moving draws a box too
    tab.mouse.move(*at(tab, 260, 360), steps=4)
    tab.mouse.up()
    wait_until(lambda: len(trial.said) == 2, "another box")
    for what, image, *box in trial.said:
        assert (what, image) == ("box", "a")
        assert box == pytest.approx([229.5, 329.5, 60, 60], abs=0.5)


def test_a_drag_of_a_few_pixels_of_the_screen_draws_nothing_however_much_of_the_image_that_is(
    trial: Trial, tab: Tab
) -> None:
    tab.evaluate("simsearch.viewer.centre(650, -450, 12000, 8000)")  # an image of 100 px
    start = at(tab, 300, 300)
    drag(tab, start, (start[0] + 5, start[1] + 5))
    drag(tab, start, (start[0] + 30, start[1] + 30))
    wait_until(lambda: trial.said, "a box")
    ((_, _, _, _, *sides),) = trial.said
    assert min(sides) > 200


def test_a_drag_that_begins_beside_the_image_draws_nothing_and_spoils_no_other(trial: Trial, tab: Tab) -> None:
    tab.evaluate("simsearch.viewer.centre(330, -230, 200, 200)")
    box = tab.locator(".viewer-bar").bounding_box()
    assert box
    for outside in ((box["x"] + 4, box["y"] + box["height"] / 2), (640.0, 700.0), (at(tab, 230, 330)[0], 2.0)):
        drag(tab, outside, at(tab, 230, 330))
        drag(tab, outside, (700.0, 710.0))
    assert tab.evaluate("String(document.getSelection())") == ""
    drag(tab, at(tab, 200, 300), at(tab, 260, 360))
    wait_until(lambda: trial.said, "a box")
    ((_, image, *drawn),) = trial.said
    assert image == "a"
    assert drawn == pytest.approx([229.5, 329.5, 60, 60], abs=0.5)


def test_a_page_that_the_browser_had_put_aside_is_loaded_again(trial: Trial, tab: Tab) -> None:
    tab.evaluate("window.isOld = true")
    tab.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: false }))")
    assert tab.evaluate("window.isOld")
    tab.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    tab.wait_for_function("!window.isOld && 'ready' in document.documentElement.dataset")


def test_scripts_of_another_version_than_the_server_say_so(
    trial: Trial, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tab.locator(".toast").count() == 0
    monkeypatch.setattr(shell, "scripts_version", lambda: "of before")
    tab.reload()
    tab.locator(".toast", has_text="not of the same version of simsearch as the server: reload it").wait_for()
    assert trial.said == []


def test_what_a_silent_server_has_not_answered_is_not_called_saved(trial: Trial, tab: Tab) -> None:
    saved = tab.locator("#saved")
    wait_until(lambda: saved.inner_text() == "Nothing changed yet", "a page that waits for nothing")
    assert trial.loop is not None
    goes_on = threading.Event()
    trial.loop.add_callback(goes_on.wait, 120)
    tab.evaluate("simsearch.model('viewer_bar').up = JSON.stringify({ kind: 'heat', name: null, number: 1 })")
    wait_until(lambda: saved.inner_text() == "Saving …", "a page that says that it waits")
    wait_until(lambda: saved.inner_text() == "Not saved yet", "a page that says that nothing is answered")
    assert "The server does not answer" in tab.locator("#banner").inner_text()
    goes_on.set()
    wait_until(lambda: saved.inner_text() == "Nothing changed yet", "a page that waits for nothing")
    assert tab.locator("#banner").is_hidden()


def test_the_image_moves_with_shift_with_the_right_button_and_with_keys(trial: Trial, tab: Tab) -> None:
    tab.evaluate("simsearch.viewer.fit()")
    before = in_view(tab)
    middle = at(tab, 450, 650)
    tab.keyboard.down("Shift")
    drag(tab, middle, (middle[0] + 100, middle[1]))
    tab.keyboard.up("Shift")
    after = in_view(tab)
    assert after[0] < before[0]
    assert after[2] == pytest.approx(before[2])
    drag(tab, middle, (middle[0] - 100, middle[1]), button="right")
    assert in_view(tab) == pytest.approx(before, abs=2)
    tab.keyboard.press("ArrowRight")
    assert in_view(tab)[0] > before[0]
    tab.keyboard.press("+")
    zoomed = in_view(tab)
    assert zoomed[1] - zoomed[0] < before[1] - before[0]
    tab.keyboard.press("0")
    assert in_view(tab) == pytest.approx(before, abs=2)
    time.sleep(0.3)
    assert trial.said == []  # nothing was drawn


def test_the_right_button_opens_no_menu(trial: Trial, tab: Tab) -> None:
    tab.mouse.click(*at(tab, 450, 650), button="right")
    tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert tab.locator(".bk-ToolMenu").count() == 0
    assert trial.said == []


def test_boxes_follow_a_threshold_and_the_server_is_not_asked(trial: Trial, tab: Tab) -> None:
    tab.wait_for_function("Bokeh.documents[0].is_idle")  # Bokeh has said so to the server, which is the last it says
    changed: list[str] = []

    def note(frame: dict[str, Any]) -> None:
        content = json.loads(frame["response"]["payloadData"])
        changed.extend(str(event.get("attr", event["kind"])) for event in content.get("events", ()))

    session = tab.context.new_cdp_session(tab)
    session.on("Network.webSocketFrameSent", note)
    session.send("Network.enable")
    here = trial.peaks.score[trial.peaks.image == 0]
    for least in (0.8, 0.5, 0.05, 0.95):
        shown = tab.evaluate("least => simsearch.viewer.threshold('cell', least)", least)
        assert shown == int((here >= np.float32(least)).sum())
        kept = tab.evaluate("""() => {
          const figure = simsearch.model('viewer');
          const renderer = figure.renderers.find((each) => each.data_source?.name === 'peaks:cell');
          return Bokeh.index.find_one(renderer).glyph.data_size;
        }""")
        assert kept == shown
    tab.wait_for_timeout(300)
    tab.evaluate("simsearch.viewer.zoom(2)")  # is told to the server: what was told before has come before it
    wait_until(lambda: tab.evaluate("true") and changed, "word of the zoom")
    assert set(changed) <= {"start", "end"}


def test_a_click_on_a_box_is_told_and_beside_it_is_not(trial: Trial, tab: Tab) -> None:
    row = int(np.flatnonzero(trial.peaks.image == 0)[0])  # the best on the image
    y, x = float(trial.peaks.y[row]), float(trial.peaks.x[row])
    tab.mouse.click(*at(tab, y + 0.5, x + 0.5))
    wait_until(lambda: trial.said, "a flag")
    assert trial.said == [("flag", "cell", "a", y, x)]
    tab.mouse.click(*at(tab, 5, 5))
    time.sleep(0.3)
    assert len(trial.said) == 1


def test_images_are_changed_by_a_list_and_keys_and_remember_where_one_was(trial: Trial, tab: Tab) -> None:
    tab.evaluate("simsearch.viewer.centre(330, -230, 200, 200)")
    before = in_view(tab)
    tab.locator("#viewer-image summary").click()
    tab.get_by_role("option", name="b").click()
    tab.wait_for_function("simsearch.viewer.image === 'b'")
    tab.wait_for_function(ALL_LOADED)
    assert brightness(tab, 206, 306) > 128
    assert brightness(tab, 880, 1200) < 128  # the bar is in the other image
    tab.keyboard.press("p")
    tab.wait_for_function("simsearch.viewer.image === 'a'")
    wait_until(lambda: in_view(tab) == pytest.approx(before, abs=1), "the place where one was")


def test_the_place_is_kept_over_a_reload_and_all_of_an_image_stays_in_view_in_another_window(
    trial: Trial, tab: Tab
) -> None:
    tab.set_viewport_size({"width": 900, "height": 500})
    wait_until(lambda: in_view(tab)[2] < -HEIGHT and in_view(tab)[3] > 0, "all of the image")
    tab.keyboard.press("n")
    tab.wait_for_function("simsearch.viewer.image === 'b'")
    tab.evaluate("simsearch.viewer.centre(330, -230, 200, 200)")
    before = in_view(tab)
    tab.set_viewport_size({"width": 1280, "height": 720})
    wait_until(lambda: in_view(tab)[1] - in_view(tab)[0] > 1.2 * (before[1] - before[0]), "more of the image")
    assert (in_view(tab)[0] + in_view(tab)[1]) / 2 == pytest.approx(330, abs=1)
    tab.evaluate("""() => {  // a place that is gone to while the room changes
      document.querySelector('.viewer').style.height = '300px';
      simsearch.viewer.centre(600, -500, 100, 100);
    }""")
    wait_until(lambda: tab.evaluate("simsearch.viewer.frame().height < 300"), "less room")
    tab.wait_for_timeout(200)
    assert tab.evaluate("simsearch.viewer.middle()") == pytest.approx({"x": 600, "y": -500}, abs=1)
    tab.evaluate("document.querySelector('.viewer').style.height = ''")
    tab.evaluate("new Promise((done) => setTimeout(done, 300))")
    kept = in_view(tab)
    tab.reload()
    tab.wait_for_function("window.simsearch?.viewer?.image === 'b'")
    wait_until(lambda: in_view(tab) == pytest.approx(kept, abs=1), "the place where one was")


def test_an_image_is_found_in_the_list_by_its_name(trial: Trial, tab: Tab) -> None:
    tab.locator("#viewer-image summary").click()
    options = tab.locator(".image-list [role=option]")
    wait_until(lambda: options.all_inner_texts() == ["a", "b"], "both images")
    tab.wait_for_function("document.activeElement.id === 'viewer-image-list'")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    tab.wait_for_function("simsearch.viewer.image === 'b'")
    assert not tab.locator("#viewer-image-list").is_visible()


def test_the_pointer_is_told_where_it_is_and_what_is_there(trial: Trial, tab: Tab) -> None:
    tab.mouse.move(*at(tab, 230.5, 330.5))
    wait_until(lambda: "3,000" in tab.locator("#viewer-intensities").inner_text(), "the intensity of the square")
    assert re.fullmatch(
        r"x 3\d\d, y 2\d\d px · 16\d(\.\d)? µm, 11\d(\.\d)? µm", tab.locator("#viewer-place").inner_text()
    )


def test_zoom_buttons_and_the_overview(trial: Trial, tab: Tab) -> None:
    assert tab.locator("#viewer-overview").is_hidden()  # all of the image is seen
    tab.get_by_role("button", name="A pixel of the image as one of the screen").click()
    assert tab.locator("#viewer-zoom").inner_text() == "100 %"
    tab.locator("#viewer-overview").wait_for()
    box = tab.locator("#viewer-overview").bounding_box()
    assert box
    tab.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
    assert in_view(tab)[1] > WIDTH > in_view(tab)[0] > 0
    tab.get_by_role("button", name="Zoom out").click()
    assert tab.locator("#viewer-zoom").inner_text() == "71 %"
    tab.get_by_role("button", name="Fit").click()
    assert tab.locator("#viewer-overview").is_hidden()
    time.sleep(0.2)
    assert trial.said == []


def test_channels_have_numbers_fit_the_image_and_go_with_escape(trial: Trial, tab: Tab) -> None:
    fold = tab.locator("#viewer-channels")
    fold.locator("summary").click()
    bright = fold.get_by_label("shown brightest", exact=False).first
    number = fold.locator("input[type=number]").nth(1)
    number.fill("50000")
    number.press("Enter")
    wait_until(lambda: brightness(tab, 230, 250) < 20 and brightness(tab, 206, 306) < 60, "a darker image")
    fold.get_by_role("button", name="Auto").click()
    wait_until(lambda: brightness(tab, 206, 306) > 200, "a bright square")
    number.fill("1")
    number.press("Enter")
    fold.get_by_text("Bright must be more than dark").wait_for()
    wait_until(lambda: float(number.input_value()) > 1, "the number of before")
    gamma = fold.get_by_label("gamma", exact=False).last
    gamma.fill("0")
    gamma.press("Enter")
    fold.get_by_text("Gamma is from 0.1 to 10").wait_for()
    gamma.fill("0.3")
    gamma.press("Enter")
    wait_until(lambda: "0.3" in tab.evaluate("simsearch.model('viewer').renderers[0].tile_source.url"), "other tiles")
    assert bright.is_visible()
    tab.keyboard.press("Escape")
    assert not bright.is_visible()
    tab.reload()
    tab.wait_for_selector("html[data-ready]")
    fold.locator("summary").click()
    wait_until(lambda: gamma.input_value() == "0.3", "the looks of before the reload")
    wait_until(lambda: "0.3" in tab.evaluate("simsearch.model('viewer').renderers[0].tile_source.url"), "its tiles")
    fold.get_by_role("button", name="Reset").click()
    wait_until(lambda: gamma.input_value() == "1", "the looks of the beginning")
    tab.keyboard.press("Escape")
    fold.locator("summary").click()
    tab.mouse.click(*at(tab, 5, 5))
    assert not bright.is_visible()


def glyph_rows(tab: Tab, name: str) -> int:
    found: int = tab.evaluate(
        """name => {
      const renderer = simsearch.model('viewer').renderers.find((each) => each.data_source?.name === name);
      return renderer.visible ? Bokeh.index.find_one(renderer).glyph.data_size : 0;
    }""",
        name,
    )
    return found


def test_a_class_is_hidden_faded_and_all_put_aside_while_a_key_is_held(trial: Trial, tab: Tab) -> None:
    tab.locator("#viewer-layers summary").click()
    shown = glyph_rows(tab, "peaks:cell")
    assert shown > 0
    assert glyph_rows(tab, "marks") == 1
    tab.get_by_role("slider", name="Opacity of cell").fill("0.4")
    alpha = (
        "simsearch.model('viewer').renderers.find((r) => r.data_source?.name === 'peaks:cell').glyph.line_alpha.value"
    )
    assert tab.evaluate(alpha) == 0.4
    tab.get_by_role("button", name="Show cell").click()
    assert (glyph_rows(tab, "peaks:cell"), glyph_rows(tab, "marks")) == (0, 0)
    row = int(np.flatnonzero(trial.peaks.image == 0)[0])
    tab.keyboard.press("Escape")
    tab.mouse.click(*at(tab, float(trial.peaks.y[row]) + 0.5, float(trial.peaks.x[row]) + 0.5))
    tab.locator("#viewer-layers summary").click()
    tab.get_by_role("button", name="Show cell").click()
    assert (glyph_rows(tab, "peaks:cell"), glyph_rows(tab, "marks")) == (shown, 1)
    tab.keyboard.press("Escape")
    tab.keyboard.down("h")
    assert (glyph_rows(tab, "peaks:cell"), glyph_rows(tab, "marks")) == (0, 0)
    tab.keyboard.up("h")
    assert (glyph_rows(tab, "peaks:cell"), glyph_rows(tab, "marks")) == (shown, 1)
    time.sleep(0.2)
    assert trial.said == []  # what is hidden is not flagged


def test_very_many_boxes_become_a_density_until_one_zooms_in(trial: Trial, tab: Tab) -> None:
    tab.evaluate("""() => {
      const n = 100000, source = simsearch.model('peaks:cell');
      const column = (make, type = Float32Array) => type.from({ length: n }, (_, row) => make(row));
      const data = { x: column((row) => (row * 7919) % 1300), y: column((row) => -((row * 104729) % 900)),
        score: column((row) => 1 - row / n), is_flagged: new Uint8Array(n), is_own: new Uint8Array(n) };
      source.setv({ data }, { sync: false });
      simsearch.viewer.threshold('cell', 0);
    }""")
    note = tab.get_by_text("100,000 cell in view. Zoom in to see each.")
    note.wait_for()
    assert glyph_rows(tab, "peaks:cell") == 0
    tab.evaluate("simsearch.viewer.threshold('cell', 0.5)")
    tab.get_by_text("50,001 cell in view").wait_for()
    tab.evaluate("simsearch.viewer.centre(330, -230, 40, 40)")
    wait_until(lambda: 50 < glyph_rows(tab, "peaks:cell") < 5000, "boxes near the view")
    before = glyph_rows(tab, "peaks:cell")
    tab.evaluate("simsearch.viewer.centre(10, -10, 40, 40)")
    wait_until(lambda: 0 < glyph_rows(tab, "peaks:cell") < before, "those of a corner")
    assert tab.get_by_text("in view. Zoom in").is_hidden()


MODEL = TrainedModel(
    "m",
    __file__,
    "f",
    "dense",
    ("cell", "dust"),
    {"cell": SHAPE, "dust": (9.0, 12.0)},
    {"cell": 0.5, "dust": 0.4},
    "2026-01-01T00:00:00+00:00",
    {},
    {},
)  # type: ignore[arg-type]  # no model file is read


def test_the_browser_counts_objects_as_detection_does(live: LiveStudy, tab: Tab) -> None:
    found = Predictions("m", ("a", "b"), {"cell": random_peaks(2), "dust": random_peaks(3)}, {})

    def page(context: PageContext) -> Page:
        viewer = Viewer(context)
        choice = ConfidenceChoice(context, viewer.draw)

        def show(snapshot: Snapshot) -> None:
            choice.show(found, replace(snapshot, models=(MODEL,)), MODEL)

        roots = {"viewer": viewer.figure, "viewer_bar": viewer.bar, "confidence": choice.root}
        return Page({**roots, "confidence_peaks": choice.peaks}, show)

    peaks = [
        Peak(
            *(found.images[each.image[row]], name, float(each.y[row]), float(each.x[row])),
            patch_shape=MODEL.patch_shapes[name],
            score=float(each.score[row]),
        )
        for name, each in found.by_class.items()
        for row in range(len(each))
    ]
    with serving(live, Site({"confidence": page}, shell.mount_page, lambda _: "confidence")) as server:
        tab.goto(f"http://127.0.0.1:{server.port}/confidence")
        tab.wait_for_selector("html[data-ready]")
        tab.wait_for_function("window.simsearch.confidence?.counts")
        for thresholds in ({"cell": 0.5, "dust": 0.4}, {"cell": 0.8, "dust": 0.4}, {"cell": 0.8, "dust": 0.05}):
            for name, least in thresholds.items():
                slider = tab.get_by_role("slider", name=f"Confidence of {name}")
                slider.evaluate("(s, v) => { s.value = v; s.dispatchEvent(new Event('input')); }", least)
            kept = [peak.class_name for peak in objects(peaks, thresholds)]
            assert tab.evaluate("simsearch.confidence.counts") == {name: kept.count(name) for name in thresholds}
            assert tab.evaluate(ABOVE) == [kept.count(name) for name in thresholds]
        assert tab.locator(".bars-axis").first.inner_text().split() == ["0.2", "0.4", "0.6", "0.8", "1"]
        counts = tab.locator(".bars").first.locator("rect").evaluate_all("(bars) => bars.map((bar) => bar.dataset.n)")
        assert tab.locator(".bars-most").first.inner_text() == str(max(map(int, counts)))
        tab.goto("about:blank")
