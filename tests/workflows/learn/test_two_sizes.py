"""A study of two classes, one of which is four times as large as the other: from boxes to detections."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.peaks import objects
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.errors import CurationError
from simsearch.io.tables.curation import read_annotations
from simsearch.io.tables.peaks import read_peaks
from simsearch.nn.model_file import read_header
from simsearch.workflows.curate.exchange import export_annotations, import_annotations
from simsearch.workflows.curate.headless import CurateOptions, curate
from simsearch.workflows.curate.study import Study, StudyOptions, create_study, open_curation, read_curation
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn import train
from simsearch.workflows.learn.train import TrainOptions, TrainReport, train_study
from simsearch.workflows.run.detect import DetectOptions, detect
from tests.workflows.conftest import TINY, brief

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from distributed import Client

    from simsearch.core.peaks import Peak
    from tests.conftest import SaveImage

SIDE = 336
SHAPES = {"platelet": (20.0, 20.0), "cell": (64.0, 64.0)}
RADII = {"platelet": 7, "cell": 28}
PLACES = {
    "platelet": [(24, 128), (128, 24), (128, 128), (100, 180), (230, 128), (128, 230), (24, 30)],
    "cell": [(60, 70), (64, 205), (190, 66), (195, 190)],
}


def smear(seed: int) -> np.ndarray:
    """Draw bright small discs and grey large ones with a pale middle, as (1, 336, 336) uint8."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:SIDE, :SIDE]
    pixels = rng.normal(40, 4, (SIDE, SIDE))
    for name, places in PLACES.items():
        for cy, cx in places:
            distance = np.hypot(y - cy - seed, x - cx + seed)
            pixels[distance < RADII[name]] += {"platelet": 150, "cell": 70}[name]
            if name == "cell":
                pixels[distance < 12] -= 40
    return np.clip(pixels, 0, 255).astype(np.uint8)[None]


def true_places(seed: int, name: str) -> list[tuple[float, float]]:
    return [(y + seed, x - seed) for y, x in PLACES[name]]


@pytest.fixture(scope="module")
def paths(save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("smears")
    return [save_image(folder / f"{seed}.ome.zarr", smear(seed), channel_names=("stain",)).path for seed in range(3)]


@pytest.fixture(scope="module")
def study(client: Client, paths: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Draw four boxes of each class, and accept what is suggested."""
    study = create_study(tmp_path_factory.mktemp("study") / "s", paths[:2], StudyOptions(display=("0",)))
    with open_curation(study) as journal:
        for name, color in (("platelet", "#e69f00"), ("cell", "#56b4e9")):
            journal.append("ada", AddClass(name, color))
            drawn = tuple(Patch.at("0", y, x) for y, x in true_places(0, name)[:4])
            journal.append("ada", AddPrototypes(name, drawn, SHAPES[name]))
    curate(client, study, "ada", CurateOptions({"platelet": 0.6, "cell": 0.5}, accept=True))
    return study


@pytest.fixture(scope="module")
def trained(client: Client, study: Study) -> TrainReport:
    # With the patches of other tests, one platelet or another is decided by chance, whichever the trunk.
    enough = replace(TINY, classifier=replace(TINY.classifier, n_patches=96))
    with brief(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "BRIEF", enough)
        return train_study(client, study, read_curation(study)[0].state, TrainOptions(n_background=3))


def check_found(found: Sequence[Peak], seed: int) -> None:
    """Check that all objects were found, with boxes of their own size, and no place as two."""
    for name, shape in SHAPES.items():
        own = [peak for peak in found if peak.class_name == name]
        assert {peak.patch_shape for peak in own} == {shape}
        for y, x in true_places(seed, name):
            assert sum(math.hypot(peak.y - y, peak.x - x) < 0.4 * shape[0] for peak in own) == 1, (name, y, x)
    for index, peak in enumerate(found):
        for other in found[:index]:
            assert math.hypot(peak.y - other.y, peak.x - other.x) >= 0.4 * min(*peak.patch_shape, *other.patch_shape)


def test_each_class_is_suggested_at_its_own_size(study: Study, tmp_path: Path) -> None:
    curation = read_curation(study)[0].state
    assert {each.name: each.patch_shape for each in curation.classes} == SHAPES
    assert curation.patch_shape == (64, 64)
    for each in curation.classes:
        accepted = [(patch.y, patch.x) for patch in each.positives]
        for y, x in true_places(0, each.name):
            assert sum(math.hypot(v - y, u - x) < 0.25 * min(SHAPES[each.name]) for v, u in accepted) == 1
    assert curation.background

    export_annotations(study, tmp_path / "said.csv")
    read = [item for _, item in read_annotations(tmp_path / "said.csv")[0]]
    shapes = {(item.box.class_name, (item.box.height, item.box.width)) for item in read}  # type: ignore[union-attr]
    assert shapes == {*SHAPES.items(), ("background", (64, 64))}
    again = create_study(tmp_path / "again", [image.path for image in study.images], StudyOptions(display=("0",)))
    import_annotations(again, tmp_path / "said.csv", user="eve")
    assert [each.patch_shape for each in read_curation(again)[0].state.classes] == [*SHAPES.values()]


def test_one_model_finds_both_classes_whatever_the_tiles(
    client: Client, trained: TrainReport, paths: Sequence[str], tmp_path: Path
) -> None:
    header = read_header(trained.model.read_bytes())
    assert (header.patch_shapes, header.downsampling) == (tuple(SHAPES.values()), 1)
    assert "platelet 20 x 20 px, cell 64 x 64 px" in trained.model.with_name("README.md").read_text()
    found = {}
    for name, tile in (("whole", 64), ("tiles", 9)):
        images = find_image_set(paths[2:])
        detect(client, images, trained.model, tmp_path / name, DetectOptions(tile=tile, floor=0.3, exact=True))
        found[name] = read_peaks(tmp_path / name / "detections.parquet")
    whole, tiles = ([replace(p, y=round(p.y, 2), x=round(p.x, 2), score=0) for p in found[n]] for n in found)
    assert sorted(whole, key=str) == sorted(tiles, key=str)
    check_found(objects(found["whole"], dict.fromkeys(SHAPES, 0.5)), seed=2)


def test_the_papers_model_of_two_sizes_is_refused(client: Client, study: Study) -> None:
    curation = read_curation(study)[0].state
    with pytest.raises(CurationError, match="got platelet 20 x 20 px, cell 64 x 64 px: train with --kind dense"):
        train_study(client, study, curation, TrainOptions(kind="patchwise"))
