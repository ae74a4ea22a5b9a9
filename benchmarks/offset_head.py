"""A head that says where the middle of an object is, beside the one that says of which class it is.

It is linear in the vectors that a patch covers, and fitted by ridge regression to the patches that a model was trained
on, each shifted and mirrored by what is known. `benchmarks.touching` moves peaks by what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from simsearch.nn.augment import middle
from simsearch.nn.correlation import correlate

if TYPE_CHECKING:
    from simsearch.nn.classifier import PatchClassifier

REACH = 0.3
"""How far patches are shifted, as a part of their side: where a peak still counts as at its object."""
_VIEWS, _RIDGE, _BATCH = 6, 0.1, 16  # of 0.0001 to 1 the ridge that errs least on objects it was not fitted to


@dataclass(frozen=True, slots=True, eq=False)
class OffsetHead:
    """Where the middle is, seen from a position of the feature grid, in grid steps."""

    weight: torch.Tensor
    """(2, D, kh, kw)"""
    bias: torch.Tensor
    """(2,)"""

    def maps(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (2, H, W) offsets along y and x of (D, H + 2 m, W + 2 m) vectors, m being half a block."""
        return correlate(vectors, self.weight) + self.bias[:, None, None]


def fit_offsets(model: PatchClassifier, crops: torch.Tensor, seed: int = 0) -> OffsetHead:
    """Fit a head to the middles of objects.

    Parameters
    ----------
    model : PatchClassifier
        Trained, of one square size of patches.
    crops : (N, C, S, S) tensor
        An object in the middle of each, with room around it.
    seed : int
        Source of randomness.
    """
    generator = torch.Generator().manual_seed(seed)
    views, offsets = zip(
        *(_shifted(model, crop, generator) for crop in crops.repeat_interleave(_VIEWS, 0)), strict=True
    )
    with torch.inference_mode():
        blocks = torch.cat([model.blocks(batch) for batch in torch.stack(views).split(_BATCH)])
    wanted = torch.stack(offsets) / int(model.extractor.grid.stride)
    flat = blocks.flatten(1)
    mean = flat.mean(dim=0)
    centred = flat - mean
    gram = centred @ centred.T
    ridge = _RIDGE * gram.diagonal().mean()
    weight = torch.linalg.solve(gram + ridge * torch.eye(len(gram)), wanted).T @ centred
    return OffsetHead(weight.unflatten(1, blocks.shape[1:]), -weight @ mean)


def _shifted(
    model: PatchClassifier, crop: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a view of a crop, and tell where its middle has gone in pixels."""
    room = min((crop.shape[-1] - model.input_shape[0]) // 2, round(REACH * model.extractor.patch_shape[0]))
    dy, dx = torch.randint(-room, room + 1, (2,), generator=generator).tolist()
    view, offset = middle(crop.roll((dy, dx), (1, 2)), model.input_shape), torch.tensor([dy, dx], dtype=torch.float32)
    for axis in (0, 1):
        if torch.rand((), generator=generator) < 0.5:
            view, offset = view.flip(1 + axis), offset * (1 - 2 * torch.eye(2)[axis])
    if torch.rand((), generator=generator) < 0.5:
        view, offset = view.transpose(1, 2), offset.flip(0)
    return view, offset
