"""Images as networks see them: pixels, vectors and maps of a window, on a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from simsearch.core.intensity import Range, rescale
from simsearch.core.peaks import find_peaks
from simsearch.core.tiles import Region, pad_to
from simsearch.io.feature_store import read_features
from simsearch.io.scaled import ScaledImage, read_scaled
from simsearch.nn.device import fast_inference, pick_device
from simsearch.nn.extractor import Extractor, needed_region, vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from simsearch.nn.trunk import Trunk


@dataclass(frozen=True, slots=True)
class View:
    """An image as the trunk sees it."""

    image: ScaledImage
    """The image at the downsampling of the search."""
    channels: tuple[int, ...]
    """Which of its channels."""
    ranges: tuple[Range, ...]
    """For each of them the intensities that become 0 and 1."""
    extractor: Extractor
    """How vectors are computed."""
    trunk: str
    """Digest of the broadcast trunk, or of the model that it is part of."""
    features: str | None = None
    """Where its feature map is, with a margin of `kept_margin`; None if it must be computed."""

    @property
    def margin(self) -> int:
        """How far around the image vectors are needed, in grid steps: half a block."""
        return max(self.extractor.block_shape) // 2

    @property
    def kept_margin(self) -> int:
        """How far around the image a kept feature map reaches, in grid steps."""
        return max(self.margin, self.extractor.frame)

    @property
    def peak_radius(self) -> int:
        """How far around a peak there is no other, in grid steps: half the shorter side of a patch."""
        return max(1, round(min(self.extractor.patch_shape) / 2 / self.extractor.grid.stride))

    @property
    def grid_shape(self) -> tuple[int, int]:
        """How many positions of the feature grid lie in the image along y and x."""
        height, width = self.image.shape
        return self.extractor.grid.size(height), self.extractor.grid.size(width)


def window_name(view: View, window: Region) -> str:
    """Name a window of the feature grid by its image and level-0 pixels."""
    step = view.extractor.grid.stride * view.image.downsampling
    y0, y1, x0, x1 = (round(step * edge) for edge in (window.y0, window.y1, window.x0, window.x1))
    return f"{view.image.meta.name} y {y0}:{y1} x {x0}:{x1}"


def read_pixels(view: View, region: Region) -> torch.Tensor:
    """Read (C, H, W) intensities in [0, 1], border pixels replicated to where there is no image."""
    shape = view.image.shape
    inside = rescale(read_scaled(view.image, region.clipped(shape), view.channels), view.ranges)
    padded = np.ascontiguousarray(pad_to(inside, region, shape))
    return torch.from_numpy(padded).to(pick_device()).contiguous()


def window_vectors(trunk: Trunk, view: View, window: Region) -> torch.Tensor:
    """Compute the (D, h, w) vectors in a window of the feature grid, or read them if they were kept."""
    if view.features is not None:
        found = read_features(view.features, window.shifted(view.kept_margin))
        return torch.from_numpy(found).to(pick_device()).float()
    region = needed_region(view.extractor, window, view.image.shape)
    pixels = read_pixels(view, region)
    with fast_inference(pixels.device):
        # As a feature map on disk holds them, so that it makes no difference whether there is one.
        return vectors(trunk, pixels, view.extractor, window, region).half().float()


def framed_maps(
    trunk: Trunk, view: View, window: Region, compute: Callable[[torch.Tensor], torch.Tensor]
) -> NDArray[np.float32]:
    """Compute maps of a window, and around it what peaks in it are compared with.

    Parameters
    ----------
    trunk : Trunk
        What sees.
    view : View
        The image.
    window : Region
        Half-open range of grid indices along y and x.
    compute : callable
        Gives (maps, h, w) of (D, h + 2 m, w + 2 m) vectors, with the view's margin m.

    Returns
    -------
    (maps, h + 2 r, w + 2 r) array
        With ``r = view.peak_radius``; ``-inf`` outside the image.
    """
    grown = window.grown(view.peak_radius)
    inside = grown.clipped(view.grid_shape)
    found = window_vectors(trunk, view, inside.grown(view.margin))
    with torch.inference_mode():
        return _framed(compute(found).float().cpu().numpy(), inside, grown)


def peak_table(maps: NDArray[np.float32], view: View, window: Region, floor: float) -> NDArray[np.float64]:
    """Find the peaks of `framed_maps`, as rows of map index, y and x in grid steps of the image, and height."""
    peaks = [find_peaks(values, view.peak_radius, floor) for values in maps]
    indices = np.repeat(np.arange(len(peaks)), [len(p) for p in peaks])
    table = np.column_stack([indices, np.concatenate(peaks)])
    table[:, 1:3] += (window.y0, window.x0)
    return table


def _framed(maps: NDArray[np.float32], inside: Region, grown: Region) -> NDArray[np.float32]:
    """Surround the positions inside the image by others that no peak is compared with."""
    framed = np.full((len(maps), *grown.shape), -np.inf, np.float32)
    top, left = inside.y0 - grown.y0, inside.x0 - grown.x0
    framed[:, top : top + inside.shape[0], left : left + inside.shape[1]] = maps
    return framed
