"""The demo finds what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from simsearch.core.synthetic import CYTOPLASM, NO_GFP, NUCLEUS
from simsearch.curation.actions import SetSimilarityThreshold
from simsearch.io import find_images
from simsearch.workflows.curate.study import open_curation, open_study, read_curation
from simsearch.workflows.demo import CLASSES, DOSES_NM, _begin_study, run_demo

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.runtime import Client


def test_the_demo_finds_the_cells_and_the_response_to_the_dose(client: Client, tmp_path: Path) -> None:
    report = run_demo(client, tmp_path / "demo")

    assert set(report.average_precision) == {NUCLEUS, CYTOPLASM, NO_GFP}
    assert min(report.average_precision.values()) > 0.6
    doses, drawn, found = np.array(report.nuclear_fractions).T
    assert tuple(doses) == DOSES_NM
    assert np.corrcoef(drawn, found)[0, 1] > 0.95
    assert report.tissue.n_objects["stromal nucleus"] > 15
    assert len(find_images([tmp_path / "demo/plate/plate.ome.zarr"])) == 12
    overlay = np.asarray(Image.open(tmp_path / "demo/plate/results/overlays/plate/A/01/0.png"))
    assert overlay.shape == (542, 512, 3)
    assert overlay[:512].std() > 10
    study = open_study(report.study)
    history, _ = read_curation(study)
    assert {each.name: len(each.prototypes) for each in history.state.classes} == dict.fromkeys(CLASSES, 5)
    assert {patch.image for patch in history.state.patches()} <= set(history.state.displayed)
    with open_curation(study) as journal:
        journal.append("ada", SetSimilarityThreshold(NUCLEUS, 0.7))
    assert _begin_study(tmp_path / "demo", "bundled") == report.study  # as when the demo is run again
    assert read_curation(study)[0].state.roi_class(NUCLEUS).similarity_threshold == 0.7
