"""A model carries its search: it is mixed in where both look alike, and decides alone where it looks closer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy.special import expit

from simsearch.curation.actions import AddClass, Batch, apply
from simsearch.curation.marks import AddPrototypes, ConfirmPatches, FlagNegatives
from simsearch.curation.state import BACKGROUND, Curation, Patch
from simsearch.errors import ModelFileError
from simsearch.io.tables.peaks import read_peaks
from simsearch.nn.carried_search import SearchShare
from simsearch.nn.device import torch_threads
from simsearch.nn.model_file import ModelHeader, make_classifier, model_to_bytes, read_header
from simsearch.nn.similarity import query_tensors
from simsearch.nn.trunk_file import trunk_from_bytes
from simsearch.runtime.events import ignore
from simsearch.workflows.curate.sight import study_setting
from simsearch.workflows.curate.study import (
    Study,
    StudyOptions,
    create_study,
    open_curation,
    read_curation,
    study_images,
)
from simsearch.workflows.curate.suggest import find_elsewhere, queries_of
from simsearch.workflows.find.trunks import read_chosen_trunk
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn.carried import MIXED, shares_in_words, weighed, with_search
from simsearch.workflows.run.detect import DetectOptions, detect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from distributed import Client

    from tests.conftest import SaveImage

SHAPES = {"platelet": (40.0, 40.0), "cell": (192.0, 192.0)}
PLATELETS, CELLS = [(60, 60), (70, 300), (310, 80), (300, 250)], [(130, 180), (230, 190)]


def smear(seed: int) -> np.ndarray:
    """Draw rings and a large disc, as (1, 384, 384) uint8."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:384, :384]
    pixels = rng.normal(40, 4, (384, 384))
    for cy, cx in CELLS:
        pixels[np.hypot(y - cy, x - cx) < 60] += 60
    for cy, cx in PLATELETS:
        pixels[abs(np.hypot(y - cy - 3 * seed, x - cx) - 9) < 4] += 120
    return np.clip(pixels, 0, 255).astype(np.uint8)[None]


