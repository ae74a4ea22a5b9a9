"""Random views of patches for contrastive training (paper section 3.4), for any number of channels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torchvision.transforms import v2

_BRIGHTNESS, _CONTRAST = 0.3, 0.3


class ChannelJitter(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Change brightness and contrast by the same random factors in all channels, each seen as a grey image."""

    def __init__(self, brightness: float, contrast: float) -> None:
        super().__init__()
        self._jitter = v2.ColorJitter(brightness, contrast)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:  # noqa: ANN401  torchvision's signature
        """Change one (C, H, W) image."""
        return self._jitter(inpt[:, None])[:, 0]


def crop_side(side: int) -> int:
    """Return how wide a crop must be for a square of `side` pixels to lie in it however it is turned.

    Examples
    --------
    >>> crop_side(48)
    68
    """
    return 2 * math.ceil(side * math.sqrt(2) / 2)


def self_supervised_view(shape: tuple[int, int]) -> v2.Transform:
    """Return the transform of self-supervised training: flips, rotation, jitter, solarise and coarse dropout.

    Parameters
    ----------
    shape : (int, int)
        Height and width of what it gives; it takes crops of `crop_side`.
    """
    return v2.Compose(
        [
            *_geometry(shape),
            ChannelJitter(_BRIGHTNESS, _CONTRAST),
            v2.RandomSolarize(threshold=0.5, p=0.2),
            v2.RandomErasing(p=0.5, scale=(0.02, 0.15)),
        ]
    )


def supervised_view(shape: tuple[int, int]) -> v2.Transform:
    """Return the transform of supervised training: the same without solarise and dropout."""
    return v2.Compose([*_geometry(shape), ChannelJitter(_BRIGHTNESS, _CONTRAST)])


def apply_each(view: v2.Transform, crops: torch.Tensor) -> torch.Tensor:
    """Transform each of (N, C, H, W) crops by its own random draw."""
    return torch.stack([view(crop) for crop in crops])


def middle(crops: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Return the middle of (..., H, W) crops, as they are."""
    top, left = (crops.shape[-2] - shape[0]) // 2, (crops.shape[-1] - shape[1]) // 2
    return crops[..., top : top + shape[0], left : left + shape[1]]


def _geometry(shape: tuple[int, int]) -> list[v2.Transform]:
    return [
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.RandomRotation(180, interpolation=v2.InterpolationMode.BILINEAR),
        v2.CenterCrop(list(shape)),
    ]
