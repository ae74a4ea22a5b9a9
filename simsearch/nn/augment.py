"""Random views of patches for contrastive training (paper section 3.4), for any number of channels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional
from torchvision.transforms import v2

_BRIGHTNESS, _CONTRAST = 0.3, 0.3
_ZOOM = 0.5  # the nearest view of a crop shows half of its side


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


def random_views(crops: torch.Tensor, side: int, generator: torch.Generator, *, erases: bool = False) -> torch.Tensor:
    """Turn, mirror, zoom and recolour each of a batch of colour crops at random: for training without labels.

    Parameters
    ----------
    crops : (N, 3, S, S) tensor
        Intensities in [0, 1]; ``S = crop_side(side)`` is enough to be turned.
    side : int
        Height and width of what it gives in pixels.
    generator : torch.Generator
        Source of randomness, on the CPU: the same views on any device but for noise in a fifth of them.
    erases : bool
        Whether a rectangle is erased in half of the views.

    Returns
    -------
    (N, 3, side, side) tensor
        Intensities in [0, 1].
    """
    views = _recoloured(_placed(crops, side, generator), generator)
    return _erased(views, generator) if erases else views


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


def _uniform(generator: torch.Generator, shape: tuple[int, ...], low: float, high: float) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _chance(generator: torch.Generator, like: torch.Tensor, share: float) -> torch.Tensor:
    """Choose a share of the images of a batch."""
    return (torch.rand(len(like), 1, 1, 1, generator=generator) < share).to(like.device)


def _placed(crops: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    n = len(crops)
    angle = _uniform(generator, (n,), 0, 2 * math.pi)
    scale = _uniform(generator, (n,), _ZOOM, 1) * side / crops.shape[-1]
    mirror = 1 - 2 * torch.randint(2, (n,), generator=generator)
    room = (1 - math.sqrt(2) * scale).clamp_min(0)
    shift = _uniform(generator, (2, n), -1, 1) * room
    sine, cosine = scale * angle.sin(), scale * angle.cos()
    rows = [torch.stack([mirror * cosine, -sine, shift[0]], 1), torch.stack([mirror * sine, cosine, shift[1]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1).to(crops.device), [n, 3, side, side], align_corners=False)
    return functional.grid_sample(crops, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _recoloured(views: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    n, device = len(views), views.device
    order = torch.rand(n, 3, generator=generator).argsort(1).to(device)[:, :, None, None].expand_as(views)
    views = torch.where(_chance(generator, views, 0.2), views.gather(1, order), views)
    views = torch.where(_chance(generator, views, 0.15), views.mean(1, keepdim=True), views)
    views = torch.where(_chance(generator, views, 0.08), 1 - views, views)
    gain = _uniform(generator, (n, 3, 1, 1), 0.7, 1.4).to(device)
    gain = torch.where(_chance(generator, views, 0.5), gain, gain[:, :1])
    offset, gamma = _uniform(generator, (n, 1, 1, 1), -0.15, 0.15), _uniform(generator, (n, 1, 1, 1), 0.7, 1.4)
    views = (views * gain + offset.to(device)).clamp(0, 1) ** gamma.to(device)
    noise = _noise(generator, views) * _uniform(generator, (n, 1, 1, 1), 0.01, 0.06).to(device)
    return torch.where(_chance(generator, views, 0.2), (views + noise).clamp(0, 1), views)


def _noise(generator: torch.Generator, like: torch.Tensor) -> torch.Tensor:
    """Draw noise where the views are: on the CPU it would take longer than a GPU learns."""
    seed = int(torch.randint(2**62, (), generator=generator))
    there = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=there, device=like.device)


def _erased(views: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Fill a rectangle of half of the views, of 2 to 15 % of their area if it lies inside, with one intensity."""
    n, device, side = len(views), views.device, views.shape[-1]
    area, ratio = _uniform(generator, (n,), 0.02, 0.15), _uniform(generator, (n,), -0.5, 0.5).exp()
    height, width = (area * ratio).sqrt() / 2, (area / ratio).sqrt() / 2
    y, x = _uniform(generator, (2, n), 0, 1)
    at = (torch.arange(side) + 0.5) / side
    in_rows = (at - y[:, None]).abs() < height[:, None]
    in_columns = (at - x[:, None]).abs() < width[:, None]
    is_erased = (in_rows[:, None, :, None] & in_columns[:, None, None, :]).to(device)
    fill = torch.rand(n, 1, 1, 1, generator=generator).to(device)
    return torch.where(is_erased & _chance(generator, views, 0.5), fill, views)
