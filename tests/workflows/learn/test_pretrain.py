"""Trunks trained on one's own images: whole, cancelled, killed, judged."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from simsearch.core.synthetic import cell_field
from simsearch.errors import Cancelled, ConfigError, StoreError
from simsearch.io.ome_zarr.image import is_rgb
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.runtime import compute, training_log
from simsearch.runtime.crops import CropOptions, CropSource, as_colours, image_percentiles, read_crops
from simsearch.runtime.training_log import CHECKPOINT_NAME, cancel_training, read_progress
from simsearch.training.epochs import EpochDone
from simsearch.workflows.learn.pretrain import PretrainOptions, pretrain_trunk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client

    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.runtime.events import Event
    from simsearch.workflows.learn.pretrain import PretrainReport
    from tests.conftest import SaveImage

OPTIONS = PretrainOptions(steps=4, batch=4, crop=32, checkpoint=1, validate_every=4)
RGB = ("Red", "Green", "Blue")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory, save_image: SaveImage) -> dict[str, ImageMeta]:
    """Write an image of each kind: grey 16 bit, two fluorescence channels, RGB."""
    folder, rng = tmp_path_factory.mktemp("kinds"), np.random.default_rng(0)
    cells = cell_field(rng, (160, 160), n_cells=12).image
    tissue = (255 * rng.random((3, 20, 24))).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    return {
        "grey": save_image(folder / "grey.ome.zarr", cells[:1]),
        "cells": save_image(folder / "cells.ome.zarr", cells),
        "tissue": save_image(folder / "tissue.ome.zarr", tissue, channel_names=RGB),
    }


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compute, "CPU_COUNT", 1)
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def truth(kinds: dict[str, ImageMeta], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "truth.csv"
    rows = [f"cells,cell,{y},{x},40,40" for y, x in ((30, 40), (80, 90), (120, 60))]
    path.write_text("\n".join(["image,class,y,x,height,width", *rows]))
    return path


@pytest.fixture(scope="module")
def whole(
    client: Client, kinds: dict[str, ImageMeta], truth: Path, one_thread: None, tmp_path_factory: pytest.TempPathFactory
) -> PretrainReport:
    """Train in one go, judged by the cells."""
    out = tmp_path_factory.mktemp("whole") / "own.safetensors"
    return pretrain_trunk(client, paths(kinds), out, replace(OPTIONS, validate=truth))


def paths(kinds: dict[str, ImageMeta]) -> list[str]:
    return [image.path for image in kinds.values()]


# Crops


def test_crops_of_all_kinds_are_colours_and_depend_on_the_seed_alone(kinds: dict[str, ImageMeta]) -> None:
    sources = [CropSource(image, 1.0) for image in kinds.values()]
    crops = read_crops(sources, CropOptions(24), 12, (0, 5))
    assert crops.shape == (12, 3, 24, 24)
    assert crops.min() >= 0
    assert crops.max() <= 1
    assert (crops.std(dim=(1, 2, 3)) > 0.03).float().mean() > 0.8
    assert torch.equal(crops, read_crops(sources, CropOptions(24), 12, (0, 5)))
    assert not torch.equal(crops, read_crops(sources, CropOptions(24), 12, (0, 6)))


def test_scales_are_what_was_asked_for(kinds: dict[str, ImageMeta]) -> None:
    """Of squares of 8 px, a crop at scale 2 crosses eight times as many edges as one at scale 1 / 4."""
    source = [CropSource(kinds["tissue"], 1.0)]

    def edges(scale: float) -> float:
        crops = read_crops(source, CropOptions(32, (scale, scale)), 8, (0,))
        return float(crops.diff(dim=-1).abs().mean())

    assert edges(2.0) == pytest.approx(8 * edges(0.25), rel=0.5)


def test_weights_choose_images(kinds: dict[str, ImageMeta]) -> None:
    sources = [CropSource(kinds["grey"], 1.0), CropSource(kinds["tissue"], 0.0)]
    crops = read_crops(sources, CropOptions(24), 8, (0,))
    assert torch.equal(crops[:, 0], crops[:, 1])
    coloured = read_crops(list(reversed([replace(s, weight=1 - s.weight) for s in sources])), CropOptions(24), 8, (0,))
    assert not torch.equal(coloured[:, 0], coloured[:, 1])


def test_channels_become_colours() -> None:
    rng, pixels = np.random.default_rng(0), np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    assert np.array_equal(as_colours(pixels[:1], rng), np.repeat(pixels[:1], 3, axis=0))
    for _ in range(8):
        pair = as_colours(pixels[:2], rng)
        assert {plane.tobytes() for plane in pair} - {np.zeros((2, 2), np.float32).tobytes()} == {
            plane.tobytes() for plane in pixels[:2]
        } - {np.zeros((2, 2), np.float32).tobytes()}
    assert {plane.tobytes() for plane in as_colours(pixels, rng)} == {plane.tobytes() for plane in pixels}


def test_only_eight_bit_colours_of_a_camera_are_rgb(kinds: dict[str, ImageMeta]) -> None:
    assert [is_rgb(image) for image in kinds.values()] == [False, False, True]


def test_ranges_are_percentiles_and_never_empty(
    kinds: dict[str, ImageMeta], tmp_path: Path, save_image: SaveImage
) -> None:
    for pairs in image_percentiles(kinds["cells"]):
        assert all(low < high for low, high in pairs)
        assert pairs[0][0] <= pairs[1][0] <= pairs[2][0] < pairs[2][1] <= pairs[1][1] <= pairs[0][1]
    blank = save_image(tmp_path / "blank.ome.zarr", np.full((1, 64, 64), 7, np.uint16))
    assert read_crops([CropSource(blank, 1.0)], CropOptions(24), 1, (0,)).max() == 0


# Training


def test_a_trunk_is_trained_judged_and_described(whole: PretrainReport, truth: Path) -> None:
    blob = read_trunk(str(whole.trunk))
    assert hashlib.sha256(blob).hexdigest() == whole.sha256
    assert (whole.trunk.parent / "own.safetensors.sha256").read_text().startswith(whole.sha256)
    assert trunk_from_bytes(blob, 2)(torch.rand(1, 2, 48, 48)).isfinite().all()
    assert whole.n_images == 2  # the cells judge
    assert len(whole.losses["simclr"]) == 4
    (judged,) = whole.validations
    assert (judged.stage, judged.step) == ("simclr", 4)
    assert 0 < judged.scores["cell"] <= 1
    card = (whole.folder / "README.md").read_text()
    for words in (whole.sha256, "simclr", "random weights", "grey.ome.zarr", "tissue.ome.zarr", "(step 4)"):
        assert words in card
    assert "cells.ome.zarr" not in card
    run = json.loads((whole.folder / "run.json").read_text())
    assert run["workflow"] == "pretrain"
    assert run["options"]["validate"] == str(truth)
    assert len(run["images"]) == 2
    with Image.open(whole.folder / "losses.png") as losses, Image.open(whole.folder / "patches.png") as drawn:
        assert losses.width > 200
        assert np.asarray(drawn).std() > 10
    assert not (whole.folder / CHECKPOINT_NAME).exists()


def test_what_is_complete_is_not_trained_again_and_nothing_else_overwrites_it(
    client: Client, whole: PretrainReport, kinds: dict[str, ImageMeta], truth: Path
) -> None:
    before = whole.trunk.stat().st_mtime_ns
    options = replace(OPTIONS, validate=truth)
    assert pretrain_trunk(client, paths(kinds), whole.trunk, options) == whole
    assert whole.trunk.stat().st_mtime_ns == before
    with pytest.raises(StoreError, match=r"expected a training of the same images with the same options"):
        pretrain_trunk(client, paths(kinds), whole.trunk, replace(options, seed=1))


def test_a_file_of_something_else_is_not_overwritten(
    client: Client, kinds: dict[str, ImageMeta], tmp_path: Path
) -> None:
    (tmp_path / "mine.safetensors").write_text("precious")
    with pytest.raises(StoreError, match=r"mine\.safetensors: expected a new name"):
        pretrain_trunk(client, paths(kinds), tmp_path / "mine.safetensors", OPTIONS)
    assert (tmp_path / "mine.safetensors").read_text() == "precious"


def test_a_training_that_was_cancelled_goes_on_to_the_same_bytes(
    client: Client, whole: PretrainReport, kinds: dict[str, ImageMeta], truth: Path, one_thread: None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out, options = tmp_path / "own.safetensors", replace(OPTIONS, validate=truth)
    observe = training_log.TrainingLog.observe

    def cancel(log: training_log.TrainingLog, event: EpochDone) -> None:
        observe(log, event)
        if event.epoch == 2:
            cancel_training(tmp_path / "own-training")

    with monkeypatch.context() as patch:
        patch.setattr(training_log.TrainingLog, "observe", cancel)
        with pytest.raises(Cancelled, match="run the same command again to go on"):
            pretrain_trunk(client, paths(kinds), out, options)
    assert [event.epoch for event in read_progress(tmp_path / "own-training")] == [1, 2]
    assert not out.exists()
    told: list[EpochDone] = []

    def note(event: Event) -> None:
        if isinstance(event, EpochDone):
            told.append(event)

    report = pretrain_trunk(client, paths(kinds), out, options, observe=note)
    assert report.sha256 == whole.sha256
    assert report.losses == whole.losses
    assert [event.epoch for event in told] == [1, 2, 3, 4]
    assert all(event.seconds > 0 for event in told)


@pytest.mark.cluster
def test_a_training_whose_worker_is_killed_goes_on_to_the_same_bytes(
    one_process: Client, kinds: dict[str, ImageMeta], trunk_file: Path, tmp_path: Path
) -> None:
    options = replace(OPTIONS, method="both", teacher=str(trunk_file), steps=3, batch=2)
    expected = pretrain_trunk(one_process, paths(kinds), tmp_path / "undisturbed.safetensors", options)
    assert set(expected.losses) == {"distill", "simclr"}
    (pid,) = one_process.run(os.getpid).values()
    epochs: list[tuple[str, int]] = []

    def kill(event: Event) -> None:
        if isinstance(event, EpochDone):
            epochs.append((event.stage, event.epoch))
            if len(epochs) == 1:
                os.kill(pid, signal.SIGKILL)

    report = pretrain_trunk(one_process, paths(kinds), tmp_path / "killed.safetensors", options, observe=kill)
    assert report.sha256 == expected.sha256
    assert report.losses == expected.losses
    assert epochs == [("distill", 1), ("distill", 2), ("simclr", 1)]
    (other,) = one_process.run(os.getpid).values()
    assert other != pid


def test_a_trunk_can_begin_with_another(
    client: Client, kinds: dict[str, ImageMeta], trunk_file: Path, one_thread: None, tmp_path: Path
) -> None:
    options = replace(OPTIONS, steps=1, begin=str(trunk_file), rate=1e-9)
    report = pretrain_trunk(client, paths(kinds), tmp_path / "tuned.safetensors", options)
    tuned, begun = (trunk_from_bytes(read_trunk(str(path)), 3) for path in (report.trunk, trunk_file))
    torch.testing.assert_close(tuned.conv1.weight, begun.conv1.weight, atol=1e-3, rtol=1e-2)
    assert "began with" in (report.folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "distill"}, "expected a teacher for the method distill"),
        ({"method": "simclr", "teacher": "bundled"}, "expected no teacher for the method simclr"),
        ({"method": "mae"}, "method: expected simclr or distill or both, got 'mae'"),
        ({"scales": (4.0, 1.0)}, "expected scales"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    client: Client, kinds: dict[str, ImageMeta], tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain_trunk(client, paths(kinds), tmp_path / "a.safetensors", replace(OPTIONS, **changes))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_trunk_says_what_it_is(client: Client, kinds: dict[str, ImageMeta], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.safetensors, got trunk\.pth"):
        pretrain_trunk(client, paths(kinds), tmp_path / "trunk.pth", OPTIONS)


def test_images_that_all_judge_leave_nothing_to_train_on(
    client: Client, kinds: dict[str, ImageMeta], truth: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"expected images to train on, got only those that .*truth\.csv names"):
        pretrain_trunk(client, [kinds["cells"].path], tmp_path / "a.safetensors", replace(OPTIONS, validate=truth))
