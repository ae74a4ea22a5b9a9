"""Features of images: dense ones in one pass, and the paper's, one pass for each patch.

Dense features on a finer grid than a layer's own come in two ways. Exactly: a strided layer is run without its stride
and its output split into the four grids that a stride would have chosen from, stacked on the batch axis, which is the
arithmetic of dilation with ordinary convolutions; at the end the grids are interleaved again. Or interpolated between
the vectors of the layer's own grid, at a quarter of the layer's cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError, ShapeError
from simsearch.nn.raw_pixels import RawPixels, look
from simsearch.nn.trunk import LAYER_STRIDES, Trunk
from simsearch.nn.windowed import Part, cut, windowed_layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LAYER_LENGTHS = {1: 0.5**0.5, 2: 1.0, 3: 1.0}
"""Of the vectors of each layer: what layer1 tells counts half (chosen on validation images, benchmarks/RESULTS.md)."""

ALIGNMENT = 16
"""Images given to `dense_features` have sides that are multiples of this, in pixels."""


def dense_features(
    trunk: Trunk,
    images: torch.Tensor | RawPixels,
    *,
    stride: int = 8,
    layers: Sequence[int] = (2, 3),
    is_exact: bool = True,
    window: Region | None = None,
) -> torch.Tensor:
    """Compute feature maps of images, each layer's vectors scaled to the same length: that of its weight.

    Parameters
    ----------
    trunk : Trunk
        In evaluation mode.
    images : (B, C, H, W) tensor or RawPixels
        Intensities in [0, 1], or pixels, which become that where they are looked at; sides are multiples of 16.
    stride : int
        Distance between neighbouring feature vectors in pixels: 8 or 4.
    layers : sequence of int
        Which of layer1, layer2 and layer3 to take, in this order.
    is_exact : bool
        Whether layers with a wider stride are computed at every position, or interpolated linearly.
    window : Region, optional
        Which positions are wanted of a trunk in evaluation mode; all by default.

    Returns
    -------
    (B, D, H / stride, W / stride) tensor, or as large as the window
        Position ``(i, j)`` belongs to the pixel ``(stride i, stride j)``. What lies within half a receptive field
        of a side is blurred by the convolutions' zeros: give images a halo.

    Raises
    ------
    ShapeError
        If a side is no multiple of 16.
    ConfigError
        If a stride or layer is not offered.
    """
    if any(side % ALIGNMENT for side in images.shape[-2:]):
        raise ShapeError(f"expected sides that are multiples of {ALIGNMENT} px, got {tuple(images.shape[-2:])}: pad")
    if stride not in (4, 8) or not set(layers) <= set(LAYER_LENGTHS) or not layers:
        raise ConfigError(f"expected stride 4 or 8 and layers among 1, 2 and 3, got {stride} and {tuple(layers)}")
    last, whole = max(layers), Region(0, images.shape[-2] // stride, 0, images.shape[-1] // stride)
    parts: Iterable[tuple[int, Part]]
    if window is None or (is_exact and LAYER_STRIDES[last] > stride):
        seen = look(images, Region(0, images.shape[-2], 0, images.shape[-1]))
        parts = _whole_layers(trunk, seen, layers, stride if is_exact else LAYER_STRIDES[last])
    else:
        parts = windowed_layers(trunk, images, _around(window, LAYER_STRIDES[last] // stride), last)
    found = {index: _vectors(index, part, window or whole, stride) for index, part in parts if index in layers}
    return torch.cat([found[index] for index in layers], dim=1)


def vectors_of(features: Mapping[int, torch.Tensor], stride: int, layers: Sequence[int]) -> torch.Tensor:
    """Return what `dense_features` returns for images of which it is known what layers give; not exactly.

    Parameters
    ----------
    features : mapping of int to (B, D, H / s, W / s) tensor
        What layers 2 and 3 give for whole images, s being the stride of each.
    stride : int
        Distance between neighbouring feature vectors in pixels: 8 or 4.
    layers : sequence of int
        Which to take, in this order.

    Returns
    -------
    (B, D, H / stride, W / stride) tensor
    """
    found = []
    for layer in layers:
        own, (height, width) = LAYER_STRIDES[layer], features[layer].shape[-2:]
        whole = Region(0, own * height // stride, 0, own * width // stride)
        found.append(_vectors(layer, Part(features[layer], Region(0, height, 0, width), own), whole, stride))
    return torch.cat(found, dim=1)


def patch_features(trunk: Trunk, patches: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Compute the paper's feature vector of each patch (section 3.4).

    Parameters
    ----------
    trunk : Trunk
        In evaluation mode.
    patches : (B, C, H, W) tensor
        Intensities in [0, 1].
    weights : (H / 16, W / 16) tensor
        Weight of each position of layer3; the paper's is a Gaussian (`gaussian`).

    Returns
    -------
    (B, 256) tensor
    """
    return weighted_mean(trunk(patches), weights)


