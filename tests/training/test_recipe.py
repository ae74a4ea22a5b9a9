"""Training on synthetic cells, small enough for a busy CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from simsearch.core.synthetic import CYTOPLASM, NO_GFP, NUCLEUS, cell_field
from simsearch.errors import ConfigError
from simsearch.nn.augment import crop_side
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.training.epochs import EpochDone, EpochLog
from simsearch.training.patches import LabelledPatches, TrainingPatches, oversampled
from simsearch.training.recipe import Schedule, TrainingConfig, train

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simsearch.nn.device import Arithmetic

PATCH = (32, 32)
CLASSES = (CYTOPLASM, NUCLEUS, NO_GFP)
BRIEF = Schedule(2, 16, decay_every=10, decay=0.1)
CONFIG = TrainingConfig(noisy=BRIEF, clean=BRIEF, classifier=replace(BRIEF, epochs=15, rate=1e-2), averaging=0.8)


def make_model(kind: str) -> PatchClassifier:
    trunk = trunk_from_bytes(read_trunk("bundled"), 2).to(memory_format=torch.channels_last)
    return PatchClassifier(trunk, classifier_extractor(kind, PATCH), 1 + len(CLASSES))


def cell_crops(seed: int, n_cells: int, side: int) -> LabelledPatches:
    """Cut crops around cells, and of background away from them."""
    rng = np.random.default_rng(seed)
    crops, labels = [], []
    while len(labels) < n_cells:
        field = cell_field(rng, (256, 256), n_cells=12)
        low, high = np.percentile(field.image, (1, 99.5), axis=(1, 2))[:, :, None, None]
        image = np.clip((field.image - low) / (high - low), 0, 1).astype(np.float32)
        padded = np.pad(image, ((0, 0), (side, side), (side, side)), mode="reflect")
        far = [p for p in rng.integers(20, 236, (50, 2)) if all(np.hypot(*(p - (c.y, c.x))) > 32 for c in field.cells)]
        spots = [(c.y, c.x, 1 + CLASSES.index(c.class_name)) for c in field.cells] + [(*p, 0) for p in far[:4]]
        for y, x, label in spots:
            top, left = int(y) + side - side // 2, int(x) + side - side // 2
            crops.append(torch.from_numpy(padded[:, top : top + side, left : left + side].copy()))
            labels.append(label)
    return LabelledPatches(torch.stack(crops), torch.tensor(labels))


def none_of(patches: LabelledPatches) -> LabelledPatches:
    return LabelledPatches(patches.crops[:0], patches.labels[:0])


@pytest.fixture(scope="module", params=[("dense", "bfloat16"), ("patchwise", "float32")], ids=str)
def trained(request: pytest.FixtureRequest) -> tuple[PatchClassifier, TrainingPatches, list[EpochDone]]:
    kind, arithmetic = request.param
    model = make_model(kind)
    side = crop_side(max(model.input_shape))
    clean, noisy = cell_crops(1, 60, side), cell_crops(2, 24, side)
    patches = TrainingPatches(clean, none_of(clean), noisy)
    events: list[EpochDone] = []
    train(model, patches, CONFIG, EpochLog(events.append), arithmetic)
    return model, patches, events


def test_a_trained_model_tells_unseen_cells_apart(
    trained: tuple[PatchClassifier, TrainingPatches, list[EpochDone]],
) -> None:
    model, patches, _ = trained
    unseen = cell_crops(3, 60, patches.clean.crops.shape[-1])
    shape = model.input_shape
    top = (unseen.crops.shape[-1] - shape[0]) // 2
    with torch.no_grad():
        found = model(unseen.crops[..., top : top + shape[0], top : top + shape[1]]).argmax(dim=1)

    # Guessing the most frequent class is right for less than half.
    assert (found == unseen.labels).float().mean() > 0.75


def test_every_epoch_of_every_stage_is_told(trained: tuple[PatchClassifier, TrainingPatches, list[EpochDone]]) -> None:
    _, _, events = trained

    told = [(event.stage, event.epoch, event.n_epochs) for event in events]
    assert told == [(s, e, n) for s, n in (("noisy", 2), ("clean", 2), ("classifier", 15)) for e in range(1, n + 1)]
    classifier = [event.loss for event in events if event.stage == "classifier"]
    assert classifier[-1] < classifier[0]


def test_only_layer3_and_the_head_learn(trained: tuple[PatchClassifier, TrainingPatches, list[EpochDone]]) -> None:
    model, _, _ = trained
    fresh = make_model("dense" if model.extractor.method == "template" else "patchwise").state_dict()

    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, fresh[name])}
    assert {".".join(name.split(".")[:2]) for name in changed} == {"trunk.layer3", "head.weight", "head.bias"}
    assert not any("running" in name for name in changed)


def small_run(
    checkpoint: Mapping[str, Any] | None = None,
    stop_after: int | None = None,
    seed: int = 0,
    arithmetic: Arithmetic = "float32",
) -> Any:  # noqa: ANN401
    model = make_model("patchwise")
    clean = cell_crops(1, 14, crop_side(PATCH[0]))
    negatives = LabelledPatches(clean.crops[:3], torch.tensor([1, 2, 2]))
    patches = TrainingPatches(clean, negatives, clean)
    brief = replace(BRIEF, batch=8, n_patches=32)
    config = TrainingConfig(brief, brief, brief, seed=seed)
    kept: list[dict[str, Any]] = []

    def keep(state: dict[str, Any]) -> None:
        kept.append(torch_copy(state))
        if len(kept) == stop_after:
            raise KeyboardInterrupt

    try:
        train(model, patches, config, EpochLog(keep=keep, checkpoint=checkpoint), arithmetic)
    except KeyboardInterrupt:
        return kept[-1]
    return model.state_dict()


def torch_copy(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: torch_copy(inner) for key, inner in value.items()}
    return [torch_copy(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("stop_after", "arithmetic"), [(2, "float32"), (3, "bfloat16"), (5, "bfloat16")])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(stop_after: int, arithmetic: Arithmetic) -> None:
    whole = small_run(arithmetic=arithmetic)
    resumed = small_run(checkpoint=small_run(stop_after=stop_after, arithmetic=arithmetic), arithmetic=arithmetic)

    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_seed_decides_the_weights() -> None:
    first, again, other = small_run(), small_run(), small_run(seed=1)

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_the_papers_arithmetic_and_another_learn_nearly_the_same() -> None:
    exact, short = small_run(), small_run(arithmetic="bfloat16")

    moved = [
        exact[name] - make_model("patchwise").state_dict()[name]
        for name in exact
        if "layer3" in name and "conv" in name
    ]
    apart = [exact[name] - short[name] for name in exact if "layer3" in name and "conv" in name]
    assert 0 < sum(d.norm() for d in apart) < 0.5 * sum(d.norm() for d in moved)


def test_fewer_than_two_classes_are_refused() -> None:
    model = make_model("patchwise")
    crops = torch.zeros(3, 2, *PATCH)
    patches = LabelledPatches(crops, torch.ones(3, dtype=torch.long))

    with pytest.raises(ConfigError, match="two classes"):
        train(model, TrainingPatches(patches, none_of(patches), none_of(patches)), CONFIG)


def test_oversampling_draws_all_classes_alike() -> None:
    labels = torch.tensor([0] * 95 + [1] * 5)

    drawn = labels[oversampled(labels, 4000, torch.Generator().manual_seed(0))]

    assert drawn.float().mean() == pytest.approx(0.5, abs=0.04)
