"""Random views of patches, as far as nothing learns: what frozen layers give for them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from simsearch.nn.augment import apply_each
from simsearch.nn.device import fast_inference, with_weights_for
from simsearch.nn.trunk import fused

if TYPE_CHECKING:
    from torchvision.transforms import v2

    from simsearch.nn.device import Arithmetic
    from simsearch.nn.trunk import Trunk

Layers = Callable[[torch.Tensor], torch.Tensor]
"""Layers that do not learn; a batch through them."""


@dataclass(frozen=True, slots=True)
class Views:
    """Each view is drawn anew, with torch's own generator.

    A few views that are computed once and kept cost up to 0.07 of average precision where there are few patches
    (benchmarks/RESULTS.md).
    """

    crops: torch.Tensor
    """(N, C, S, S)"""
    augment: v2.Transform
    layers: Layers

    def draw(self, indices: torch.Tensor) -> torch.Tensor:
        """Draw a view of each of the patches at some indices, and pass them through the layers."""
        return self.layers(apply_each(self.augment, self.crops[indices]))

    def through(self, layers: Layers) -> Views:
        """Pass each view through more layers."""
        return replace(self, layers=lambda crops: layers(self.layers(crops)))


def frozen_middle(trunk: Trunk, arithmetic: Arithmetic) -> Layers:
    """Return all up to layer2, which stays as it is; in bfloat16 as where a model looks at images."""
    if arithmetic == "float32":
        return torch.no_grad()(trunk.middle)
    copied = fused(deepcopy(trunk)).requires_grad_(False)
    with_weights_for(arithmetic, copied)

    def layers(crops: torch.Tensor) -> torch.Tensor:
        with fast_inference(crops.device, arithmetic):
            middle = copied.middle(crops.contiguous(memory_format=torch.channels_last))
        return middle.clone()  # one that is made in there knows no gradients

    return layers
