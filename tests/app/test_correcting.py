"""A person sees on its image what a model mistook, corrects it there, trains again, and sees other counts."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from simsearch.app.site import SITE
from simsearch.curation.actions import SetSimilarityThreshold
from simsearch.curation.marks import AcceptBackground, AcceptClass, ConfirmPatches
from simsearch.curation.state import Patch, Places
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.learn import train
from tests.app.browser import LONG_PATIENCE_S, flawless_tab, wait_until
from tests.app.planted_runs import CLASSES, SIDE, draw_classes, found_cells, plant_run, whole_cells
from tests.app.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

    from simsearch.app.session.live import LiveStudy
    from simsearch.core.synthetic import CellField

pytestmark = pytest.mark.browser

N_WRONG = 3
_HARDLY = TrainingConfig(
    noisy=Schedule(1, 8, decay_every=5, decay=0.1),
    clean=Schedule(1, 16, decay_every=10, decay=0.1, n_patches=16),
    classifier=Schedule(3, 32, decay_every=10, decay=0.1, n_patches=64),
)


@pytest.fixture
def tab(
    live: LiveStudy, chromium: Browser, cell_fields: dict[str, CellField], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tab]:
    """Show a run that mistook the three surest cells of image d, which nobody has displayed."""
    monkeypatch.setattr(train, "BRIEF", _HARDLY)
    draw_classes(live, cell_fields["a"])
    judge(live, {name: cell_fields[name] for name in "abc"})
    others = {name: field for name, field in cell_fields.items() if name != "d"}
    peaks = [*found_cells(others), *found_cells({"d": cell_fields["d"]}, n_swapped=N_WRONG)]
    plant_run(live.study, "planted", peaks)
    with flawless_tab(chromium, height=720) as tab, serving(live, SITE) as server:
        tab.goto(f"http://127.0.0.1:{server.port}/results")
        tab.wait_for_selector("html[data-ready]")
        yield tab
        tab.goto("about:blank")


def judge(live: LiveStudy, fields: dict[str, CellField]) -> None:
    """Confirm cells that are wholly inside, and take corners without any for background."""
    for kind, name in CLASSES.items():
        known = Places(live.snapshot.curation.roi_class(name).prototypes, (SIDE, SIDE))
        cells = [
            Patch.at(image, cell.y, cell.x)
            for image, field in fields.items()
            for cell in whole_cells(field)
            if cell.class_name == kind
        ]
        live.act("ada", ConfirmPatches(name, tuple(cell for cell in cells if known.near(cell) is None)))
        live.act("ada", SetSimilarityThreshold(name, 0.6))
        live.act("ada", AcceptClass(name, ()))
    said = Places((cell for each in live.snapshot.curation.classes for cell in each.patches()), (4 * SIDE, 4 * SIDE))
    places = [Patch.at(image, y, x) for image in fields for y in range(20, 160, 20) for x in range(20, 160, 20)]
    live.act("ada", AcceptBackground(tuple(place for place in places if said.near(place) is None)))


def counts(tab: Tab) -> dict[str, int]:
    """Read how many there are of each class."""
    texts = tab.locator(".count").all_inner_texts()
    return {text.split("\n")[1]: int(re.findall(r"\d+", text)[0]) for text in texts}


@pytest.mark.timeout(3000)  # it trains; on a busy machine that takes its time
def test_what_is_corrected_on_the_image_is_learned(
    tab: Tab, live: LiveStudy, cell_fields: dict[str, CellField]
) -> None:
    before = counts(tab)
    tab.get_by_role("tab", name="Images").click()
    tab.get_by_role("button", name="d", exact=True).click()  # its row: the image is shown beside
    wait_until(lambda: tab.evaluate("simsearch.viewer.image") == "d", "image d")
    tab.get_by_role("button", name="Its objects").click()
    tab.get_by_label("Sorted by").select_option("Surest first")
    first = tab.locator("tr.look").first
    wait_until(lambda: "0.99" in first.inner_text(), "the surest first")
    first.click()
    n_before = len(live.snapshot.history.entries)
    wrong = [tab.locator("tr.look td:nth-child(2)").nth(at).inner_text().strip() for at in range(N_WRONG)]
    right = [next(name for name in CLASSES.values() if name != each) for each in wrong]
    tab.locator("#corrections .chosen-others").get_by_role("button", name=right[0]).click()
    for name in right[1:]:
        tab.keyboard.press("j")
        wait_until(lambda: tab.locator(".chosen-class").count() == 1, "an object")
        tab.wait_for_timeout(300)
        tab.keyboard.press(str(list(CLASSES.values()).index(name) + 1))
    wait_until(lambda: len(live.snapshot.history.entries) == n_before + N_WRONG, "three corrections on the disk")
    tab.locator("tr.look.said-wrong").nth(N_WRONG - 1).wait_for()
    moved = {each.name: [p for p in each.confirmed if p.image == "d"] for each in live.snapshot.curation.classes}
    assert sorted(name for name, patches in moved.items() for _ in patches) == sorted(right)

    tab.get_by_role("link", name="Train again").click()
    tab.wait_for_selector("html[data-ready]")
    tab.get_by_label("Learn from other images too").uncheck()
    tab.locator("#train-start").click()
    (model,) = wait_until(lambda: live.snapshot.models, "a model", LONG_PATIENCE_S)
    assert model.n_patches["negative"] == Counter(wrong)  # which are all that were ever refused
    tab.locator(".steps a", has_text="Results").click()
    tab.wait_for_selector("html[data-ready]")
    tab.locator("#results-run").click()
    wait_until(lambda: "run=detect-" in tab.evaluate("location.hash"), "the page at the new run", LONG_PATIENCE_S)
    tab.locator("#results-compare").select_option(index=1)
    tab.locator(".count .change").first.wait_for()
    newest = live.results()[-1]
    assert counts(tab) == dict(newest.n_objects) != before
    found = live.found(newest.id)
    at = Places([patch for patches in moved.values() for patch in patches], (SIDE, SIDE))
    mistaken = [
        each
        for name, peaks in found.by_class.items()
        for each in (Patch.at(found.images[peaks.image[i]], peaks.y[i], peaks.x[i]) for i in range(len(peaks)))
        if (place := at.near(each)) is not None and place not in moved[name]
    ]
    assert mistaken == []
