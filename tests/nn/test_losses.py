"""The losses are what the paper's equations say, written as loops."""

from __future__ import annotations

import math

import pytest
import torch

from simsearch.errors import ShapeError
from simsearch.nn.losses import self_supervised_loss, supervised_loss


def cosine(u: torch.Tensor, v: torch.Tensor) -> float:
    return float(torch.dot(u, v) / (u.norm() * v.norm()))


def loop_nt_xent(views: torch.Tensor, temperature: float) -> float:
    """Equation 1; view i of a patch is followed by its other view n rows on."""
    n = len(views) // 2
    total = 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        denominator = sum(math.exp(cosine(views[i], views[a]) / temperature) for a in range(2 * n) if a != i)
        total -= math.log(math.exp(cosine(views[i], views[j]) / temperature) / denominator)
    return total / (2 * n)


def loop_supervised(
    z: torch.Tensor, y: list[int], negatives: torch.Tensor, of_class: list[int], temperature: float
) -> float:
    """Equation 4, which is equation 2 where there are no negatives."""
    total, n_anchors = 0.0, 0
    for i in range(len(z)):
        positives = [p for p in range(len(z)) if p != i and y[p] == y[i]]
        if not positives:
            continue
        denominator = sum(math.exp(cosine(z[i], z[a]) / temperature) for a in range(len(z)) if a != i)
        for n in range(len(negatives)):
            if of_class[n] == y[i]:
                denominator += math.exp(cosine(z[i], negatives[n]) / temperature)
        terms = [math.log(math.exp(cosine(z[i], z[p]) / temperature) / denominator) for p in positives]
        total -= sum(terms) / len(positives)
        n_anchors += 1
    return total / n_anchors


@pytest.fixture
def projections() -> torch.Tensor:
    return torch.randn(9, 6, generator=torch.Generator().manual_seed(3)).double().float()


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_self_supervised_loss_is_equation_1(projections: torch.Tensor, temperature: float) -> None:
    first, second = projections[:4], projections[4:8]

    assert self_supervised_loss(first, second, temperature).item() == pytest.approx(
        loop_nt_xent(torch.cat([first, second]), temperature), rel=1e-5
    )


def test_supervised_loss_without_negatives_is_equation_2(projections: torch.Tensor) -> None:
    labels = [0, 0, 1, 1, 1, 2, 0, 1, 1]  # class 2 has one patch: it is no anchor

    expected = loop_supervised(projections, labels, projections[:0], [], 0.07)

    assert supervised_loss(projections, torch.tensor(labels)).item() == pytest.approx(expected, rel=1e-5)


def test_supervised_loss_with_negatives_is_equation_4(projections: torch.Tensor) -> None:
    z, labels = projections[:6], [0, 0, 1, 1, 2, 2]
    negatives, of_class = projections[6:], [0, 0, 2]

    expected = loop_supervised(z, labels, negatives, of_class, 0.07)
    found = supervised_loss(z, torch.tensor(labels), negatives, torch.tensor(of_class))

    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_negative_counts_against_its_own_class_alone(projections: torch.Tensor) -> None:
    z, labels, negative = projections[:4], torch.tensor([0, 0, 1, 1]), projections[4:5]
    without = supervised_loss(z, labels)

    assert supervised_loss(z, labels, negative, torch.tensor([0])) > without
    assert supervised_loss(z, labels, negative, torch.tensor([2])) == without


def test_views_that_agree_cost_less_than_views_that_do_not(projections: torch.Tensor) -> None:
    first = projections[:4]

    assert self_supervised_loss(first, first) < self_supervised_loss(first, first.roll(1, 0))


def test_wrong_shapes_are_refused(projections: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="two views"):
        self_supervised_loss(projections[:2], projections[:3])
    with pytest.raises(ShapeError, match="two patches of one class"):
        supervised_loss(projections[:3], torch.tensor([0, 1, 2]))
    with pytest.raises(ShapeError, match="label for each"):
        supervised_loss(projections[:3], torch.tensor([0, 1]))
