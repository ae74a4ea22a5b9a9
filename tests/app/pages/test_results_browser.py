"""In a real browser: what a run gave is sorted and downloaded."""

from __future__ import annotations

import json
import os
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from defusedxml.ElementTree import fromstring
from PIL import Image

from simsearch.app import shell
from simsearch.app.pages.results import results_page
from simsearch.app.server.application import Site
from simsearch.core.peaks import Peak, peak_columns
from simsearch.io.pictures.figures import new_figure, save_figure
from simsearch.io.tables.peaks import write_detections
from simsearch.io.tables.sample import read_sample
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.run.results import RESULTS_NAME
from simsearch.workflows.run.sample import SAMPLE_NAME, judge_sample
from tests.app.axe import check_light_and_dark
from tests.app.browser import flawless_tab, wait_until
from tests.app.planted_runs import CLASSES, draw_classes, found_cells, plant_run
from tests.app.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

    from simsearch.app.session.live import LiveStudy
    from simsearch.core.synthetic import CellField
    from simsearch.io.tables.sample import SampledPlace

pytestmark = pytest.mark.browser

COUNTS = {"blood 2": (3, 1), "blood 10": (0, 0), "blood 1": (12, 0), "blood 3": (3, 2)}
"""Objects of the two classes in each image."""


@pytest.fixture
def tab(live: LiveStudy, chromium: Browser) -> Iterator[Tab]:
    """Show a detection in images that the study does not have."""
    folder = live.study.folder / RESULTS_NAME / "detect-1"
    folder.mkdir(parents=True)
    rows = ["image,count burr,fraction burr,count normal,fraction normal"]
    rows += [f"{image},{burr},,{normal}," for image, (burr, normal) in COUNTS.items()]
    (folder / "images.csv").write_text("\n".join(rows) + "\n")
    (folder / "objects.csv").write_text("image,well,field,class,y,x,height,width,confidence\n")
    for i in range(6):
        path = folder / "geojson" / "P" / "A" / f"0{i + 1}" / "0.geojson"
        path.parent.mkdir(parents=True)
        path.write_text(f"{i}")
    run = {
        "workflow": "detect",
        "finished": "2026-01-02T00:00:00+00:00",
        "model": "m.safetensors@abc",
        "header": {"classes": ["background", "burr", "normal"]},
        "report": {"n_images": len(COUNTS), "n_objects": {"burr": 18, "normal": 3}, "failures": []},
    }
    (folder / "run.json").write_text(json.dumps(run))
    with open_results(live, chromium) as tab:
        yield tab


@contextmanager
def open_results(live: LiveStudy, chromium: Browser) -> Iterator[Tab]:
    with flawless_tab(chromium, height=720) as tab:
        site = Site({"results": results_page}, shell.mount_page, lambda _: "results")
        with serving(live, site) as server:
            tab.goto(f"http://127.0.0.1:{server.port}/results")
            tab.wait_for_selector("html[data-ready]")
            yield tab
            tab.goto("about:blank")  # before the server goes, which a page would complain about


@pytest.fixture
def found(live: LiveStudy, chromium: Browser, cell_fields: dict[str, CellField]) -> Iterator[Tab]:
    """Show what two runs found on the images of a study, of which d is not displayed; the newer has swapped some."""
    draw_classes(live, cell_fields["a"])
    plant_run(live.study, "detect-1", found_cells(cell_fields), day=1)
    plant_run(live.study, "detect-2", found_cells(cell_fields, n_swapped=1), day=2)
    with open_results(live, chromium) as tab:
        yield tab


def rows(tab: Tab) -> list[list[str]]:
    """Read the table of images."""
    table: list[list[str]] = tab.evaluate(
        "[...document.querySelectorAll('.images-view tbody tr')].map((tr) => [...tr.cells].map((td) => td.textContent))"
    )
    return table


