"""ResNet-18 up to layer3, for images of any number of channels (paper section 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torchvision
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYER_DIMS = {1: 64, 2: 128, 3: 256}
"""Length of a feature vector of each layer."""

LAYER_STRIDES = {1: 4, 2: 8, 3: 16}
"""Distance in pixels between neighbouring feature vectors of each layer, as published."""

RECEPTIVE_FIELDS = {1: 43, 2: 99, 3: 211}
"""Width in pixels of what one feature vector of each layer sees."""

# torchvision's normalisation of images in [0, 1], which its published weights expect.
_RGB_MEAN = (0.485, 0.456, 0.406)
_RGB_STD = (0.229, 0.224, 0.225)


class Trunk(nn.Module):
    """ResNet-18 up to layer3, with torchvision's own parameter names.

    Parameters
    ----------
    n_channels : int
        Number of channels of the images.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, n_channels: int = 3) -> None:
        super().__init__()
        resnet = torchvision.models.resnet18(weights=None)
        self.conv1 = nn.Conv2d(n_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1, self.relu, self.maxpool = resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2, self.layer3 = resnet.layer1, resnet.layer2, resnet.layer3
        self.register_buffer("mean", _per_channel(_RGB_MEAN, n_channels), persistent=False)
        self.register_buffer("std", _per_channel(_RGB_STD, n_channels), persistent=False)

    @property
    def n_channels(self) -> int:
        """Number of channels of the images that this trunk takes."""
        return self.conv1.in_channels

    def stem(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise, convolve and pool: what precedes layer1.

        Parameters
        ----------
        images : (B, C, H, W) tensor
            Intensities in [0, 1].

        Returns
        -------
        (B, 64, H / 4, W / 4) tensor
        """
        x = self.conv1((images - self.mean) / self.std)
        pooled: torch.Tensor = self.maxpool(self.relu(self.bn1(x)))
        return pooled

    def middle(self, images: torch.Tensor) -> torch.Tensor:
        """Return what layer2 gives, (B, 128, H / 8, W / 8): the training of models leaves all up to there as it is."""
        middle: torch.Tensor = self.layer2(self.layer1(self.stem(images)))
        return middle

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features of layer3 at their published stride.

        Parameters
        ----------
        images : (B, C, H, W) tensor
            Intensities in [0, 1].

        Returns
        -------
        (B, 256, H / 16, W / 16) tensor
        """
        features: torch.Tensor = self.layer3(self.middle(images))
        return features


def fused(trunk: Trunk) -> Trunk:
    """Fold the BatchNorms of a trunk into its convolutions: the same function in fewer passes over memory.

    Parameters
    ----------
    trunk : Trunk
        In evaluation mode; it is changed, and can no longer be trained or saved.

    Returns
    -------
    Trunk
        The same object.
    """
    _fold(trunk, "conv1", "bn1")
    for layer in (trunk.layer1, trunk.layer2, trunk.layer3):
        for block in layer:
            _fold(block, "conv1", "bn1")
            _fold(block, "conv2", "bn2")
            if block.downsample is not None:
                _fold(block.downsample, "0", "1")
    return trunk


def adapt_input_planes(conv1_weight: torch.Tensor, n_channels: int) -> torch.Tensor:
    """Fit the first convolution of an RGB trunk to another number of channels.

    Parameters
    ----------
    conv1_weight : (K, 3, h, w) tensor
        The first convolution of an RGB trunk.
    n_channels : int
        Number of channels wanted.

    Returns
    -------
    (K, n_channels, h, w) tensor
        The same for RGB. One channel: the sum of the planes, so that a grey image gives what it would give
        as RGB. Otherwise the planes repeated and scaled by ``3 / n_channels``, which keeps the magnitude.

    Examples
    --------
    >>> weight = torch.ones(1, 3, 1, 1)
    >>> adapt_input_planes(weight, 1).flatten().tolist()
    [3.0]
    >>> adapt_input_planes(weight, 2).flatten().tolist()
    [1.5, 1.5]
    """
    if n_channels == 3:
        return conv1_weight
    if n_channels == 1:
        return conv1_weight.sum(dim=1, keepdim=True)
    repeats = -(-n_channels // 3)
    return conv1_weight.repeat(1, repeats, 1, 1)[:, :n_channels] * (3 / n_channels)


def _fold(parent: nn.Module, conv: str, norm: str) -> None:
    convolution, batch_norm = parent.get_submodule(conv), parent.get_submodule(norm)
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(batch_norm, nn.BatchNorm2d)
    setattr(parent, conv, fuse_conv_bn_eval(convolution, batch_norm))
    setattr(parent, norm, nn.Identity())


def _per_channel(rgb: Sequence[float], n_channels: int) -> torch.Tensor:
    values = list(rgb) if n_channels == 3 else [sum(rgb) / 3] * n_channels
    return torch.tensor(values).view(1, n_channels, 1, 1)
