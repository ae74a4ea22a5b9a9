"""In a real browser: a plate is looked at once, and coloured by what looks like the class as the slider says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.app.components.plate_panel import best_place, counts_above
from simsearch.app.session.live import LiveStudy
from simsearch.app.site import SITE
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.core.synthetic import CYTOPLASM
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.io.ome_zarr.plates.hierarchy import write_plate
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.workflows.curate.study import StudyOptions, create_study
from tests.app.axe import check_light_and_dark
from tests.app.browser import flawless_tab, wait_until
from tests.app.conftest import SIDE
from tests.app.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

    from simsearch.core.synthetic import CellField
    from tests.conftest import SaveImage

UNSEEN = "\u2013"
WELLS = (Well(0, 0), Well(0, 1), Well(1, 0))


@pytest.fixture
def plate(
    client: Client, tmp_path: Path, save_image: SaveImage, cell_fields: dict[str, CellField]
) -> Iterator[LiveStudy]:
    """Open a study of three wells, of which one is displayed, with a box drawn."""
    path = tmp_path / "plate.ome.zarr"
    for well, field in zip(WELLS, cell_fields.values(), strict=False):
        save_image(path / well.path / "0", field.image, channel_names=("GFP", "DNA"))
    write_plate(str(path), {well: ["0"] for well in WELLS}, name="plate", version="0.5", provenance={})
    study = create_study(tmp_path / "study", [path], StudyOptions(display=1))
    (displayed,) = study.displayed
    field = cell_fields["abc"[[image.name for image in study.images].index(displayed)]]
    cell = next(c for c in field.cells if c.class_name == CYTOPLASM and 24 < c.y < SIDE - 24 and 24 < c.x < SIDE - 24)
    with LiveStudy(client, study) as live:
        live.act("ada", AddClass("cell", "#e69f00"))
        live.act("ada", AddPrototypes("cell", (Patch.at(displayed, cell.y, cell.x),), (40.0, 40.0)))
        wait_until(lambda: live.snapshot.suggestions.state == "ready", "suggestions")
        yield live


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    with flawless_tab(chromium, height=900) as tab:
        yield tab


def numbers(tab: Tab) -> list[str]:
    return tab.locator("#plate-panel button.heat-well").all_inner_texts()


@pytest.mark.browser
def test_a_plate_is_looked_at_once_and_follows_the_threshold(plate: LiveStudy, tab: Tab) -> None:
    with serving(plate, SITE) as server:
        tab.goto(f"http://127.0.0.1:{server.port}/regions")
        tab.wait_for_selector("html[data-ready]")
        tab.locator("#plate-toggle").click()
        tab.get_by_text("2 images of 3 not looked at yet").wait_for()
        wait_until(lambda: sorted(numbers(tab))[1:] == [UNSEEN] * 2, "a number for the well that is displayed")
        check_light_and_dark(tab, "regions, plate")
        tab.locator("#plate-index").click()
        wait_until(lambda: UNSEEN not in numbers(tab) and len(numbers(tab)) == 3, "numbers for all wells")
        assert tab.locator("#plate-index").count() == 0

        tab.locator("#threshold").fill("0.2")
        found = plate.snapshot.overview
        expected = [
            str(sum(found.by_class["cell"].score[found.by_class["cell"].image == index] >= 0.2)) for index in range(3)
        ]
        wait_until(lambda: numbers(tab) == expected, f"the numbers {expected}")
        assert expected != ["0", "0", "0"]
        tab.locator("#threshold").fill("1")
        wait_until(lambda: sum(map(int, numbers(tab))) <= 1, "hardly any place as similar as that")

        hidden = next(i for i, each in enumerate(plate.study.images) if each.name not in plate.study.displayed)
        tab.locator("#plate-panel button.heat-well").nth(hidden).click()
        name = plate.study.images[hidden].name
        wait_until(lambda: name in plate.snapshot.curation.displayed, "the well is displayed")
        tab.locator(f"#viewer-image summary:has-text('{WELLS[hidden].name}')").wait_for()
        tab.locator("#plate-toggle").click()
        wait_until(lambda: tab.locator("#plate-panel").is_hidden(), "the panel closes")
        tab.goto("about:blank")


def test_places_are_counted_to_the_thousandth_and_the_fullest_image_of_a_well_is_shown() -> None:
    scores = np.array([0.9, 0.7, 0.7, 0.437, 0.2], np.float32)
    found = RankedPeaks(np.array([0, 1, 1, 2, 1], np.int32), np.arange(5.0), np.arange(5.0) + 10, scores)
    above = counts_above(found, np.array([0, 0, -1]), 2)
    for least in (0.0, 0.2, 0.201, 0.437, 0.7, 0.701, 0.9, 1.0):
        here = scores[[0, 1, 2, 4]].astype(float).round(6) >= least
        assert above[0, round(1000 * least)] == here.sum()
    assert not above[1].any()
    assert not counts_above(None, np.array([0]), 1).any()
    names = ("a", "b", "c")
    assert best_place(found, names, ["a", "b", "d"], 0.5) == ("b", 1.0, 11.0)
    assert best_place(found, names, ["a", "b"], 0.8) == ("a", 0.0, 10.0)
    assert best_place(found, names, ["d"], 0.5) is None
