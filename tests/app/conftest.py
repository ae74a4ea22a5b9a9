"""A small study and a cluster of threads for tests of the app."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bokeh.document import Document

from simsearch.app.context import PageContext
from simsearch.app.session.live import LiveStudy
from simsearch.app.urls import Urls
from simsearch.core.synthetic import CellField, cell_field
from simsearch.io.pictures.render import ShownChannel
from simsearch.workflows.curate.study import Study, StudyOptions, create_study, open_study
from tests.app.browser import find_chromium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client
    from playwright.sync_api import Browser

    from tests.conftest import SaveImage

SIDE = 176


@pytest.fixture(scope="session")
def cell_fields() -> dict[str, CellField]:
    """Make images a to d of cells with GFP in their cytoplasm or nucleus."""
    rng = np.random.default_rng(1)
    return {name: cell_field(rng, (SIDE, SIDE), n_cells=10, no_gfp_fraction=0) for name in "abcd"}


@pytest.fixture(scope="session")
def cell_images(
    tmp_path_factory: pytest.TempPathFactory, save_image: SaveImage, cell_fields: dict[str, CellField]
) -> tuple[str, ...]:
    """Write the images a to d."""
    folder = tmp_path_factory.mktemp("app-cells")
    return tuple(
        save_image(
            folder / f"{name}.ome.zarr",
            field.image,
            channel_names=("GFP", "DNA"),
            channel_colors=("00FF00", "0000FF"),
            pixel_size_um=(0.5, 0.5),
            chunk=256,
        ).path
        for name, field in cell_fields.items()
    )


@pytest.fixture
def fresh_study(cell_images: tuple[str, ...], tmp_path: Path) -> Study:
    """Create a study about which nobody has said anything; a, b and c are displayed."""
    create_study(tmp_path / "study", cell_images, StudyOptions(display=("a", "b", "c")))
    return open_study(tmp_path / "study")


@pytest.fixture
def live(client: Client, fresh_study: Study) -> Iterator[LiveStudy]:
    """Open the fresh study on a cluster of threads."""
    with LiveStudy(client, fresh_study) as live:
        yield live


@pytest.fixture
def context(live: LiveStudy) -> PageContext:
    """Give what a page is made from; what its person asks for is done at once."""
    shown = (ShownChannel(0, "00FF00", 0, 1000), ShownChannel(1, "0000FF", 0, 1000))
    indices = {image.name: index for index, image in enumerate(live.study.images)}
    return PageContext(live, "ada", Document(), Urls("/lab", indices, shown, "v1"))


@pytest.fixture(scope="module")  # while it runs, no test can have an event loop of its own
def chromium() -> Iterator[Browser]:
    """Start Chromium, where there is one."""
    path = find_chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("expected chromium in CI, got none: apt-get install chromium")
        pytest.skip("no chromium: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: install the test dependencies")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
