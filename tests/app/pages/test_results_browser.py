"""In a real browser: what a run gave is sorted and downloaded."""

from __future__ import annotations

import json
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from simsearch.app import shell
from simsearch.app.pages.results import results_page
from simsearch.app.server.application import Site
from simsearch.workflows.run.results import RESULTS_NAME
from tests.app.axe import check_light_and_dark
from tests.app.browser import flawless_tab
from tests.app.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

    from simsearch.app.session.live import LiveStudy

pytestmark = pytest.mark.browser

COUNTS = {"blood 2": (3, 1), "blood 10": (0, 0), "blood 1": (12, 0), "blood 3": (3, 2)}
"""Objects of the two classes in each image."""


@pytest.fixture
def tab(live: LiveStudy, chromium: Browser) -> Iterator[Tab]:
    """Show a detection in images that are no plate."""
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
    with flawless_tab(chromium, height=720) as tab:
        site = Site({"results": results_page}, shell.mount_page, lambda _: "results")
        with serving(live, site) as server:
            tab.goto(f"http://127.0.0.1:{server.port}/results")
            tab.wait_for_selector("html[data-ready]")
            yield tab
            tab.goto("about:blank")  # before the server goes, which a page would complain about


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


def test_all_files_come_as_one_zip_and_alone_under_names_that_differ(tab: Tab) -> None:
    tab.get_by_role("tab", name="Downloads").click()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="All as one zip").click()
    assert download.value.suggested_filename == "detect-1.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        names = archive.namelist()
        assert archive.read("detect-1/geojson/P/A/06/0.geojson") == b"5"
    assert {name.split("/")[1] for name in names} == {"objects.csv", "images.csv", "geojson", "run.json"}
    check_light_and_dark(tab, "downloads of a run")
    assert not tab.get_by_text("0.geojson").first.is_visible()  # many are folded up
    tab.get_by_text("Outlines for QuPath of 6 images").click()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="geojson/P/A/02/0.geojson").click()
    assert download.value.suggested_filename == "P_A_02_0.geojson"
