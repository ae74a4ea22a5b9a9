"""A study notices an image that was replaced by another of the same shape."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.curation.actions import AddClass, ChooseImages, apply
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.errors import SourceError, StoreError
from simsearch.workflows.curate.contents import CONTENTS_NAME, check_contents
from simsearch.workflows.curate.study import Study, StudyOptions, create_study, open_study
from simsearch.workflows.curate.suggest import prepare_suggestions

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

    from tests.conftest import SaveImage

SIDE = 128


@pytest.fixture
def images(save_image: SaveImage, tmp_path: Path) -> Path:
    """Write images a, b and c, and beside them another c."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "other/c"):
        save_image(tmp_path / f"{name}.ome.zarr", rng.integers(0, 999, (1, SIDE, SIDE)).astype(np.uint16))
    return tmp_path


@pytest.fixture
def study(images: Path) -> Study:
    return create_study(images / "study", [images / f"{n}.ome.zarr" for n in "abc"], StudyOptions(display=("a", "c")))


def replace_c(folder: Path) -> None:
    shutil.rmtree(folder / "c.ome.zarr")
    shutil.copytree(folder / "other" / "c.ome.zarr", folder / "c.ome.zarr")


def test_an_image_that_was_replaced_is_refused_with_the_way_out(client: Client, study: Study, images: Path) -> None:
    prepare_suggestions(client, study, study.initial)
    replace_c(images)
    again = open_study(study.folder)
    with pytest.raises(SourceError, match=r"^c: expected what was there when it was first looked at in this study"):
        prepare_suggestions(client, again, again.initial)
    (study.folder / CONTENTS_NAME).unlink()
    check_contents(again, again.initial)


def test_images_that_nobody_looked_at_or_marked_may_be_others(study: Study, images: Path) -> None:
    check_contents(study, apply(study.initial, ChooseImages(("a", "b"))))
    replace_c(images)
    check_contents(study, study.initial)  # from now on c is what it is


def test_an_image_with_marks_is_checked_wherever_it_is_displayed(study: Study, images: Path) -> None:
    drawn = apply(study.initial, AddClass("cell", "#e69f00"))
    drawn = apply(drawn, AddPrototypes("cell", (Patch.at("c", 60, 60),), (40.0, 40.0)))
    hidden = apply(drawn, ChooseImages(("a",)))
    check_contents(study, hidden)
    replace_c(images)
    with pytest.raises(SourceError, match=r"delete images\.json and cache in"):
        check_contents(study, hidden)


def test_damage_is_told(study: Study) -> None:
    (study.folder / CONTENTS_NAME).write_text('{"version": 1, "images": [1]}')
    with pytest.raises(StoreError, match="restore it from a copy, or delete it"):
        check_contents(study, study.initial)
