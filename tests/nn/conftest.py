"""Trunks with random weights, and torchvision's own network to compare them with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torchvision.transforms.functional import normalize

from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torchvision.models import ResNet

    from simsearch.nn.trunk import Trunk

    Reference = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(scope="session")
def trunk(trunk_file: Path) -> Trunk:
    """Make a trunk for RGB."""
    return trunk_from_bytes(read_trunk(str(trunk_file)), n_channels=3)


@pytest.fixture(scope="session")
def upto_layer3(resnet: ResNet) -> Reference:
    """Torchvision's network cut off after layer3, with its normalisation of RGB in [0, 1]."""
    network = nn.Sequential(*list(resnet.children())[:-3])

    def run(images: torch.Tensor) -> torch.Tensor:
        return network(normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    return run


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(11)
