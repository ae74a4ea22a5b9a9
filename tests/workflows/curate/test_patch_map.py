"""On a map of patches those that look alike lie near each other, however they are turned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.core.synthetic import CYTOPLASM, NUCLEUS
from simsearch.curation.actions import AddClass, Batch, apply
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.workflows.curate.patch_map import describe, map_patches, principal_components
from simsearch.workflows.curate.study import StudyOptions, create_study

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from distributed import Client

    from tests.workflows.conftest import Cells

PATCH = (40.0, 40.0)
IMAGES = ("a", "b", "c")


def test_cells_of_a_kind_lie_near_each_other(client: Client, cells: Cells, tmp_path: Path) -> None:
    alone = [each for each in cells.alone("abc") if each.class_name in (CYTOPLASM, NUCLEUS)]
    study = create_study(tmp_path / "study", cells.paths, StudyOptions(display=IMAGES))
    drawn = next(each for each in alone if each.class_name == CYTOPLASM)
    said = (
        AddClass(CYTOPLASM, "#e69f00"),
        AddPrototypes(CYTOPLASM, (Patch.at(drawn.image, drawn.y, drawn.x),), PATCH),
    )
    found = RankedPeaks(
        np.array([IMAGES.index(each.image) for each in alone], np.int32),
        np.array([each.y for each in alone]),
        np.array([each.x for each in alone]),
        np.linspace(1, 0, len(alone), dtype=np.float32),
    )
    curation = apply(study.initial, Batch("", said))
    made = map_patches(client, study, curation, CYTOPLASM, IMAGES, found)
    assert made.peaks.score.tolist() == found.score.tolist()
    assert made.places.shape == (len(alone), 2)
    names = np.array([each.class_name for each in alone])
    distances = np.linalg.norm(made.places[:, None] - made.places, axis=2)
    np.fill_diagonal(distances, np.inf)
    is_alike = names[distances.argmin(axis=1)] == names
    assert min((names == name).mean() for name in (CYTOPLASM, NUCLEUS)) > 0.2
    assert is_alike.mean() > 0.9


def test_of_many_a_few_hundred_are_laid_out_most_of_them_similar(
    client: Client, cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simsearch.workflows.curate.patch_map._MOST", 12)
    study = create_study(tmp_path / "study", cells.paths, StudyOptions(display=IMAGES))
    said = (AddClass("x", "#e69f00"), AddPrototypes("x", (Patch.at("a", 60, 60),), PATCH))
    rows, columns = np.mgrid[40:120:8, 40:120:8]
    n = rows.size
    found = RankedPeaks(
        np.zeros(n, np.int32), rows.ravel() + 0.0, columns.ravel() + 0.0, np.linspace(1, 0, n, dtype=np.float32)
    )
    made = map_patches(client, study, apply(study.initial, Batch("", said)), "x", IMAGES, found)
    assert len(made.peaks) <= 12
    assert made.peaks.score[0] == 1
    assert made.peaks.score[-1] == 0
    assert (made.peaks.score > 0.5).sum() > len(made.peaks) / 2


def test_a_turned_patch_is_the_same_patch() -> None:
    block = torch.rand(5, 6, 6)
    np.testing.assert_allclose(describe(block), describe(torch.rot90(block, 1, (1, 2))), atol=1e-6)
    assert abs(np.linalg.norm(describe(block)) - 1) < 1e-6


def test_few_vectors_have_a_place_too() -> None:
    assert principal_components(np.zeros((0, 3), np.float32)).shape == (0, 2)
    assert principal_components(np.ones((1, 3), np.float32)).tolist() == [[0, 0]]