def weighted_mean(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Average (B, D, h, w) features with (h, w) weights that sum to one, as (B, D)."""
    return torch.einsum("bdhw,hw->bd", features, weights)


def gaussian(shape: tuple[int, int], width: float = 0.2) -> torch.Tensor:
    """Return a Gaussian window that sums to one.

    Parameters
    ----------
    shape : (int, int)
        Height and width in positions.
    width : float
        Standard deviation as a share of each side. The paper gives none; 0.2 was best on BCCD training images.

    Returns
    -------
    (H, W) tensor

    Examples
    --------
    >>> gaussian((1, 3)).argmax().item()
    1
    """
    axes = []
    for n in shape:
        positions = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
        axes.append(torch.exp(-0.5 * (positions / (width * n)) ** 2))
    window = torch.outer(*axes)
    return (window / window.sum()).float()


def _whole_layers(trunk: Trunk, images: torch.Tensor, layers: Sequence[int], stride: int) -> Iterator[tuple[int, Part]]:
    """Run layers on whole images, those with a wider stride than is given at all positions of a grid with that."""
    x, splits = trunk.layer1(trunk.stem(images)), 0
    if 1 in layers:
        yield 1, Part(x, Region(0, x.shape[-2], 0, x.shape[-1]), LAYER_STRIDES[1])
    for index in range(2, max(layers) + 1):
        layer = getattr(trunk, f"layer{index}")
        if LAYER_STRIDES[index] > stride:
            x, splits = _without_stride(layer, x), splits + 1
        else:
            x = layer(x)
        if index in layers:
            merged = _merged(x, splits)
            height, width = merged.shape[-2:]
            yield index, Part(merged, Region(0, height, 0, width), images.shape[-1] // width)


def _around(window: Region, factor: int) -> Region:
    """Return the positions of a grid between which lie those in a window of one that is finer by a factor."""
    y1, x1 = (-(-(stop - 1) // factor) + 1 for stop in (window.y1, window.x1))
    return Region(window.y0 // factor, y1, window.x0 // factor, x1)


def _on_grid(part: Part, window: Region, stride: int) -> torch.Tensor:
    """Return the vectors in a window of a grid, interpolated if they are on a wider one; its first stays where it is.

    What lies behind the last of an image is like the last. Those of a finer grid are averaged with their neighbours.
    """
    if part.stride < stride:
        return _averaged(part, window)
    factor = part.stride // stride
    if factor == 1:
        return cut(part, window)
    own = _around(window, factor)
    own = Region(own.y0, min(own.y1, part.region.y1), own.x0, min(own.x1, part.region.x1))
    size = [factor * (side - 1) + 1 for side in own.shape]
    # In bfloat16 each of both directions would be rounded.
    between = functional.interpolate(cut(part, own).float(), size=size, mode="bilinear", align_corners=True)
    behind = (window.y1 - factor * own.y0 - size[0], window.x1 - factor * own.x0 - size[1])
    if max(behind) > 0:
        between = functional.pad(between, (0, max(behind[1], 0), 0, max(behind[0], 0)), mode="replicate")
    return between[:, :, *window.shifted_by(-factor * own.y0, -factor * own.x0).slices]


def _vectors(layer: int, part: Part, window: Region, stride: int) -> torch.Tensor:
    found: torch.Tensor = LAYER_LENGTHS[layer] * functional.normalize(_on_grid(part, window, stride), dim=1)
    return found


def _averaged(part: Part, window: Region) -> torch.Tensor:
    """Average vectors of a grid twice as fine, with weights 1, 2 and 1 along each side; outside the image are zeros."""
    y0, y1, x0, x1 = (2 * side for side in (window.y0, window.y1, window.x0, window.x1))
    # Not a convolution, whose last bits may depend on the size of what it is given.
    values = cut(part, Region(y0 - 1, y1, x0 - 1, x1)).float()
    rows = values[:, :, :-2:2] + 2 * values[:, :, 1:-1:2] + values[:, :, 2::2]
    return (rows[..., :-2:2] + 2 * rows[..., 1:-1:2] + rows[..., 2::2]) / 16


def _without_stride(layer: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """Run a layer whose first block has stride 2 at stride 1; return its four grids on the batch axis."""
    first = layer[0]
    assert isinstance(first, BasicBlock)
    assert isinstance(first.downsample, nn.Sequential)
    y = functional.conv2d(x, first.conv1.weight, first.conv1.bias, padding=1)
    y = first.bn2(first.conv2(first.relu(first.bn1(_split(y)))))
    projection, norm = first.downsample
    assert isinstance(projection, nn.Conv2d)
    shortcut = norm(functional.conv2d(_split(x), projection.weight, projection.bias))
    rest: torch.Tensor = layer[1:](first.relu(y + shortcut))
    return rest


def _split(x: torch.Tensor) -> torch.Tensor:
    """Split (B, D, H, W) into its four grids of every other position, as (4 B, D, H / 2, W / 2)."""
    b, d, h, w = x.shape
    return x.view(b, d, h // 2, 2, w // 2, 2).permute(3, 5, 0, 1, 2, 4).reshape(4 * b, d, h // 2, w // 2)


def _merged(x: torch.Tensor, splits: int) -> torch.Tensor:
    """Undo `_split` as often as it was done."""
    for _ in range(splits):
        b, d, h, w = x.shape
        x = x.view(2, 2, b // 4, d, h, w).permute(2, 3, 4, 0, 5, 1).reshape(b // 4, d, 2 * h, 2 * w)
    return x
