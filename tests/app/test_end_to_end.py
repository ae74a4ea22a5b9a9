"""A person with a browser does the whole work of the paper on a synthetic plate; the server is killed on the way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from simsearch.app.steps import STEPS
from simsearch.core.synthetic import CYTOPLASM, NUCLEUS, CellField, cell_field
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.curate.study import StudyOptions, create_study, open_study, read_curation
from tests.app.axe import grave_findings
from tests.app.browser import ENVIRONMENT, LONG_PATIENCE_S, SIMSEARCH, Person, Server, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client
    from playwright.sync_api import Browser, Page

    from simsearch.curation.state import Curation

pytestmark = pytest.mark.browser

SIDE, N_CELLS, PATCH = 320, 30, 48
NUCLEAR_FRACTIONS = {"A01": 0.15, "A02": 0.5, "A03": 0.85, "B01": 0.15, "B02": 0.5, "B03": 0.85}
LOOKS = ((1280, 720, "light"), (1920, 1080, "dark"))


@pytest.fixture(scope="module")
def fields() -> dict[str, CellField]:
    """Draw a field for each well."""
    rng = np.random.default_rng(3)
    return {
        well: cell_field(rng, (SIDE, SIDE), n_cells=N_CELLS, nuclear_fraction=fraction, no_gfp_fraction=0.25)
        for well, fraction in NUCLEAR_FRACTIONS.items()
    }


@pytest.fixture
def plate(client: Client, fields: dict[str, CellField], tmp_path: Path) -> Path:
    """Convert the fields to a plate with a plate map."""
    source = tmp_path / "source"
    source.mkdir()
    for well, drawn in fields.items():
        for channel, pixels in zip(("GFP", "DNA"), drawn.image, strict=True):
            Image.fromarray(pixels).save(source / f"{well}_{channel}.tif")
    rows = [f"{well},synthetic,{2 ** int(well[1:])},nM" for well in fields]
    (source / "platemap.csv").write_text("\n".join(["well,drug,dose,unit", *rows]))
    options = ConvertOptions(
        plate_pattern=r"(?P<row>[A-P])(?P<column>\d\d)_(?P<channel>\w+)\.tif",
        plate_map=source / "platemap.csv",
        pixel_size_um=(0.65, 0.65),
    )
    convert(client, [source], tmp_path / "plate.ome.zarr", options)
    return tmp_path / "plate.ome.zarr"


@pytest.fixture
def server(plate: Path, tmp_path: Path) -> Iterator[Server]:
    """Serve a study of the plate."""
    create_study(tmp_path / "screen", [plate], StudyOptions(display=("plate/A/01/0", "plate/A/03/0")))
    server = Server(tmp_path / "screen", tmp_path / "server.log")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def album(tmp_path: Path) -> Album:
    """Keep screenshots, and tell where."""
    album = Album(tmp_path / "screenshots")
    print(f"Screenshots: {album.folder}")  # noqa: T201  people look at them
    return album


@dataclass
class Album:
    """Screenshots of pages at two sizes, one of them light and one dark."""

    folder: Path
    names: list[str] = field(default_factory=list)
    grave: list[str] = field(default_factory=list)
    """What is wrong for people who see, hear or move otherwise."""

    def __post_init__(self) -> None:
        chosen = os.environ.get("SIMSEARCH_SCREENSHOTS")
        if chosen:
            self.folder = type(self.folder)(chosen)
        self.folder.mkdir(parents=True, exist_ok=True)

    def shoot(self, page: Page, name: str) -> None:
        """Take them, check that nothing is wider than the window, and note what breaks rules of accessibility."""
        size = page.viewport_size
        page.evaluate("document.querySelectorAll('.toast.good').forEach((toast) => toast.remove())")
        for width, height, scheme in LOOKS:
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(400)  # pictures of the new size arrive
            page.screenshot(path=self.folder / f"{name}-{width}-{scheme}.png")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert page.evaluate("document.documentElement.scrollHeight") <= height, name
            self.grave += [f"{name}, {scheme}: {each}" for each in grave_findings(page)]
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(size)
        self.names.append(name)


def _cell(drawn: CellField, class_name: str, number: int = 0) -> tuple[float, float]:
    """Find a cell whose box lies inside the image."""
    margin = PATCH / 2 + 4
    inside = [
        (cell.y, cell.x)
        for cell in drawn.cells
        if cell.class_name == class_name and margin < cell.y < SIDE - margin and margin < cell.x < SIDE - margin
    ]
    return inside[number]


def _well(image: str) -> str:
    return "".join(image.split("/")[1:3])


def _choose_images(ada: Person, album: Album) -> None:
    page = ada.page
    page.goto(ada.server.url)
    page.wait_for_url("**/images")  # where there is something to do
    page.wait_for_selector("html[data-ready]")
    page.get_by_label("Well B02").click()
    page.get_by_text("You look at 3 images").wait_for()
    assert ada.server.curation().displayed == ("plate/A/01/0", "plate/A/03/0", "plate/B/02/0")
    page.get_by_label("Well B02").hover()
    assert "synthetic 4 nM" in str(page.get_by_label("Well B02").get_attribute("data-tip"))
    album.shoot(page, "1-images")
    page.get_by_role("button", name="Thumbnails").click()
    assert page.locator(".thumbnails .tile").count() == len(NUCLEAR_FRACTIONS)
    page.get_by_placeholder("Find by name").fill("B0")
    wait_until(lambda: page.locator(".thumbnails .tile").count() == 3, "three images in row B")


def _choose_channels(ada: Person, album: Album) -> None:
    page = ada.page
    ada.step("Channels")
    page.get_by_role("table", name="Correlation of channels").wait_for()
    page.get_by_role("button", name="Channel DNA", exact=True).click()
    wait_until(lambda: ada.server.curation().channels == ("GFP",), "one channel")
    page.keyboard.press("z")
    wait_until(lambda: len(ada.server.curation().channels) == 2, "both channels again")
    ticks = page.locator(".histogram").first.locator(".tick-x")
    wait_until(lambda: ticks.count() >= 3, "an axis of intensities")
    album.shoot(page, "2-channels")


def _draw_classes(ada: Person, fields: dict[str, CellField], album: Album) -> None:
    page = ada.page
    ada.step("Regions")
    page.get_by_text("Drag a box around something you look for").wait_for()
    album.shoot(page, "3-regions-empty")
    first = fields[_well(ada.shown_image())]
    ada.drag_box(*_cell(first, CYTOPLASM), PATCH)
    page.get_by_text("class 1", exact=True).first.dblclick()
    page.get_by_label("Name of the class").fill("cytoplasm")
    page.keyboard.press("Enter")
    page.locator(".class-name", has_text="cytoplasm").wait_for()
    ada.first(".gallery-grid .tile").wait_for()
    one_prototype = ada.numbers("#threshold-count")
    ada.drag_box(*_cell(first, CYTOPLASM, 1), PATCH / 2)  # of another size: its centre counts
    page.get_by_text("2 boxes").wait_for()
    wait_until(lambda: ada.numbers("#threshold-count") != one_prototype, "other suggestions")
    page.keyboard.press("c")
    page.locator(".class-name", has_text="class 1").wait_for()
    page.keyboard.press("n")  # the next image has more of them
    wait_until(lambda: ada.shown_image() == "plate/A/03/0", "the next image")
    ada.drag_box(*_cell(fields["A03"], NUCLEUS), PATCH)
    page.get_by_text("Like “class 1”").wait_for()
    ada.first(".gallery-grid .tile").wait_for()
    curation = ada.server.curation()
    assert [(each.name, len(each.prototypes)) for each in curation.classes] == [("cytoplasm", 2), ("class 1", 1)]
    assert curation.patch_shape is not None
    assert all(abs(side - PATCH) <= 2 for side in curation.patch_shape)
    ada.saved()


def _raise_threshold(ada: Person, n_less: int) -> None:
    """Drag the slider until so many suggestions less are left on this image: counts follow, and then the journal."""
    page = ada.page
    page.locator("#gallery-state").wait_for(state="hidden")
    before, n_actions = ada.numbers("#threshold-count"), len(_entries(ada.server))
    slider = page.locator("#threshold")
    box = slider.bounding_box()
    assert box is not None
    now, name = float(slider.input_value()), page.evaluate("simsearch.viewer.activeClass()")
    scores = sorted(page.evaluate("(name) => [...simsearch.model(`peaks:${name}`).data.score]", name), reverse=True)
    to = scores[sum(score >= now for score in scores) - n_less]
    y, inner = box["y"] + box["height"] / 2, box["width"] - 16
    page.mouse.move(box["x"] + 8 + now * inner, y)
    page.mouse.down()
    for value in np.linspace(now, to, 12):
        page.mouse.move(box["x"] + 8 + value * inner, y)
    wait_until(lambda: float(slider.input_value()) != now, "a slider that follows the mouse")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    during = ada.numbers("#threshold-count")
    assert during != before
    assert len(_entries(ada.server)) == n_actions
    page.mouse.up()
    value = float(slider.input_value())
    wait_until(lambda: _threshold(ada) == value, "the threshold on the disk")
    assert ada.numbers("#threshold-count") == during
    assert len(_entries(ada.server)) == n_actions + 1


def _threshold(ada: Person) -> float | None:
    name = str(ada.page.evaluate("simsearch.viewer.activeClass()"))
    return ada.server.curation().roi_class(name).similarity_threshold


def _entries(server: Server) -> list[str]:
    return (server.study / "curation.jsonl").read_text().splitlines()


def _flag_negatives(ada: Person, class_name: str, n: int) -> None:
    """Flag suggestions near the threshold; one of them is taken back, and flagged again in the image."""
    page = ada.page
    page.get_by_role("button", name="Threshold", exact=True).click()

    def flagged() -> int:
        return len(ada.server.curation().roi_class(class_name).negatives)

    before, shown = flagged(), ada.numbers("#threshold-count")[0]
    for number in range(n):
        page.locator(".gallery-grid .tile:not(.below):not(.flagged):not(.own)").last.click()
        wait_until(lambda number=number: flagged() == before + number + 1, "a negative")
    wait_until(lambda: ada.numbers("#threshold-count")[0] == shown - n, "as many suggestions less")
    page.locator("#gallery-jump button", has_text="Flagged").click()
    wait_until(lambda: page.locator(".gallery-grid .tile").count() == before + n, "the flagged ones alone")
    page.locator(".gallery-grid .tile.flagged").last.click()
    wait_until(lambda: flagged() == before + n - 1, "a flag taken back")
    page.keyboard.press("z")
    wait_until(lambda: flagged() == before + n, "the flag, since that was undone")
    page.locator("#gallery-jump button", has_text="Flagged").click()


def _accept(ada: Person, class_name: str) -> None:
    page = ada.page
    n = ada.numbers("#threshold-count")[0]
    wait_until(lambda: page.locator("#accept").is_enabled(), "a class that can be accepted")
    page.locator("#accept").click()
    page.get_by_role("button", name=f"Accepted {n}", exact=True).wait_for()
    accepted = ada.server.curation().roi_class(class_name)
    assert (accepted.is_accepted, len(accepted.positives)) == (True, n)


def _see_it_crash(ada: Person) -> None:
    """Kill the server; the page says so, comes back by itself, and nothing is lost."""
    page, before = ada.page, ada.server.curation()
    class_name = page.evaluate("simsearch.viewer.activeClass()")
    ada.server.kill()
    page.get_by_text("The connection to the server is lost").wait_for()
    n_before = len(ada.problems)
    ada.server.start()
    page.get_by_text("The connection to the server is lost").wait_for(state="hidden")
    page.wait_for_selector("html[data-ready]")
    ada.problems[:] = [
        each for each in ada.problems[:n_before] if "ERR_CONNECTION" not in each and "WebSocket" not in each
    ]
    assert ada.server.curation() == before
    wait_until(lambda: page.evaluate("simsearch.viewer.activeClass()") == class_name, "the class that was active")
    ada.first(".gallery-grid .tile").wait_for()


def _work_beside(ada: Person, bob: Person) -> None:
    """See that changes of one reach the other, and that each undoes their own."""
    bob.go("regions")
    bob.page.locator(".class-name", has_text="cytoplasm").wait_for()
    ada.page.get_by_label("Colour of cytoplasm").click()
    ada.page.get_by_role("button", name="#d55e00").click()
    bob.page.locator(".class-row[style*='#d55e00']").wait_for()
    ada.page.keyboard.press("z")
    bob.page.locator(".class-row[style*='#e69f00']").wait_for()


_LOOK_THROUGH = """async () => {
    for (const grid of document.querySelectorAll(".judged-grid"))
        for (let top = 0; top < grid.scrollHeight; top += grid.clientHeight / 2) {
            grid.scrollTo(0, top);
            await new Promise((done) => setTimeout(done, 100));
        }
}"""


def _check_background(ada: Person, album: Album) -> None:
    page = ada.page
    ada.step("Background")
    ada.first(".judged .tile").click()
    wait_until(lambda: len(ada.server.curation().not_background) == 1, "a patch that is not background")
    wait_until(lambda: page.locator("#background-accept").is_enabled(), "background that can be accepted")
    _answer(ada, "Yes", lambda state: sum(len(each.confirmed) for each in state.classes))
    _answer(ada, "No", lambda state: len(state.background))
    _draw_background(ada)
    accept, before = page.locator("#background-accept"), ada.numbers("#background-accept")
    assert before[0] > before[1] > 0  # of all that would be accepted, so many were not looked at
    page.locator("#background-more").click()
    wait_until(lambda: ada.numbers("#background-accept")[0] > before[0], "more to choose from")
    page.evaluate(_LOOK_THROUGH)
    wait_until(lambda: "not looked at" not in accept.inner_text(), "a person who has looked at all")
    album.shoot(page, "4-background")
    page.locator("#background-accept").click()
    wait_until(lambda: ada.server.curation().is_background_accepted, "accepted background")
    assert ada.server.curation().background


def _draw_background(ada: Person) -> None:
    """See where something that may be background lies, and say with keys alone that it is; take that back."""
    ada.settle()
    n_before, tile = len(ada.server.curation().background), ada.first(".judged-easy .tile")

    def is_shown() -> bool:
        """Ask for the place of the first picture, which changes as long as others are suggested."""
        tile.hover()
        row, column = re.findall(r"row (\d+), column (\d+)", str(tile.get_attribute("aria-label")))[0]
        ada.page.keyboard.press("v")
        ada.page.wait_for_timeout(300)
        away = f"Math.hypot(simsearch.viewer.middle().x - {column}.5, simsearch.viewer.middle().y + {row}.5)"
        return float(ada.page.evaluate(away)) < 2

    wait_until(is_shown, "a view of that place")
    ada.page.locator(".slot-viewer").focus()
    ada.page.keyboard.press("b")
    wait_until(lambda: len(ada.server.curation().background) == n_before + 1, "background that was drawn")
    ada.page.keyboard.press("z")
    wait_until(lambda: len(ada.server.curation().background) == n_before, "no such background again")


def _answer(ada: Person, words: str, count: Callable[[Curation], int]) -> None:
    """Say what a place is that looks like a class."""
    button, before = ada.first(f".asked-card:not(.answered) button:text('{words}')"), count(ada.server.curation())
    button.click()
    wait_until(lambda: count(ada.server.curation()) == before + 1, f"what {words} means")


def _train(ada: Person, album: Album) -> int:
    """Train without other images, which is quick; the tab is closed meanwhile. Returns how long the journal was."""
    page = ada.page
    ada.step("Train")
    page.get_by_label("Learn from other images too").uncheck()
    n_entries = len(_entries(ada.server))
    page.locator("#train-start").click()
    page.locator("#train-job .stage svg").first.wait_for()  # the curve of the first losses
    album.shoot(page, "5-train")
    page.goto("about:blank")
    models = ada.server.study / "models"
    wait_until(lambda: list(models.glob("*/model.safetensors")), "a model, though nobody looks", LONG_PATIENCE_S)
    ada.go("train")
    page.locator("#train-models .model").wait_for()
    album.shoot(page, "5-train-done")
    return n_entries


def _choose_confidence(ada: Person, album: Album) -> None:
    page = ada.page
    ada.step("Confidence")
    slider = page.get_by_label("Confidence of cytoplasm")
    slider.wait_for()
    assert "In images that were held out" in page.locator(".confidence-class").first.inner_text()
    before = page.locator(".confidence-value").first.inner_text()
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    value = float(slider.input_value())
    wait_until(lambda: ada.server.curation().roi_class("cytoplasm").confidence_threshold == value, "the confidence")
    assert page.locator(".confidence-value").first.inner_text() != before
    page.locator("#confidence-keep").click()
    page.get_by_role("button", name="Kept").wait_for()
    assert all(each.confidence_threshold is not None for each in ada.server.curation().classes)
    album.shoot(page, "6-confidence")


def _run_and_download(ada: Person, album: Album, folder: Path) -> Path:
    page = ada.page
    ada.step("Results")
    album.shoot(page, "7-results-empty")
    page.locator("#results-run").click()
    page.get_by_role("tab").first.wait_for()
    page.locator("#results-runs .run").wait_for()
    ada.saved()
    for tab in ("Plate", "Objects", "Downloads"):
        page.get_by_role("tab", name=tab).click()
        album.shoot(page, f"7-results-{tab.lower()}")
    with page.expect_download() as download:
        page.locator("a[download='objects.csv']").click()
    download.value.save_as(folder / "downloaded.csv")
    assert set(ada.page.evaluate("simsearch.finished")) == {step.name for step in STEPS}
    return folder / "downloaded.csv"


def _run_headless(server: Server, n_entries: int, folder: Path) -> Path:
    """Do the same without a browser: the commands of the same actions on a copy of the study."""
    copy, lines = folder / "copy", _entries(server)
    copy.mkdir()
    shutil.copyfile(server.study / "study.json", copy / "study.json")
    journal = copy / "curation.jsonl"
    journal.write_text("".join(f"{line}\n" for line in lines[:n_entries]))
    _simsearch("train", copy, "--no-selflearn", "--cluster", "threads")
    (model,) = copy.glob("models/*/model.safetensors")
    journal.write_text("".join(f"{line}\n" for line in lines))
    _simsearch("detect", model, folder / "plate.ome.zarr", "--out", folder / "headless", "--cluster", "threads")
    classes = read_curation(open_study(copy))[0].state.classes
    chosen = [word for each in classes for word in ("--confidence", f"{each.name}={each.confidence_threshold}")]
    _simsearch("rethreshold", folder / "headless", *chosen)
    return folder / "headless" / "objects.csv"


def _simsearch(*arguments: object) -> None:
    done = subprocess.run(
        [*SIMSEARCH, *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]


@pytest.mark.timeout(3600)  # it trains, twice; on a busy machine that takes its time
def test_the_whole_work_in_a_browser(
    chromium: Browser, server: Server, fields: dict[str, CellField], album: Album, tmp_path: Path
) -> None:
    ada = Person(chromium.new_page(viewport={"width": 1280, "height": 720}), server)
    bob = Person(chromium.new_page(viewport={"width": 1280, "height": 720}), server)
    _choose_images(ada, album)
    _choose_channels(ada, album)
    _draw_classes(ada, fields, album)
    _raise_threshold(ada, 3)
    _flag_negatives(ada, "class 1", 2)
    _see_it_crash(ada)
    _accept(ada, "class 1")
    ada.page.keyboard.press("1")
    ada.page.get_by_text("Like “cytoplasm”").wait_for()
    _raise_threshold(ada, 3)
    _flag_negatives(ada, "cytoplasm", 2)
    album.shoot(ada.page, "3-regions")
    _accept(ada, "cytoplasm")
    _work_beside(ada, bob)
    _check_background(ada, album)
    n_entries = _train(ada, album)
    _choose_confidence(ada, album)
    downloaded = _run_and_download(ada, album, tmp_path)
    assert (ada.problems, bob.problems) == ([], [])
    assert not album.grave, "\n".join(album.grave)
    server.kill()
    ada.page.close()  # what a browser draws takes a core from what follows
    bob.page.close()
    headless = _run_headless(server, n_entries, tmp_path)
    rows = downloaded.read_text().splitlines()
    assert len(rows) > 20  # there is something to compare
    assert rows == headless.read_text().splitlines()
