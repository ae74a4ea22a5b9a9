"""Every page, as it begins and with what opens on it, breaks no serious rule of accessibility, light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simsearch.app.server.application import ServeOptions
from simsearch.app.site import PAGES, SITE
from simsearch.core.synthetic import CYTOPLASM
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AddPrototypes, FlagNotBackground
from simsearch.curation.state import Patch
from tests.app.axe import check_light_and_dark
from tests.app.browser import flawless_tab
from tests.app.conftest import SIDE
from tests.app.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

    from simsearch.app.server.application import StudyServer
    from simsearch.app.session.live import LiveStudy
    from simsearch.core.synthetic import CellField

pytestmark = pytest.mark.browser


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    with flawless_tab(chromium, height=720) as tab:
        yield tab


@pytest.fixture
def server(live: LiveStudy) -> Iterator[StudyServer]:
    with serving(live, SITE) as server:
        yield server


def visit(tab: Tab, server: StudyServer, name: str) -> None:
    tab.goto(f"http://127.0.0.1:{server.port}/{name}")
    tab.wait_for_selector("html[data-ready]")
    tab.wait_for_load_state("networkidle")


def draw(live: LiveStudy, field: CellField) -> None:
    """Draw a box of each of two classes."""
    inside = [cell for cell in field.cells if 24 < cell.y < SIDE - 24 and 24 < cell.x < SIDE - 24]
    for name, color in (("cytoplasm", "#e69f00"), ("nucleus", "#56b4e9")):
        cell = next(each for each in inside if (each.class_name == CYTOPLASM) == (name == "cytoplasm"))
        live.act("ada", AddClass(name, color))
        live.act("ada", AddPrototypes(name, (Patch.at("a", cell.y, cell.x),), (40.0, 40.0)))


def test_pages_of_a_study_that_begins(tab: Tab, server: StudyServer) -> None:
    for name in PAGES:
        visit(tab, server, name)
        check_light_and_dark(tab, name)
    tab.get_by_role("button", name="Keys").click()
    check_light_and_dark(tab, "keys")
    tab.goto("about:blank")


def test_pages_on_which_there_is_something(
    tab: Tab, server: StudyServer, live: LiveStudy, cell_fields: dict[str, CellField]
) -> None:
    draw(live, cell_fields["a"])
    live.act("ada", FlagNotBackground((Patch.at("b", 88.0, 88.0),)))
    visit(tab, server, "regions")
    tab.locator(".gallery-grid .tile").first.click(button="right")
    check_light_and_dark(tab, "menu of a region")
    tab.keyboard.press("Escape")
    tab.get_by_label("Colour of cytoplasm").click()
    tab.locator("#viewer-channels summary").click()
    check_light_and_dark(tab, "regions")
    visit(tab, server, "background")
    tab.locator(".judged .tile").first.wait_for()
    check_light_and_dark(tab, "background")
    visit(tab, server, "train")
    check_light_and_dark(tab, "train")
    tab.goto("about:blank")


def test_the_login(tab: Tab, live: LiveStudy) -> None:
    with serving(live, SITE, ServeOptions("tester", token="a token that is long enough")) as server:
        tab.goto(f"http://127.0.0.1:{server.port}/login")
        check_light_and_dark(tab, "login")
        tab.goto("about:blank")
