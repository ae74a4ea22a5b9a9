"""Steps in units of what they change: they fit what a plain optimizer hardly begins to, and never jump."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchmarks.natural_steps import NaturalSteps

RATE = 0.4


def inputs(seed: int) -> torch.Tensor:
    """Make positive images, all nearly alike, as behind a ReLU."""
    rng = torch.Generator().manual_seed(seed)
    channels = torch.logspace(0, -1.5, 8)[:, None, None]
    return 3 + channels * torch.rand(16, 8, 12, 12, generator=rng)


def fit(optimizer: object, student: nn.Conv2d, teacher: nn.Conv2d, n_steps: int = 60) -> list[float]:
    losses = []
    for step in range(n_steps):
        seen = inputs(step)
        right = teacher(seen).detach()
        loss = (student(seen) - right).square().mean() / right.var()
        student.zero_grad()
        loss.backward()
        if isinstance(optimizer, NaturalSteps):
            optimizer.rate = RATE * (1 - step / n_steps)
        optimizer.step()  # type: ignore[attr-defined]
        losses.append(loss.item())
    return losses


@pytest.fixture
def pair() -> tuple[nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(0)
    student, teacher = (nn.Conv2d(8, 4, 3, padding=1) for _ in range(2))
    return student, teacher


def test_a_regression_on_inputs_that_are_alike_is_fitted_sooner(pair: tuple[nn.Conv2d, nn.Conv2d]) -> None:
    student, teacher = pair
    plain = copy.deepcopy(student)
    natural = fit(NaturalSteps({"a": student}, 0.1, damping=1e-4), student, teacher)
    adam = fit(torch.optim.Adam(plain.parameters(), lr=1e-2), plain, teacher)
    assert natural[-1] < 0.01 * adam[-1]


def test_a_step_changes_the_output_by_the_share_that_is_asked_for(pair: tuple[nn.Conv2d, nn.Conv2d]) -> None:
    student, teacher = pair
    optimizer, seen = NaturalSteps({"a": student}, 0.05, damping=1e-4), inputs(0)
    before = student(seen)
    (before - teacher(seen).detach()).square().mean().backward()
    optimizer.step()
    change = (student(seen) - before).square().mean().sqrt() / (before - before.mean(dim=(0, 2, 3), keepdim=True)).std()
    assert change.item() == pytest.approx(0.05, rel=0.2)


def test_nothing_is_measured_without_gradients(pair: tuple[nn.Conv2d, nn.Conv2d]) -> None:
    student, _ = pair
    optimizer = NaturalSteps({"a": student, "relu": nn.ReLU()}, 0.05)
    with torch.no_grad():
        student(inputs(0))
    assert not optimizer._moments
