"""Crops for training without labels: any place of any image, at mixed scales, as colours that one trunk sees."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from simsearch.core.intensity import Range, rescale
from simsearch.core.tiles import Region
from simsearch.errors import ConfigError
from simsearch.io.ome_zarr.image import ImageMeta, is_rgb, read_region
from simsearch.io.ome_zarr.scaled import read_scaled, scaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_READERS = 8  # threads that read the crops of a batch
_TRIES = 3  # places looked at before a crop of nothing is taken
_FLAT = 0.03  # standard deviation of intensities in [0, 1] below which a crop shows nothing
_PERCENTILES = ((0.1, 99.9), (1.0, 99.0), (5.0, 95.0))  # of an image that become 0 and 1; one pair is drawn for a crop
_SAMPLE_PX, _SAMPLE_SIDE = 256, 2048  # shortest side of the level they are taken from, longest side of what is read


@dataclass(frozen=True, slots=True)
class CropSource:
    """An image that crops are cut from."""

    image: ImageMeta
    """The image."""
    weight: float
    """How likely it is, relative to others."""
    ranges: tuple[Range, ...] | None = None
    """For each channel the intensities that become 0 and 1; by default percentiles of the image."""


@dataclass(frozen=True, slots=True)
class CropOptions:
    """How crops are cut."""

    side: int
    """Height and width of a crop in pixels."""
    scales: tuple[float, float] = (0.4, 4.0)
    """Least and most level-0 pixels per pixel of a crop, as far as the image is large enough."""

    def __post_init__(self) -> None:
        if not 0 < self.scales[0] <= self.scales[1]:
            raise ConfigError(f"expected scales above 0, the smaller first, got {self.scales[0]:g} {self.scales[1]:g}")

    def span(self, rng: np.random.Generator, shape: tuple[int, int]) -> float:
        """Draw how many level-0 pixels a crop spans: its scale lies anywhere on a log axis, as likely here as there."""
        low, high = (math.log(scale) for scale in self.scales)
        return min(float(min(shape)), self.side * math.exp(rng.uniform(low, high)))


def read_crops(sources: Sequence[CropSource], options: CropOptions, n: int, seed: Sequence[int]) -> torch.Tensor:
    """Read a batch of crops.

    Parameters
    ----------
    sources : sequence of CropSource
        At least one.
    options : CropOptions
        How crops are cut.
    n : int
        How many.
    seed : sequence of int
        Of all that is drawn: the same seed gives the same crops.

    Returns
    -------
    (n, 3, side, side) tensor
        Intensities in [0, 1].

    Raises
    ------
    StoreError
        If an image cannot be read.
    """
    weights = np.array([source.weight for source in sources])
    generators = np.random.default_rng(seed).spawn(n)
    with ThreadPoolExecutor(_READERS) as pool:
        crops = list(pool.map(lambda rng: _read_crop(sources, weights / weights.sum(), options, rng), generators))
    return torch.stack(crops)


def as_colours(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Show some channels of an image as colours, in a random order.

    Parameters
    ----------
    pixels : (C, H, W) array
        One channel becomes grey, two leave a colour black or share it, three are a colour each.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    (3, H, W) array
    """
    if len(pixels) == 1:
        return np.repeat(pixels, 3, axis=0)
    if len(pixels) == 2:
        third = pixels[rng.integers(2)] if rng.random() < 0.5 else np.zeros_like(pixels[0])
        pixels = np.concatenate([pixels, third[None]])
    return pixels[rng.permutation(3)]


def _read_crop(
    sources: Sequence[CropSource], shares: NDArray[np.float64], options: CropOptions, rng: np.random.Generator
) -> torch.Tensor:
    crop = torch.zeros(3, options.side, options.side)
    for _ in range(_TRIES):
        source = sources[rng.choice(len(sources), p=shares)]
        crop = _resized(_read_colours(source, options, rng), options.side)
        if crop.std() > _FLAT:
            break
    return crop


def _read_colours(source: CropSource, options: CropOptions, rng: np.random.Generator) -> NDArray[np.float32]:
    image = source.image
    span = options.span(rng, image.shape)
    finer = 2 ** max(0, math.floor(math.log2(span / options.side)))
    view = scaled(image, finer)
    side = max(1, min(round(span / finer), *view.shape))
    y, x = (int(rng.integers(length - side + 1)) for length in view.shape)
    channels = _draw_channels(image, rng)
    pixels = read_scaled(view, Region(y, y + side, x, x + side), channels)
    shown = rescale(pixels, _draw_ranges(source, channels, rng))
    return shown if is_rgb(image) else as_colours(shown, rng)


def _draw_channels(image: ImageMeta, rng: np.random.Generator) -> list[int]:
    """Draw one channel in half of all cases, else one to three, each number as likely; RGB is taken as it is."""
    if is_rgb(image):
        return [0, 1, 2]
    n = 1 if rng.random() < 0.5 else int(rng.integers(1, 4))
    return [int(c) for c in rng.permutation(image.n_channels)[:n]]


def _draw_ranges(source: CropSource, channels: Sequence[int], rng: np.random.Generator) -> list[Range]:
    which = int(rng.integers(len(_PERCENTILES)))
    if source.ranges is not None:
        return [source.ranges[c] for c in channels]
    if is_rgb(source.image) and rng.random() < 0.5:
        return [(0.0, 255.0)] * 3
    return [image_percentiles(source.image)[c][which] for c in channels]


@lru_cache(maxsize=4096)
def image_percentiles(image: ImageMeta) -> list[list[Range]]:
    """Find pairs of percentiles of each channel, on the coarsest level that is fine enough."""
    levels = [i for i, level in enumerate(image.levels) if min(level.shape) >= _SAMPLE_PX]
    level = levels[-1] if levels else 0
    height, width = image.levels[level].shape
    h, w = min(height, _SAMPLE_SIDE), min(width, _SAMPLE_SIDE)
    y, x = (height - h) // 2, (width - w) // 2
    pixels = read_region(image, level, Region(y, y + h, x, x + w))
    found = [np.percentile(pixels.astype(np.float32), pair, axis=(1, 2)).T for pair in _PERCENTILES]
    # A channel that is constant shows nothing, whatever its range.
    return [[(float(low), float(max(high, low + 1e-6 + abs(low) * 1e-6))) for low, high in channel]
            for channel in np.stack(found, axis=1)]  # fmt: skip


def _resized(pixels: NDArray[np.float32], side: int) -> torch.Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels))[None]
    return functional.interpolate(image, (side, side), mode="bilinear", antialias=True, align_corners=False)[0]
