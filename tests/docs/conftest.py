"""A desk with the files that the pages name, small, on which their commands are run."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
from PIL import Image

from simsearch import runtime
from simsearch.api import calling
from simsearch.app.server import serve
from simsearch.core.synthetic import CellField, cell_field
from simsearch.runtime import compute
from simsearch.runtime.clusters import opening
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows import demo
from simsearch.workflows.doctor import examination
from simsearch.workflows.learn import train
from tests.docs.blocks import blocks_of, run_block

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client

SHORT_TRAINING = TrainingConfig(
    noisy=Schedule(1, 8, decay_every=5, decay=0.1),
    clean=Schedule(1, 16, decay_every=10, decay=0.1, n_patches=16),
    classifier=Schedule(6, 16, decay_every=8, decay=0.1, rate=1e-2, n_patches=16),
    averaging=0.8,
)
GOES_ON_FROM = {
    "docs/tutorials/plate.md": "docs/tutorials/slide.md",
    "docs/how-to/other-tools.md": "docs/tutorials/plate.md",
    "docs/browser.md": "README.md",
    "docs/how-to/trunk.md": "README.md",
    "docs/how-to/evaluate.md": "README.md",
    "docs/how-to/doctor.md": "README.md",
    "docs/how-to/watch.md": "README.md",
}
"""Pages whose reader has done what another page says."""


class Desk:
    """Runs pages, each in a folder of its own, and at most once.

    Parameters
    ----------
    folder : Path
        Gets a folder for each page.
    client : distributed.Client
        Where all commands compute.
    """

    def __init__(self, folder: Path, client: Client) -> None:
        self._folder = folder
        self._done: dict[str, Path] = {}
        self._start = folder / "start"
        with short(client):
            lay_out(self._start, client)
        self._client = client

    def run(self, page: str) -> Path:
        """Do what a page says, after what the page before it says; return the folder."""
        if page not in self._done:
            before = self.run(GOES_ON_FROM[page]) if page in GOES_ON_FROM else self._start
            here = self._folder / page.replace("/", "-").removesuffix(".md")
            shutil.copytree(before, here)
            names: dict[str, Any] = {"__name__": "__main__"}
            with short(self._client), contextlib.chdir(here):
                for block in blocks_of(page):
                    if not block.reason:
                        run_block(block, names)
            self._done[page] = here
        return self._done[page]


@pytest.fixture(scope="session")
def desk(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"), client)


@contextlib.contextmanager
def short(client: Client) -> Iterator[None]:
    """Let commands compute on one cluster, whichever they name, train for a second, and serve until they would wait."""
    n_threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for module in (opening, runtime, calling):
            patch.setattr(module, "open_cluster", lambda *wanted, **options: contextlib.nullcontext(client))
        patch.setattr(examination, "reach_cluster", lambda *wanted, **options: contextlib.nullcontext(client))
        patch.setattr(train, "BRIEF", SHORT_TRAINING)
        patch.setattr(compute, "CPU_COUNT", 1)
        patch.setattr(serve, "serve", lambda *arguments, **options: None)
        patch.setattr(demo, "_FIELD_SHAPE", (224, 224))
        patch.setattr(demo, "_N_CELLS", 14)
        patch.setattr(demo, "_ROWS", "A")
        yield
    torch.set_num_threads(n_threads)


def lay_out(folder: Path, client: Client) -> None:
    """Make what a reader has before the first command."""
    demo.run_demo(client, folder / "demo")
    tissue = skimage.data.immunohistochemistry()
    tifffile.imwrite(
        folder / "slide.svs", tissue, tile=(256, 256), photometric="rgb", description="Aperio |AppMag = 20|MPP = 0.5"
    )
    boxes = (folder / "demo/tissue/boxes.csv").read_text()
    (folder / "boxes.csv").write_text(boxes.replace("tissue,", "slide,"))
    (folder / "photos").mkdir()
    for number in range(2):
        Image.fromarray(tissue[: 100 + number, :120]).save(folder / "photos" / f"photo{number}.png")
    labels = np.zeros((224, 224), np.uint8)
    labels[60:80, 60:80], labels[120:150, 100:120] = 1, 2
    Image.fromarray(labels).save(folder / "cell-labels.png")
    rng = np.random.default_rng(5)
    _lay_out_plate(folder, {column: cell_field(rng, (224, 224), n_cells=14) for column in (1, 2)})


def _lay_out_plate(folder: Path, fields: dict[int, CellField]) -> None:
    """Write two wells as BBBC013 names its files, boxes around some cells, and where all are."""
    (folder / "plate-files").mkdir()
    cells, objects = ["image,class,role,y,x,height,width"], ["image,class,y,x"]
    for column, field in fields.items():
        image = f"plate/A/{column:02d}/0"
        for channel, pixels in enumerate(field.image, start=1):
            name = f"Channel{channel}-{column:02d}-A-{column:02d}.BMP"
            Image.fromarray((pixels // 16).astype(np.uint8)).save(folder / "plate-files" / name)
        for cell in field.cells:
            objects.append(f"{image},{cell.class_name},{cell.y},{cell.x}")
            if 24 < cell.y < 200 and 24 < cell.x < 200:
                cells.append(f"{image},{cell.class_name},prototype,{cell.y:.1f},{cell.x:.1f},48,48")
    (folder / "cells.csv").write_text("\n".join(cells[:7]) + "\n")
    (folder / "truth.csv").write_text("\n".join(objects) + "\n")
    (folder / "platemap.csv").write_text("well,drug,dose,unit\nA01,wortmannin,0,nM\nA02,wortmannin,150,nM\n")
