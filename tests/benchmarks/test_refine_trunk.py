"""Going on with distillation: what is compared, what crops go through, and what is not among them."""

from __future__ import annotations

import argparse
import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.torch
import torch

from benchmarks import distill_trunk, refine_trunk, unseen
from benchmarks.natural_steps import NaturalSteps
from benchmarks.refine_trunk import block_loss, disturbed, folded, make_views, noisy, rate_at, unfolded
from benchmarks.unseen import nearness
from simsearch.nn.trunk_file import expected_shapes, read_trunk, trunk_from_bytes, trunk_to_bytes

if TYPE_CHECKING:
    from simsearch.nn.trunk import Trunk


@pytest.fixture(scope="module")
def teacher() -> Trunk:
    return trunk_from_bytes(read_trunk("bundled"), 3)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Make soft noise, some of it faint."""
    noise = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    soft = torch.nn.functional.interpolate(noise, 64, mode="bilinear")
    soft[3:] = 0.5 + 0.1 * (soft[3:] - 0.5)
    return soft


def perturbed(teacher: Trunk, by: float) -> Trunk:
    """Return a copy with other weights in layer2, ready to be trained."""
    student, rng = trunk_from_bytes(read_trunk("bundled"), 3), torch.Generator().manual_seed(1)
    for weight in student.layer2.parameters():
        weight.add_(by * weight.std(correction=0) * torch.randn(weight.shape, generator=rng))
    return student.requires_grad_(True)


def test_a_trunk_is_its_own_equal_and_its_copy_comes_nearer(teacher: Trunk, images: torch.Tensor) -> None:
    rng = torch.Generator().manual_seed(0)
    assert block_loss(teacher, teacher, images, 0.0, rng).item() == pytest.approx(0, abs=0.02)
    student = folded(perturbed(teacher, 0.3)).requires_grad_(True)
    early = {name: module for name, module in student.named_modules() if not name.startswith("layer3")}
    deep = torch.optim.AdamW(student.layer3.parameters(), lr=1e-4)
    steps = refine_trunk.Optimizers(NaturalSteps(early, 0.02), deep)
    losses = [refine_trunk._step(student, teacher, steps, images, (i, 0.8)) for i in range(8)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_folded_trunk_is_the_same_function_and_so_is_what_is_unfolded(teacher: Trunk, images: torch.Tensor) -> None:
    before = teacher(images)
    inner = folded(trunk_from_bytes(read_trunk("bundled"), 3))
    torch.testing.assert_close(inner(images), before, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        inner.layer1[0].conv2.weight.mul_(1.1)
    again = unfolded(inner, trunk_from_bytes(read_trunk("bundled"), 3))
    torch.testing.assert_close(again(images), inner(images), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(again(images), before, rtol=1e-3, atol=1e-3)
    blob = trunk_to_bytes(again, "test")
    assert {name: value.shape for name, value in safetensors.torch.load(blob).items()} == expected_shapes()


def test_layer3_alone_is_trained_and_all_before_it_stays_to_the_last_bit(teacher: Trunk, images: torch.Tensor) -> None:
    first = trunk_from_bytes(read_trunk("bundled"), 3)
    with torch.no_grad():
        first.layer3[0].conv1.weight.mul_(1.2)
    before = copy.deepcopy(first)
    student, steps = refine_trunk._begin(first, argparse.Namespace(deep=True, rate=0.02))
    losses = [refine_trunk._step(student, teacher, steps, images, (i, 0.8)) for i in range(6)]
    assert losses[-1] < losses[0]
    after = unfolded(student, copy.deepcopy(before)).state_dict()
    same = {key: torch.equal(value, after[key]) for key, value in before.state_dict().items()}
    assert all(same[key] for key in same if not key.startswith("layer3"))
    assert not same["layer3.0.conv1.weight"]
    torch.testing.assert_close(unfolded(student, before)(images), student(images), rtol=1e-3, atol=1e-3)


def test_with_the_teachers_inputs_only_the_block_that_differs_is_to_blame(teacher: Trunk, images: torch.Tensor) -> None:
    rng, student = torch.Generator().manual_seed(0), perturbed(teacher, 0.2)
    block_loss(student, teacher, images, 1.0, rng).backward()
    assert student.layer3[0].conv1.weight.grad.abs().max() < 1e-4 < student.layer2[0].conv1.weight.grad.abs().max()


def test_a_faint_image_counts_as_much_as_a_bright_one() -> None:
    bright = torch.rand(1, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    teacher = torch.cat([bright, 0.3 * bright + 2])
    off = torch.rand(1, 8, 6, 6, generator=torch.Generator().manual_seed(1)) - 0.5
    first, second = (
        refine_trunk._difference(teacher + 0.1 * torch.cat(which), teacher).item()
        for which in ([off, 0 * off], [0 * off, 0.3 * off])
    )
    assert second == pytest.approx(first, rel=0.6)  # a plain error would tell a third of it


def test_nearness_is_one_for_the_same_trunk_and_less_for_another(teacher: Trunk, images: torch.Tensor) -> None:
    assert nearness(teacher, teacher, images) == pytest.approx((1, 1, 1, 1), abs=1e-5)
    other = nearness(perturbed(teacher, 0.2).requires_grad_(False), teacher, images)
    assert other.layer1 == pytest.approx(1, abs=1e-5)
    assert other.centred < other.layer2 < 0.999
    assert other.layer3 < 0.999


def test_crops_stay_in_range_become_faint_and_grey_and_depend_on_the_seed_alone() -> None:
    crops = torch.rand(200, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    first, again, other = (noisy(disturbed(crops, rng), rng) for rng in map(torch.Generator().manual_seed, (1, 1, 2)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == crops.shape
    assert 0 <= first.min() <= first.max() <= 1
    calm = disturbed(crops, torch.Generator().manual_seed(1))
    assert 0.2 < (calm.amax(dim=(1, 2, 3)) - calm.amin(dim=(1, 2, 3)) < 0.5).float().mean() < 0.7
    assert 0.2 < (calm[:, 0] == calm[:, 1]).all(dim=2).all(dim=1).float().mean() < 0.5


def test_half_of_a_batch_is_of_the_pool_and_half_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refine_trunk, "_DRAWN", 3)
    monkeypatch.setattr(refine_trunk, "_DRAWN_SIDE", 64)
    refine_trunk._drawn.cache_clear()
    pool = distill_trunk.make_pool({"photo": [np.full((80, 80, 3), 128, np.uint8)]}, torch.device("cpu"))
    views = make_views(pool, 5, 8, 32)
    assert views.shape == (8, 3, 32, 32)
    assert torch.equal(views, make_views(pool, 5, 8, 32))
    refine_trunk._drawn.cache_clear()


def test_the_rate_rises_and_ends_at_nothing() -> None:
    rates = [rate_at(progress, 1.0) for progress in (0, 0.02, 0.5, 0.99, 1.0)]
    assert rates[0] < 0.1
    assert rates[1] == pytest.approx(1, abs=0.01)
    assert rates[1] > rates[2] > rates[3] > rates[4]
    assert rates[4] < 0.01


def test_what_judges_features_is_not_trained_on() -> None:
    trained = {
        name
        for kind in ("BRIGHTFIELD", "GREY", "TEXTURE", "PHOTO")
        for name in getattr(distill_trunk, f"SKIMAGE_{kind}")
    }
    assert not trained & set(unseen.ONCE_SEEN)