def test_objects_of_each_image_are_sorted_by_a_click_on_a_title(tab: Tab, tmp_path: Path) -> None:
    tab.get_by_role("tab", name="Images").click()
    assert rows(tab) == [
        ["blood 1", "12", "0", "12"], ["blood 2", "3", "1", "4"], ["blood 3", "3", "2", "5"],
        ["blood 10", "0", "0", "0"]
    ]  # fmt: skip
    title = tab.get_by_role("columnheader", name="normal").get_by_role("button")
    title.click()
    assert [row[0] for row in rows(tab)] == ["blood 3", "blood 2", "blood 1", "blood 10"]  # the most first
    tab.keyboard.press("Enter")  # the title has kept the focus
    assert [row[0] for row in rows(tab)] == ["blood 1", "blood 10", "blood 2", "blood 3"]
    assert tab.locator("th[aria-sort=ascending]").inner_text().startswith("normal")
    tab.get_by_role("columnheader", name="All").get_by_role("button").click()
    assert [row[3] for row in rows(tab)] == ["12", "5", "4", "0"]
    check_light_and_dark(tab, "images of a run")
    folder = os.environ.get("SIMSEARCH_SCREENSHOTS", str(tmp_path))
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_timeout(400)
        tab.screenshot(path=f"{folder}/7-results-images-{scheme}.png")


def test_named_regions_have_a_table_of_their_own(tab: Tab, live: LiveStudy, tmp_path: Path) -> None:
    table = "image,region,pixels,count burr,fraction burr,count normal,fraction normal\nblood 2,edge,5000,2,,1,\n"
    folder = live.study.folder / RESULTS_NAME / "detect-1"
    (folder / "regions.csv").write_text(table)
    (folder / "run.json").touch()
    tab.reload()
    tab.get_by_role("tab", name="Images").click()
    cells = tab.locator(".region-counts tbody tr").first.locator("td")
    wait_until(
        lambda: cells.all_inner_texts() == ["edge", "blood 2", "2", "1", "3", "5,000"], "the counts of the region"
    )
    check_light_and_dark(tab, "regions of a run")
    tab.screenshot(path=f"{os.environ.get('SIMSEARCH_SCREENSHOTS', str(tmp_path))}/7-results-regions.png")


def test_all_files_come_as_one_zip_and_alone_under_names_that_differ(tab: Tab) -> None:
    tab.get_by_role("tab", name="Downloads").click()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="All as one zip").click()
    assert download.value.suggested_filename == "detect-1.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        names = archive.namelist()
        assert archive.read("detect-1/geojson/P/A/06/0.geojson") == b"5"
    assert {name.split("/")[1] for name in names} == {"objects.csv", "images.csv", "geojson", "run.json"}
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Report").click()
    assert download.value.suggested_filename == "detect-1.html"
    assert "21 objects of 2 classes in 4 images" in download.value.path().read_text()
    check_light_and_dark(tab, "downloads of a run")
    assert not tab.get_by_text("0.geojson").first.is_visible()  # many are folded up
    tab.get_by_text("Outlines for QuPath of 6 images").click()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="geojson/P/A/02/0.geojson").click()
    assert download.value.suggested_filename == "P_A_02_0.geojson"


@pytest.fixture
def plate(live: LiveStudy, chromium: Browser) -> Iterator[Tab]:
    """Show a detection on a plate with doses."""
    folder = live.study.folder / RESULTS_NAME / "detect-1"
    (folder / "plates" / "P").mkdir(parents=True)
    wells = [f"A0{i + 1}" for i in range(6)]
    images = [f"P/A/0{i + 1}/{field}" for i in range(6) for field in range(2)]
    cells = [Peak(image, "burr", 50.0, 40.0 + 60 * at, (40.0, 40.0), 0.9) for image in images for at in range(2)]
    image = study_images(live.study)[0]
    write_detections(peak_columns(cells), {name: replace(image, name=name) for name in images}, "ab" * 32, folder)
    table = ["image,count burr,fraction burr", *(f"{name},2,1" for name in images)]
    (folder / "images.csv").write_text("\n".join(table) + "\n")
    table = ["plate,well,drug,dose,unit,count burr,fraction burr,mean score burr"]
    table += [f"P,{well},W,{2**at},nM,4,{0.1 + 0.15 * at},0.9" for at, well in enumerate(wells)]
    (folder / "plates" / "P" / "wells.csv").write_text("\n".join(table) + "\n")
    fit = "drug,class,ec50,low,high,unit,bottom,top,slope,z_prime\nW,burr,6,4,9,nM,0.1,0.9,1.5,0.6\n"
    (folder / "plates" / "P" / "dose_response.csv").write_text(fit)
    for name in ("heat_maps", "dose_response"):
        figure = new_figure((8, 3))
        figure.suptitle(f"{name} of P")
        save_figure(figure, folder / "plates" / "P" / f"{name}.png", dpi=40)
    run = {
        "workflow": "detect",
        "finished": "2026-01-02T00:00:00+00:00",
        "model": "m.safetensors@abc",
        "header": {"classes": ["background", "burr"]},
        "confidence_thresholds": {"burr": 0.5},
        "report": {"n_images": len(images), "n_objects": {"burr": len(cells)}, "failures": []},
    }
    (folder / "run.json").write_text(json.dumps(run))
    with open_results(live, chromium) as tab:
        yield tab


