"""What a trunk computes with is chosen once for all workers, and results in one arithmetic do not depend on tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.scaled import scaled
from simsearch.nn import device as device_module
from simsearch.nn.classifier import classifier_extractor
from simsearch.nn.extractor import make_extractor
from simsearch.nn.trunk import fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.runtime import arithmetic as arithmetic_module
from simsearch.runtime.arithmetic import choose_arithmetic
from simsearch.runtime.asking import Answer, Answered, Unanswered
from simsearch.runtime.views import View, window_maps
from simsearch.workflows.find.query import feature_path

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

    from simsearch.nn.extractor import Extractor
    from simsearch.nn.trunk import Trunk
    from tests.conftest import SaveImage

PATCH = (32, 32)
EXTRACTORS = {
    "model": classifier_extractor("dense", PATCH),
    **{name: make_extractor(name, PATCH) for name in ("template", "pooled", "patchwise")},
}
WINDOWS = (Region(3, 5, 2, 9), Region(1, 11, 4, 5), Region(6, 7, 6, 7))


@pytest.mark.parametrize(
    ("of_workers", "is_exact", "expected"),
    [
        ((Answered("bfloat16"), Answered("bfloat16")), False, "bfloat16"),
        ((Answered("bfloat16"), Unanswered("it has gone")), False, "bfloat16"),
        ((Answered("bfloat16"), Answered("float32")), False, "float32"),
        ((Unanswered("it has gone"),), False, "float32"),
        ((Answered("bfloat16"), Answered("bfloat16")), True, "float32"),
    ],
)
def test_bfloat16_is_chosen_where_all_workers_have_it_unless_results_are_to_be_exact(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    of_workers: tuple[Answer[str], ...],
    is_exact: bool,
    expected: str,
) -> None:
    answers = {f"tcp://worker:{number}": answer for number, answer in enumerate(of_workers)}
    monkeypatch.setattr(arithmetic_module, "ask_workers", lambda *_, **__: answers)
    assert choose_arithmetic(client, is_exact=is_exact) == expected


@pytest.mark.parametrize("native", ["bfloat16", "float32"])
def test_workers_tell_what_they_have(client: Client, monkeypatch: pytest.MonkeyPatch, native: str) -> None:
    monkeypatch.setattr(device_module, "native_arithmetic", lambda: native)  # the workers are in this process
    assert choose_arithmetic(client) == native


@pytest.fixture
def trunk(trunk_file: Path) -> Trunk:
    made = fused(trunk_from_bytes(read_trunk(str(trunk_file)), 1)).eval().to(memory_format=torch.channels_last)
    device_module.with_weights_for("bfloat16", made)
    return made


def view_of(save_image: SaveImage, folder: Path, extractor: Extractor) -> View:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 90, 110), np.uint8)
    image = scaled(save_image(folder / "a.ome.zarr", pixels))
    return View(image, (0,), ((0.0, 255.0),), extractor, "", arithmetic="bfloat16")


@pytest.mark.parametrize("name", EXTRACTORS)
def test_vectors_in_bfloat16_do_not_depend_on_the_window_they_are_computed_in(
    trunk: Trunk, save_image: SaveImage, tmp_path: Path, name: str
) -> None:
    view = view_of(save_image, tmp_path, EXTRACTORS[name])
    whole = window_maps(trunk, view, Region(0, 12, 0, 14))
    for window in WINDOWS:
        np.testing.assert_array_equal(window_maps(trunk, view, window), whole[:, *window.slices])


def test_features_in_another_arithmetic_are_kept_elsewhere(save_image: SaveImage, tmp_path: Path) -> None:
    view = view_of(save_image, tmp_path, EXTRACTORS["template"])
    assert feature_path(view, tmp_path) != feature_path(replace(view, arithmetic="float32"), tmp_path)
