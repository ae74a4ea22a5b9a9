"""Cross-validation of labels: wrong ones are found, and what cannot be judged is not."""

from __future__ import annotations

import numpy as np
import torch

from simsearch.training.held_out import folds_of, held_out_logits, log_odds_of, probabilities_of, products
from simsearch.training.patches import oversampled


def clouds(n_each: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Make vectors of three classes in two rotations."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(3).repeat_interleave(n_each)
    vectors = torch.eye(3, 200)[labels] + 0.1 * torch.randn(2, 3 * n_each, 200, generator=generator)
    return torch.nn.functional.normalize(vectors, dim=2), labels


def test_planted_wrong_labels_are_found_and_few_others() -> None:
    vectors, truth = clouds(20)
    said, wrong = truth.clone(), torch.tensor([2, 13, 27, 41, 55])
    said[wrong] = (said[wrong] + 1) % 3
    folds = folds_of(torch.arange(60).remainder(6).tolist(), [0.0] * 60, said.tolist())
    own = probabilities_of(held_out_logits(products(vectors), said, folds), said)[torch.arange(60), said]
    is_doubtful = own < 0.2
    assert is_doubtful[wrong].sum() >= 4
    assert is_doubtful.sum() <= 6


def test_what_lies_on_one_image_alone_is_not_judged() -> None:
    vectors, labels = clouds(4)
    folds = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0])
    found = probabilities_of(held_out_logits(products(vectors), labels, folds), labels)
    assert found[8:].isnan().all()
    assert not found[:8].isnan().any()
    assert found[:8].argmax(dim=1).tolist() == labels[:8].tolist()


def test_what_is_only_asked_about_is_judged_and_not_learned_from() -> None:
    vectors, labels = clouds(12)
    folds = np.arange(36) % 4
    others = torch.arange(36) % 6 == 5
    said = torch.where(others, -1, labels)
    logits = held_out_logits(products(vectors), said, folds)
    assert logits[others].argmax(dim=1).tolist() == labels[others].tolist()
    assert torch.allclose(
        logits[~others], held_out_logits(products(vectors[:, ~others]), labels[~others], folds[~others]), atol=1e-3
    )
    odds = log_odds_of(logits, labels)
    assert (odds[others] > 0).all()
    expected = probabilities_of(logits, labels)[torch.arange(36), labels]
    assert torch.allclose(odds.sigmoid(), expected, atol=1e-4)


def test_one_image_is_cut_into_strips_and_many_are_never_cut() -> None:
    y = np.random.default_rng(0).uniform(0, 100, 30)
    strips = folds_of([7] * 30, y.tolist(), [0, 1] * 15)
    assert [set(strips)] == [{0, 1, 2, 3, 4}]
    assert (np.diff(strips[np.argsort(y)]) >= 0).all()
    images = np.repeat(np.arange(12), 5)
    folds = folds_of(images.tolist(), [0.0] * 60, ([0] * 4 + [1]) * 12)
    assert all(len(set(folds[images == image])) == 1 for image in range(12))
    assert np.bincount(folds).min() >= 10


def test_what_counts_less_is_drawn_less_and_classes_stay_alike() -> None:
    labels, weights = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([1.0, 0.1, 1, 1, 1])
    drawn = oversampled(labels, 4000, torch.Generator().manual_seed(0), weights).bincount(minlength=5) / 4000
    assert abs(drawn[:2].sum() - 0.5) < 0.04
    assert drawn[1] < 0.08