@pytest.fixture(scope="module")
def study(client: Client, save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("smears")
    paths = [save_image(folder / f"{seed}.ome.zarr", smear(seed), channel_names=("stain",)).path for seed in range(2)]
    study = create_study(folder / "study", paths, StudyOptions(display=("0",)))
    with open_curation(study) as journal:
        for name, places in (("platelet", PLATELETS[:3]), ("cell", CELLS)):
            journal.append("ada", AddClass(name, "#e69f00"))
            journal.append("ada", AddPrototypes(name, tuple(Patch.at("0", *at) for at in places), SHAPES[name]))
    return study


def curation_of(study: Study) -> Curation:
    return read_curation(study)[0].state


@pytest.fixture(scope="module")
def blob(client: Client, study: Study) -> bytes:
    """Give the search to a network that has learned nothing."""
    setting = study_setting(client, study, curation_of(study))
    header = ModelHeader(
        kind="dense",
        classes=(BACKGROUND, *SHAPES),
        patch_shapes=tuple(SHAPES.values()),
        downsampling=2,
        channels=("stain",),
        ranges=setting.ranges,
        dtype="uint8",
        pixel_size_um=None,
        confidence_thresholds=(0.5, 0.5),
        trunk=setting.trunk,
        training={},
    )
    torch.manual_seed(0)
    network = make_classifier(trunk_from_bytes(read_chosen_trunk(study.trunk), 1), header)
    network.confine()
    plain = model_to_bytes(network, header)
    found = with_search(client, study, curation_of(study), plain, setting.arithmetic, ignore)
    assert with_search(client, study, curation_of(study), plain, setting.arithmetic, ignore) == found
    return found


def test_what_the_network_sees_coarser_is_decided_by_the_search_alone(blob: bytes) -> None:
    platelet, cell = read_header(blob).search_shares
    assert platelet is not None
    assert cell is not None
    assert (platelet.finer, platelet.weight, cell.finer, cell.weight) == (2, 1, 1, MIXED)
    said = shares_in_words(read_header(blob))
    assert "2 times as large" in said["platelet"]
    assert "by 35% the search" in said["cell"]


@pytest.mark.parametrize("answers", ["many", {"cell": 3}, {"cell": {"n_right": 3}}])
def test_what_a_header_cannot_say_of_answers_is_refused(blob: bytes, answers: object) -> None:
    with pytest.raises(ModelFileError, match=r"expected what answers say .*: train it again"):
        shares_in_words(replace(read_header(blob), training={"answers": answers}))


@pytest.mark.parametrize("tile", [None, 9])
def test_such_a_class_is_detected_as_it_is_searched_whatever_the_tiles(
    client: Client, study: Study, blob: bytes, tile: int | None, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(blob)
    images = find_image_set([study.images[1].path])
    detect(client, images, tmp_path / "model.safetensors", tmp_path / "out", DetectOptions(floor=1e-6, tile=tile))
    detected = [p for p in read_peaks(tmp_path / "out" / "detections.parquet") if p.class_name == "platelet"]
    share = read_header(blob).search_shares[0]
    assert share is not None
    searched = find_elsewhere(client, study, curation_of(study), study_images(study, ("1",))).peaks
    sure = [(p, expit(share.slope * (p.score - share.similarity))) for p in searched if p.class_name == "platelet"]
    least = max(expit(share.slope * (0.05 - share.similarity)), 1e-5)  # a search keeps nothing that is unlike
    found, expected = (
        [row for row in rows if row[2] > least]
        for rows in (((p.y, p.x, p.score) for p in detected), ((p.y, p.x, confidence) for p, confidence in sure))
    )
    assert len(expected) >= len(PLATELETS)
    assert in_order(found) == pytest.approx(in_order(expected), abs=1e-2)


def in_order(rows: object) -> np.ndarray:
    return np.array(sorted(rows))  # type: ignore[call-overload]  # of tuples


def objects_found(of_network: np.ndarray, of_search: np.ndarray, left_out: Sequence[float]) -> int:
    share = weighed(1, left_out, of_network.tolist(), of_search.tolist())
    mixed = (1 - share.weight) * of_network + share.weight * share.slope * (of_search - share.similarity)
    return int((mixed >= 0).sum())


def test_a_rare_class_that_the_network_finds_everywhere_is_not() -> None:
    of_network = np.r_[np.full(6, 2.0), np.linspace(1.0, 0.1, 60), np.linspace(-0.5, -4, 60)]
    of_search = np.r_[np.linspace(0.8, 0.7, 6), np.linspace(0.3, 0.2, 60), np.linspace(0.2, 0.1, 60)]
    assert (of_network >= 0).sum() == 66
    assert 6 <= objects_found(of_network, of_search, [0.8, 0.75, 0.7]) < 20


def test_as_many_are_found_as_the_network_finds_of_a_class_that_varies() -> None:
    of_network = np.r_[np.linspace(3.0, 0.5, 50), np.linspace(-0.5, -4, 60)]
    of_search = np.r_[np.linspace(0.8, 0.45, 50), np.linspace(0.4, 0.1, 60)]
    assert objects_found(of_network, of_search, [0.9, 0.8, 0.6]) == 50


def test_a_search_without_peaks_or_others_to_compare_is_weighed() -> None:
    assert weighed(1, [], [], []).similarity == 0.5
    assert weighed(1, [], [1.0] * 6, [0.7, 0.5]).similarity == 0.5  # the network finds more than there are peaks
    assert weighed(2, [0.4, 0.6], [], []).similarity == 0.5
    assert weighed(2, [], [1.0, -1.0], [0.7, 0.3]) == SearchShare(1.0, 10.0, 0.5, 2)


def test_what_is_carried_is_the_same_with_any_number_of_threads(client: Client, study: Study) -> None:
    answers = (
        ConfirmPatches("platelet", (Patch.at("0", *PLATELETS[3]),)),
        FlagNegatives("platelet", (Patch.at("0", 200.0, 200.0), Patch.at("0", 30.0, 200.0))),
    )
    curation = apply(curation_of(study), Batch("", answers))
    found = []
    for n in (1, 2):
        with torch_threads(n):
            found.append([dict(query_tensors(query)) for _, query in queries_of(client, study, curation, 2)])
    one, two = found
    assert any("template" in name for name in one[0])  # answers are in it
    for each, other in zip(one, two, strict=True):
        assert all(torch.equal(each[name], other[name]) for name in each)
