"""A head that says where the middle of an object is."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.offset_head import fit_offsets
from simsearch.nn.augment import crop_side, middle
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.trunk import Trunk

N, RADIUS = 24, 12


def disc(rng: np.random.Generator, side: int) -> torch.Tensor:
    """Draw a bright disc in the middle of noise."""
    y, x = np.mgrid[:side, :side] - side / 2
    image = (np.hypot(y, x) < RADIUS) * 0.6 + rng.uniform(0.1, 0.3, (side, side))
    return torch.from_numpy(image[np.newaxis]).float()


def test_it_points_to_the_middle_of_discs_that_it_was_not_fitted_to() -> None:
    torch.manual_seed(0)
    model = PatchClassifier(Trunk(1), classifier_extractor("dense", (48, 48)), 2).eval().requires_grad_(False)
    rng, side = np.random.default_rng(0), crop_side(max(model.input_shape))
    crops = torch.stack([disc(rng, side) for _ in range(N)])
    head = fit_offsets(model, crops[: N // 2])

    steps = torch.tensor([(dy, dx) for dy in (-8, 0, 8) for dx in (-8, 0, 8)])
    views = torch.stack([middle(crops[-1 - i].roll(tuple(at.tolist()), (1, 2)), model.input_shape)
                         for i, at in enumerate(steps)])  # fmt: skip
    found = torch.cat([head.maps(block)[:, 0, 0][None] for block in model.blocks(views)])
    assert (found * int(model.extractor.grid.stride) - steps).norm(dim=1).max() < 4
