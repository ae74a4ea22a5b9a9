"""A trunk run on a window of its feature grid: each layer only where the next one looks.

Where a window ends within an image, convolutions are given what lies beside it, and pad nothing; at the sides of the
image they see their zeros. So the result is that of the whole image, of fewer pixels than all of them together see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from simsearch.core.tiles import Region
from simsearch.nn.raw_pixels import RawPixels, look
from simsearch.nn.trunk import LAYER_DIMS, LAYER_STRIDES, Trunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from torchvision.models.resnet import BasicBlock

CONVOLVED_OTHERWISE = 20_480
"""Numbers that one image has at most where torch convolves otherwise, with other last bits (its use_mkldnn)."""
_BAND = 64  # rows of layer1's grid: before it, values are eight times as many as after it


@dataclass(frozen=True, slots=True)
class Part:
    """Feature vectors of a layer in a region of its grid."""

    values: torch.Tensor
    """(B, D, h, w)"""
    region: Region
    """Half-open range of grid indices along y and x."""
    stride: int
    """Distance between neighbours in pixels."""


def windowed_layers(
    trunk: Trunk, images: torch.Tensor | RawPixels, window: Region, last: int
) -> Iterator[tuple[int, Part]]:
    """Compute what the vectors of a layer in a window depend on.

    Parameters
    ----------
    trunk : Trunk
        In evaluation mode.
    images : (B, C, H, W) tensor or RawPixels
        Intensities in [0, 1], or pixels, which become that a few rows at a time; sides are multiples of the stride of
        the last layer.
    window : Region
        Half-open range of indices of the last layer's own grid; what is outside the images is left out.
    last : int
        Which layer is the last.

    Yields
    ------
    int, Part
        Index of a layer, and its vectors in the window and wherever the next layer looks.
    """
    shapes = {index: _grid_shape(images, LAYER_STRIDES[index]) for index in range(1, last + 1)}
    blocks = [(index, block) for index in shapes for block in getattr(trunk, f"layer{index}")]
    windows = [_widened(window.clipped(shapes[last]), shapes[last], CONVOLVED_OTHERWISE // LAYER_DIMS[last] + 1)]
    for (_, block), (index, _) in zip(reversed(blocks), [*blocks[-2::-1], (1, None)], strict=True):
        needed = _needed(windows[-1].grown(1), block.conv1)
        windows.append(needed.clipped(shapes[index]))
    part = _stem(trunk, images, windows.pop())
    for place, (index, block) in enumerate(blocks, start=1):
        part = _block(block, part, windows.pop(), shapes[index], LAYER_STRIDES[index])
        if place == len(blocks) or blocks[place][0] != index:
            yield index, part


def cut(part: Part, needed: Region) -> torch.Tensor:
    """Cut a region out of a part, with zeros where it reaches beyond: only at the sides of images may it."""
    own = needed.shifted_by(-part.region.y0, -part.region.x0)
    inside = own.clipped((part.values.shape[-2], part.values.shape[-1]))
    values = part.values[:, :, *inside.slices]
    beside = (inside.x0 - own.x0, own.x1 - inside.x1, inside.y0 - own.y0, own.y1 - inside.y1)
    return functional.pad(values, beside) if any(beside) else values


def _stem(trunk: Trunk, images: torch.Tensor | RawPixels, window: Region) -> Part:
    """Run what precedes layer1 band by band."""
    starts = range(window.y0, window.y1, _BAND)
    bands = [Region(y, min(y + _BAND, window.y1), window.x0, window.x1) for y in starts]
    found = [_band_of_stem(trunk, images, band) for band in bands]
    return Part(found[0] if len(found) == 1 else torch.cat(found, dim=2), window, LAYER_STRIDES[1])


def _band_of_stem(trunk: Trunk, images: torch.Tensor | RawPixels, band: Region) -> torch.Tensor:
    convolved = _needed(band, trunk.maxpool).clipped(_grid_shape(images, 2))
    height, width = images.shape[-2:]
    seen = _needed(convolved, trunk.conv1).clipped((height, width))
    normal = (look(images, seen) - trunk.mean) / trunk.std
    x = trunk.relu(trunk.bn1(_convolve(trunk.conv1, Part(normal, seen, 1), convolved)))
    # What was rectified is nowhere below zero: zeros around it are as good as the pooling's own padding.
    x = cut(Part(x, convolved, 2), _needed(band, trunk.maxpool))
    return functional.max_pool2d(x, trunk.maxpool.kernel_size, trunk.maxpool.stride)


def _block(block: BasicBlock, part: Part, window: Region, shape: tuple[int, int], stride: int) -> Part:
    between = window.grown(1).clipped(shape)
    x = block.relu(block.bn1(_convolve(block.conv1, part, between)))
    x = block.bn2(_convolve(block.conv2, Part(x, between, stride), window))
    if block.downsample is None:
        x += cut(part, window)
    else:
        projection, norm = block.downsample
        x += norm(_convolve(projection, part, window))
    return Part(block.relu(x), window, stride)


def _convolve(convolution: nn.Conv2d, part: Part, window: Region) -> torch.Tensor:
    seen = cut(part, _needed(window, convolution))
    return functional.conv2d(seen, convolution.weight, convolution.bias, convolution.stride)


def _needed(window: Region, layer: nn.Conv2d | nn.MaxPool2d) -> Region:
    """Tell what the outputs in a window see."""
    kernel, stride = (each if isinstance(each, int) else each[0] for each in (layer.kernel_size, layer.stride))
    reach, (y0, y1, x0, x1) = kernel // 2, (window.y0, window.y1, window.x0, window.x1)
    return Region(
        y0 * stride - reach, (y1 - 1) * stride + reach + 1, x0 * stride - reach, (x1 - 1) * stride + reach + 1
    )


def _widened(window: Region, shape: tuple[int, int], least: int) -> Region:
    """Widen a window to so many positions, if there are as many."""
    y0, y1 = _stretched(window.y0, window.y1, shape[0], math.isqrt(least) + 1)
    x0, x1 = _stretched(window.x0, window.x1, shape[1], -(-least // (y1 - y0)))
    y0, y1 = _stretched(y0, y1, shape[0], -(-least // (x1 - x0)))
    return Region(y0, y1, x0, x1)


def _stretched(start: int, stop: int, side: int, least: int) -> tuple[int, int]:
    length = min(max(stop - start, least), side)
    start = min(start, side - length)
    return start, start + length


def _grid_shape(images: torch.Tensor | RawPixels, stride: int) -> tuple[int, int]:
    return images.shape[-2] // stride, images.shape[-1] // stride