def test_a_point_of_a_dose_curve_and_a_well_lead_to_their_fields_and_back(plate: Tab, tmp_path: Path) -> None:
    shoot(plate, "7-results-doses", tmp_path)
    check_light_and_dark(plate, "a plate with doses")
    plate.get_by_role("button", name="A03: 4 nM").click()
    plate.get_by_text("Well A03").wait_for()
    wait_until(lambda: plate.locator("tr.look").count() == 4, "the objects of both fields of the well")
    assert {text.split()[0] for text in plate.locator("tr.look td:nth-child(4)").all_inner_texts()} == {"A03"}
    plate.go_back()
    plate.locator(".heat-well[aria-label^=A05]").click()
    plate.get_by_text("Well A05").wait_for()
    assert "image=P%2FA%2F05%2F0" in plate.url


def test_figures_are_taken_away_as_png_and_as_svg(plate: Tab) -> None:
    def saved(role: Literal["link", "button"], name: str) -> tuple[str, bytes]:
        with plate.expect_download() as download:
            plate.get_by_role(role, name=name).click()
        return download.value.suggested_filename, download.value.path().read_bytes()

    name, content = saved("link", "Download heat_maps as PNG")
    assert (name, content[:4]) == ("P_heat_maps.png", b"\x89PNG")
    name, content = saved("link", "Download dose_response as SVG")
    assert (name, b"dose_response of P" in content) == ("P_dose_response.svg", True)
    plate.emulate_media(color_scheme="dark")
    name, content = saved("button", "Download W: share of burr by dose as SVG")
    drawn = fromstring(content)
    assert name == "W_share_of_burr_by_dose.svg"
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}circle"))) == 6
    inks = {each.attrib["fill"] for each in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert inks == {"#525a68"}  # as in the light
    name, content = saved("button", "Download W: share of burr by dose as PNG")
    with Image.open(BytesIO(content)) as picture:
        assert picture.getpixel((1, 1)) == (255, 255, 255, 255)
        assert np.asarray(picture.convert("L")).std() > 10
    assert plate.evaluate("document.documentElement.dataset.theme") == "dark"


def shoot(tab: Tab, name: str, folder: Path) -> None:
    chosen = os.environ.get("SIMSEARCH_SCREENSHOTS", str(folder))
    for width, height in ((1280, 720), (1920, 1080)):
        tab.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            tab.wait_for_timeout(400)
            tab.screenshot(path=f"{chosen}/{name}-{width}-{scheme}.png")
    tab.set_viewport_size({"width": 1280, "height": 720})
    tab.emulate_media(color_scheme="light")


def test_a_row_is_shown_on_its_image_and_back_goes_back_and_pictures_are_answered_at_once(
    found: Tab, live: LiveStudy, tmp_path: Path
) -> None:
    found.get_by_role("tab", name="Objects").click()
    row = found.locator("tr.look", has_text="d").last  # of an image that is not displayed
    row.click()
    wait_until(lambda: found.evaluate("simsearch.viewer.image") == "d", "the image of the row")
    y, x = (float(text) for text in row.locator("td.wide").all_text_contents())
    found.wait_for_function(
        """([x, y]) => { const middle = simsearch.viewer.middle();
        return Math.abs(middle.x - 0.5 - x) < 0.2 && Math.abs(-middle.y - 0.5 - y) < 0.2; }""",
        arg=[x, y],
    )
    assert row.get_attribute("aria-current") == "true"
    assert found.locator(".chosen-class").inner_text().split()[0] == row.locator("td").nth(1).inner_text().strip()
    assert "image=d" in found.url
    shoot(found, "7-results-image", tmp_path)
    check_light_and_dark(found, "a row and its image")
    found.reload()
    found.wait_for_selector("html[data-ready]")
    wait_until(lambda: found.evaluate("simsearch.viewer.image") == "d", "the same image after a reload")
    found.locator("tr.look[aria-current=true]").wait_for()
    found.go_back()
    found.locator("#results-image").wait_for(state="hidden")
    assert found.get_by_role("tab", name="Objects").get_attribute("aria-selected") == "true"
    found.go_back()
    wait_until(
        lambda: found.get_by_role("tab", name="Images").get_attribute("aria-selected") == "true", "the first view"
    )
    answer_pictures(found, live, tmp_path)


def answer_pictures(found: Tab, live: LiveStudy, tmp_path: Path) -> None:
    """Pick several objects by their pictures, with the mouse and with keys, and answer them at once."""
    found.get_by_role("tab", name="Objects").click()
    found.get_by_role("button", name="Pictures", exact=True).click()
    tiles = found.locator(".found-grid .tile")
    n = len(live.snapshot.history.entries)
    tiles.nth(1).click()
    tiles.nth(4).click(modifiers=["Shift"])
    found.get_by_text("4 picked").wait_for()
    shoot(found, "7-results-pictures", tmp_path)
    check_light_and_dark(found, "pictures of objects")
    found.keyboard.press("x")
    wait_until(lambda: found.locator(".found-grid .tile.said-wrong").count() == 4, "four that are wrong")
    assert len(live.snapshot.history.entries) == n + 1
    assert sum(len(each.negatives) for each in live.snapshot.curation.classes) == 4
    tiles.nth(2).focus()
    found.keyboard.press("ArrowRight")
    found.keyboard.press("Space")  # keys alone
    found.keyboard.press("ArrowRight")
    found.keyboard.press("Space")
    found.get_by_text("2 picked").wait_for()
    found.keyboard.press("y")
    wait_until(lambda: found.locator(".found-grid .tile.said-wrong").count() == 2, "two that are right after all")
    tiles.nth(5).dblclick()
    found.locator("#results-image").wait_for()
    found.locator(".found-grid .tile.looked-at").wait_for()


def test_a_sample_is_judged_with_keys_and_tells_how_right_the_run_is(
    found: Tab, live: LiveStudy, cell_fields: dict[str, CellField], tmp_path: Path
) -> None:
    found.get_by_role("tab", name="How right?").click()
    found.get_by_role("button", name="Draw a sample").click()
    found.get_by_text("not known yet").first.wait_for()
    folder = live.study.folder / RESULTS_NAME / "detect-2"
    places = read_sample(folder / SAMPLE_NAME, "ab" * 32)
    wrong = [each for each in places if not is_there(each, cell_fields)]
    assert 0 < len(wrong) < len(places)
    for each in places:
        found.keyboard.press("y" if is_there(each, cell_fields) else "x")
    found.get_by_text("All are judged.").wait_for()
    truth = [is_there(each, cell_fields) for each in places]
    wait_until(
        lambda: [each.is_right for each in read_sample(folder / SAMPLE_NAME, "ab" * 32)] == truth, "all on the disk"
    )
    row = found.locator(".sample-table tbody tr", has_text=places[0].class_name)
    for name in CLASSES.values():
        n = sum(each.class_name == name for each in places)
        all_told = found.locator(".sample-table tbody tr", has_text=name).get_by_text(f"{n} of {n}")
        all_told.wait_for()
    told = next(each for each in judge_sample(folder, {}).classes if each.class_name == places[0].class_name)
    assert f"{round(100 * told.estimate.precision.value)} %" in row.inner_text()
    shoot(found, "7-results-sample", tmp_path)
    check_light_and_dark(found, "a sample")
    found.reload()  # answers are on the disk
    found.wait_for_selector("html[data-ready]")
    found.get_by_text("All are judged.").wait_for()
    found.locator(".sample-thumb").nth(2).click()
    found.get_by_role("button", name="Show in its image").click()
    wait_until(lambda: found.evaluate("simsearch.viewer.image") == places[2].image, "its image")


def is_there(place: SampledPlace, fields: dict[str, CellField]) -> bool:
    """Tell whether a cell of the class lies at a place."""
    return any(
        CLASSES.get(cell.class_name) == place.class_name and abs(cell.y - place.y) < 1 and abs(cell.x - place.x) < 1
        for cell in fields[place.image].cells
    )
