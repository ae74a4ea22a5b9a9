"""Five ways from pixels to vectors on the feature grid, which a search compares with its prototypes.

``template``
    Dense features of layer2; a prototype is the whole block of vectors that its patch covers. The default.
``template-fine``
    The same with those of layer1 and layer2: small things, and where a stain lies in a cell, count more.
``template-deep``
    The same with those of layer2 and layer3: larger surroundings count too.
``pooled``
    Dense features, averaged over the patch with a Gaussian window; a prototype is one vector.
``patchwise``
    The paper's: every patch of a sliding window passes through the trunk alone. The reference, and slow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

from simsearch.core.feature_grid import FeatureGrid
from simsearch.core.tiles import Region
from simsearch.errors import ConfigError
from simsearch.nn.features import ALIGNMENT, dense_features, gaussian, patch_features
from simsearch.nn.raw_pixels import RawPixels
from simsearch.nn.trunk import LAYER_DIMS, LAYER_STRIDES, RECEPTIVE_FIELDS, Trunk

if TYPE_CHECKING:
    from collections.abc import Iterator

Method = Literal["template", "pooled", "patchwise"]
METHODS = ("template", "template-fine", "template-deep", "pooled", "patchwise")
"""What `make_extractor` knows; all templates are one method with other layers."""

_DENSE_STRIDE = 8
_PAPER_STRIDE = 0.1  # of the patch's width (section 2.3.1)
_BATCH = 128  # patches at a time
N_ROTATIONS = 4
"""Of a prototype, by 90 degrees (section 2.3.1)."""


@dataclass(frozen=True, slots=True)
class Extractor:
    """How vectors are computed, for patches of one shape on one pyramid level."""

    method: Method
    """How they become vectors, and how large a prototype is."""
    patch_shape: tuple[int, int]
    """Height and width of a patch in pixels of the searched level."""
    layers: tuple[int, ...]
    """Layers of the trunk whose features are concatenated."""
    is_centred: bool
    """Whether the mean vector of the images is subtracted before vectors are compared."""
    is_exact: bool = True
    """Whether layer3 is computed at every position of the grid, or interpolated between its own positions."""
    frame: int = 0
    """How many positions around an image can be asked for at least, which dense features at its border depend on; half
    a block can be, whatever this is. With the same frame, features do not depend on the patch."""

    @property
    def grid(self) -> FeatureGrid:
        """The grid that vectors lie on."""
        if self.method == "patchwise":
            return FeatureGrid(_PAPER_STRIDE * self.patch_shape[1])
        return FeatureGrid(_DENSE_STRIDE)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return sum(LAYER_DIMS[layer] for layer in self.layers)

    @property
    def block_shape(self) -> tuple[int, int]:
        """Height and width of a prototype's block in vectors; odd, so that it has a middle."""
        return self.covered_shape if self.method == "template" else (1, 1)

    @property
    def covered_shape(self) -> tuple[int, int]:
        """How many positions of the grid a patch covers, to the nearest odd number."""
        h, w = (2 * round(side / self.grid.stride / 2) + 1 for side in self.patch_shape)
        return h, w

    @property
    def is_windowed(self) -> bool:
        """Whether layers are computed only where the next one looks."""
        return self.method == "template" and not (self.is_exact and LAYER_STRIDES[max(self.layers)] > _DENSE_STRIDE)

    @property
    def pixels_at_once(self) -> int:
        """How many pixels of patches pass through the trunk at a time; none where it sees whole regions."""
        return _BATCH * self.patch_shape[0] * self.patch_shape[1] if self.method == "patchwise" else 0

    @property
    def reach(self) -> int:
        """How far from its position a vector sees, in pixels; a block sees its vectors' reach farther."""
        if self.method == "patchwise":
            return max(self.patch_shape) // 2 + 1
        pooling = _DENSE_STRIDE * (max(self.covered_shape) // 2) if self.method == "pooled" else 0
        between = 0 if self.is_exact else LAYER_STRIDES[max(self.layers)]
        return RECEPTIVE_FIELDS[max(self.layers)] // 2 + pooling + between


def make_extractor(method: str, patch_shape: tuple[int, int]) -> Extractor:
    """Return the extractor of a method with what was measured to be best for it (benchmarks/RESULTS.md).

    Raises
    ------
    ConfigError
        If there is no such method, or patches are too small for it.
    """
    if min(patch_shape) < LAYER_STRIDES[3]:
        raise ConfigError(f"expected patches of at least {LAYER_STRIDES[3]} px, got {patch_shape}: draw larger boxes")
    if method == "template":
        return Extractor("template", patch_shape, layers=(2,), is_centred=True)
    if method == "template-fine":
        return Extractor("template", patch_shape, layers=(1, 2), is_centred=True)
    if method == "template-deep":
        return Extractor("template", patch_shape, layers=(2, 3), is_centred=True, is_exact=False)
    if method == "pooled":
        return Extractor("pooled", patch_shape, layers=(3,), is_centred=False)
    if method == "patchwise":
        return Extractor("patchwise", patch_shape, layers=(3,), is_centred=False)
    raise ConfigError(f"expected a method among {', '.join(METHODS)}, got {method!r}")


def needed_region(extractor: Extractor, window: Region, shape: tuple[int, int]) -> Region:
    """Return the pixels that the vectors in a window of the grid depend on.

    Dense features are those of the whole image in a frame of replicated border pixels, just wide enough for a block
    at the border; beyond it the network sees its own zeros. So a region ends at the frame, and small images cost
    little more than their own pixels.

    Parameters
    ----------
    extractor : Extractor
        What will compute them.
    window : Region
        Half-open range of grid indices along y and x; at most half a block outside the image.
    shape : (int, int)
        Height and width of the image in pixels.

    Returns
    -------
    Region
        It may reach outside the image. Its corners lie on a grid anchored at the image's first pixel.
    """
    y0, y1 = _needed_span(extractor, window.y0, window.y1, shape[0])
    x0, x1 = _needed_span(extractor, window.x0, window.x1, shape[1])
    return Region(y0, y1, x0, x1)


def vectors(
    trunk: Trunk, pixels: torch.Tensor | RawPixels, extractor: Extractor, window: Region, region: Region
) -> torch.Tensor:
    """Compute the vectors in a window of the grid.

    Parameters
    ----------
    trunk : Trunk
        In evaluation mode.
    pixels : (C, H, W) tensor or RawPixels
        Intensities in [0, 1] of the region, or its pixels.
    extractor : Extractor
        What to compute.
    window : Region
        Half-open range of grid indices along y and x.
    region : Region
        What `needed_region` tells for the window.

    Returns
    -------
    (D, h, w) tensor
        One vector for each position of the window.
    """
    if extractor.method == "patchwise":
        seen = pixels.intensities() if isinstance(pixels, RawPixels) else pixels
        return _patch_vectors(trunk, seen, extractor, window, region)
    images = pixels if isinstance(pixels, RawPixels) else pixels[None]
    own = window.shifted_by(-(region.y0 // _DENSE_STRIDE), -(region.x0 // _DENSE_STRIDE))
    if extractor.method == "pooled":
        return _pool(_dense(trunk, images, extractor), extractor.covered_shape)[0, :, *own.slices]
    return _dense(trunk, images, extractor, own)[0]


def prototype_region(extractor: Extractor, y: float, x: float) -> Region:
    """Return the pixels that a prototype's blocks depend on: a square around its centre, with a middle pixel."""
    half = extractor.reach + int(extractor.grid.stride * (max(extractor.block_shape) // 2))
    half = _aligned(half)
    cy, cx = int(y + 0.5), int(x + 0.5)
    return Region(cy - half, cy + half + 1, cx - half, cx + half + 1)


def prototype_blocks(trunk: Trunk, pixels: torch.Tensor, extractor: Extractor) -> Iterator[torch.Tensor]:
    """Compute the blocks of a prototype and its rotations by 90, 180 and 270 degrees (section 2.3.1).

    Parameters
    ----------
    trunk : Trunk
        In evaluation mode.
    pixels : (C, S, S) tensor
        Intensities in [0, 1] of `prototype_region`.
    extractor : Extractor
        What computes the vectors that the blocks will be compared with.

    Yields
    ------
    (D, kh, kw) tensor
        ``block_shape``, its sides exchanged for 90 and 270 degrees.
    """
    for turns in range(N_ROTATIONS):
        yield prototype_block(trunk, pixels, extractor, turns)


def prototype_block(trunk: Trunk, pixels: torch.Tensor, extractor: Extractor, turns: int) -> torch.Tensor:
    """Compute one of the blocks of `prototype_blocks`, that of so many turns by 90 degrees."""
    pixels, is_on_its_side = torch.rot90(pixels, turns, dims=(1, 2)), bool(turns % 2)
    middle = pixels.shape[-1] // 2
    if extractor.method == "patchwise":
        h, w = _oriented(extractor.patch_shape, is_on_its_side)
        top, left = middle - h // 2, middle - w // 2
        patch = pixels[None, :, top : top + h, left : left + w]
        window = gaussian(_oriented(_layer3_shape(extractor.patch_shape), is_on_its_side)).to(patch)
        return patch_features(trunk, patch, window)[0, :, None, None]
    padding = -pixels.shape[-1] % ALIGNMENT  # far from the middle: no vector of the block sees it
    pixels = functional.pad(pixels[None], (0, padding, 0, padding), mode="replicate")
    features = _dense(trunk, pixels, extractor)
    if extractor.method == "pooled":
        features = _pool(features, _oriented(extractor.covered_shape, is_on_its_side))
    kh, kw = _oriented(extractor.block_shape, is_on_its_side)
    top, left = middle // _DENSE_STRIDE - kh // 2, middle // _DENSE_STRIDE - kw // 2
    return features[0, :, top : top + kh, left : left + kw]


def _dense(
    trunk: Trunk, images: torch.Tensor | RawPixels, extractor: Extractor, window: Region | None = None
) -> torch.Tensor:
    layers, is_exact = extractor.layers, extractor.is_exact
    return dense_features(trunk, images, stride=_DENSE_STRIDE, layers=layers, is_exact=is_exact, window=window)


def _oriented(shape: tuple[int, int], is_on_its_side: bool) -> tuple[int, int]:
    return (shape[1], shape[0]) if is_on_its_side else shape


def _layer3_shape(patch_shape: tuple[int, int]) -> tuple[int, int]:
    h, w = (-(-side // LAYER_STRIDES[3]) for side in patch_shape)
    return h, w


def _needed_span(extractor: Extractor, start: int, stop: int, side: int) -> tuple[int, int]:
    stride, reach = extractor.grid.stride, extractor.reach
    low, high = int(stride * start - reach), int(stride * (stop - 1)) + reach + 1
    if extractor.method != "patchwise":
        border = _aligned(int(stride * (max(extractor.frame, *(n // 2 for n in extractor.covered_shape)) + 1)))
        low, high = max(low, -border), min(high, _aligned(side) + border)
    return low // ALIGNMENT * ALIGNMENT, _aligned(high)


def _aligned(n_pixels: int) -> int:
    return -(-n_pixels // ALIGNMENT) * ALIGNMENT


def _pool(features: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Average feature maps with a Gaussian window; what lies outside counts as zero."""
    kernel = gaussian(shape).to(features)
    y, x = kernel.sum(dim=1), kernel.sum(dim=0)  # a Gaussian is the product of its marginals
    d = features.shape[1]
    features = functional.conv2d(features, y.view(1, 1, -1, 1).expand(d, 1, -1, 1), padding=(len(y) // 2, 0), groups=d)
    return functional.conv2d(features, x.view(1, 1, 1, -1).expand(d, 1, 1, -1), padding=(0, len(x) // 2), groups=d)


def _patch_vectors(
    trunk: Trunk, pixels: torch.Tensor, extractor: Extractor, window: Region, region: Region
) -> torch.Tensor:
    (h, w), stride = extractor.patch_shape, extractor.grid.stride
    corners = [
        (int(stride * i + 0.5) - h // 2 - region.y0, int(stride * j + 0.5) - w // 2 - region.x0)
        for i in range(window.y0, window.y1)
        for j in range(window.x0, window.x1)
    ]
    weights = gaussian(_layer3_shape(extractor.patch_shape)).to(pixels)
    # Not in pieces, between which the memory of each batch would not be given back.
    found = pixels.new_empty((len(corners), extractor.dim))
    begin, size = 0, _BATCH
    while begin < len(corners):
        patches = [pixels[:, y : y + h, x : x + w] for y, x in corners[begin : begin + size]]
        try:
            found[begin : begin + size] = patch_features(trunk, torch.stack(patches), weights)
            begin += size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
    return found.T.reshape(extractor.dim, *window.shape)
