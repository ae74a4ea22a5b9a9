"""Images as networks see them: pixels, vectors and maps of a window, on a worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from simsearch.core.tiles import Region, halves_of
from simsearch.errors import TaskError
from simsearch.io.ome_zarr.feature_store import read_features
from simsearch.io.ome_zarr.scaled import ScaledImage, read_scaled
from simsearch.nn.device import Arithmetic, fast_inference, pick_device, whole_float32
from simsearch.nn.extractor import Extractor, needed_region, vectors
from simsearch.nn.peaks import peaks_in_maps
from simsearch.nn.raw_pixels import RawPixels
from simsearch.runtime.compute import computing
from simsearch.runtime.tasks.needs import need_to_compare, need_to_see

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from simsearch.core.intensity import Range
    from simsearch.nn.trunk import Trunk
    from simsearch.runtime.tasks.needs import Need


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
    spacing: float = 1 / 2
    """How far around a peak there is no other, as a part of the shorter side of a patch."""
    arithmetic: Arithmetic = "float32"
    """What the trunk computes with, on whatever worker."""

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
        """How far around a peak there is no other, in grid steps: one at least."""
        return self.radius_of(self.extractor.patch_shape)

    def radius_of(self, patch_shape: tuple[int, int]) -> int:
        """Return how far around a peak of a class with other patches there is no other, in grid steps."""
        return max(1, round(self.spacing * min(patch_shape) / self.extractor.grid.stride))

    @property
    def grid_shape(self) -> tuple[int, int]:
        """How many positions of the feature grid lie in the image along y and x."""
        height, width = self.image.shape
        return self.extractor.grid.size(height), self.extractor.grid.size(width)


def window_need(view: View, window: Region, smaller: str = "") -> Need:
    """Tell what a worker needs for a window of the feature grid, given the option that makes windows smaller."""
    around = window.grown(view.peak_radius + view.margin)
    if view.features is not None:
        return need_to_compare(view.extractor.dim * around.shape[0] * around.shape[1], smaller)
    height, width = needed_region(view.extractor, around, view.image.shape).shape
    n_pixels = max(height * width, view.extractor.pixels_at_once)
    itemsize = np.dtype(view.image.meta.dtype).itemsize * 4**view.image.halvings
    layers = view.arithmetic if view.extractor.is_windowed else "whole"
    return need_to_see(n_pixels, len(view.channels), itemsize, smaller, layers=layers)


def window_region(view: View, window: Region) -> Region:
    """Return the level-0 pixels that a window of the feature grid stands for; the last may lie outside the image."""
    step = view.extractor.grid.stride * view.image.downsampling
    return Region(*(round(step * edge) for edge in (window.y0, window.y1, window.x0, window.x1)))


def window_name(view: View, window: Region) -> str:
    """Name a window of the feature grid by its image and level-0 pixels."""
    region = window_region(view, window)
    return f"{view.image.meta.name} y {region.y0}:{region.y1} x {region.x0}:{region.x1}"


def window_pixels(view: View, window: Region) -> int:
    """Count the level-0 pixels in the image that a window of the feature grid stands for."""
    height, width = window_region(view, window).clipped(view.image.meta.shape).shape
    return height * width


def read_pixels(view: View, region: Region) -> torch.Tensor:
    """Read (C, H, W) intensities in [0, 1], border pixels replicated to where there is no image."""
    return read_raw(view, region).intensities()


def read_raw(view: View, region: Region) -> RawPixels:
    """Read pixels of a region, which may reach beyond the image, and send them to the device as they are."""
    inside, device = region.clipped(view.image.shape), pick_device()
    read = np.require(read_scaled(view.image, inside, view.channels), requirements=("C", "W"))
    pixels = torch.from_numpy(read)
    if device.type == "cuda":
        pixels = pixels.pin_memory()  # so that the GPU fetches them while it computes
    return RawPixels(pixels.to(device, non_blocking=True), view.ranges, inside, region)


def window_maps(
    trunk: Trunk,
    view: View,
    window: Region,
    compute: Callable[[torch.Tensor], torch.Tensor] = lambda found: found,
    margin: int = 0,
) -> NDArray[np.float32]:
    """Compute maps of a window of the feature grid; by default its vectors.

    Parameters
    ----------
    trunk : Trunk
        What sees.
    view : View
        The image.
    window : Region
        Half-open range of grid indices along y and x.
    compute : callable
        Gives (maps, h, w) of (D, h + 2 m, w + 2 m) vectors.
    margin : int
        That m.

    Returns
    -------
    (maps, h, w) array

    Raises
    ------
    TaskError
        If not even one position fits in the memory of the GPU.
    """
    found: NDArray[np.float32] = _maps_there(trunk, view, window, compute, margin).cpu().numpy()
    return found


def _maps_there(
    trunk: Trunk, view: View, window: Region, compute: Callable[[torch.Tensor], torch.Tensor], margin: int
) -> torch.Tensor:
    """Compute maps of a window, and leave them on the device, which need not be done with them yet."""
    sight = _read(view, window.grown(margin))
    with computing(), torch.inference_mode(), whole_float32(pick_device()):
        return _maps(trunk, view, window, compute, (margin, sight, window.grown(margin)))


def _read(view: View, window: Region) -> RawPixels | torch.Tensor:
    """Read what the vectors in a window are computed of, or these if they were kept."""
    if view.features is not None:
        found = read_features(view.features, window.shifted(view.kept_margin))
        return torch.from_numpy(found).to(pick_device()).float()
    return read_raw(view, needed_region(view.extractor, window, view.image.shape))


def _maps(
    trunk: Trunk,
    view: View,
    window: Region,
    compute: Callable[[torch.Tensor], torch.Tensor],
    sight: tuple[int, RawPixels | torch.Tensor, Region],
) -> torch.Tensor:
    """Compute the maps of a window in one piece, or of its halves where the memory of the GPU is too small."""
    try:
        return compute(_vectors(trunk, view, window, sight)).float()
    except torch.OutOfMemoryError as error:
        message = str(error).splitlines()[0]  # the error itself would hold what is to be freed
    if window.shape == (1, 1):
        raise TaskError(
            f"{window_name(view, window)}: expected memory for one position on the GPU, got none ({message}): end "
            "what else uses the GPU, or compute on CPUs (CUDA_VISIBLE_DEVICES=)"
        )
    torch.cuda.empty_cache()
    axis = int(window.shape[1] > window.shape[0])
    halves = [_maps(trunk, view, half, compute, sight) for half in halves_of(window)]
    return torch.cat(halves, dim=1 + axis)


def _vectors(
    trunk: Trunk, view: View, window: Region, sight: tuple[int, RawPixels | torch.Tensor, Region]
) -> torch.Tensor:
    margin, read, whole = sight
    window = window.grown(margin)
    if not isinstance(read, RawPixels):
        return read[:, *window.shifted_by(-whole.y0, -whole.x0).slices]
    own = needed_region(view.extractor, window, view.image.shape)
    with fast_inference(read.values.device, view.arithmetic):
        # As a feature map on disk holds them, so that it makes no difference whether there is one.
        return vectors(trunk, replace(read, region=own), view.extractor, window, own).half().float()


def framed_maps(
    trunk: Trunk, view: View, window: Region, compute: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
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
    (maps, h + 2 r, w + 2 r) tensor
        With ``r = view.peak_radius``; ``-inf`` outside the image, and where it has NaN instead of intensities. On the
        device that computes it, which need not be done with it yet.
    """
    grown = window.grown(view.peak_radius)
    inside = grown.clipped(view.grid_shape)
    maps = _maps_there(trunk, view, inside, compute, view.margin)
    if np.dtype(view.image.meta.dtype).kind == "f":
        maps = maps.masked_fill(torch.from_numpy(_is_nan(view, inside)).to(maps.device), -torch.inf)
    beside = (inside.x0 - grown.x0, grown.x1 - inside.x1, inside.y0 - grown.y0, grown.y1 - inside.y1)
    return functional.pad(maps, beside, value=-torch.inf)


def peak_table(
    maps: torch.Tensor, view: View, window: Region, floor: float, radii: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Find the peaks of `framed_maps`, as rows of map index, y and x in grid steps of the image, and height.

    Each map has the view's radius, or one of its own, which is no larger. Maps stay on their device; peaks leave it.
    """
    framed, tables, first = view.peak_radius, [], 0
    for radius, alike in groupby(radii or [framed] * len(maps)):
        n, inside = len(list(alike)), slice(framed - radius, radius - framed or None)
        table = peaks_in_maps(maps[first : first + n, inside, inside], radius, floor).cpu().numpy()
        table[:, :3] += (first, window.y0, window.x0)
        tables.append(table)
        first += n
    return np.concatenate(tables)


def _is_nan(view: View, window: Region) -> NDArray[np.bool_]:
    """Tell at which positions of a window of the feature grid a channel has no intensity."""
    stride, (height, width) = view.extractor.grid.stride, view.image.shape
    rows = np.minimum(np.round(stride * np.arange(window.y0, window.y1)).astype(int), height - 1)
    columns = np.minimum(np.round(stride * np.arange(window.x0, window.x1)).astype(int), width - 1)
    region = Region(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    pixels = read_scaled(view.image, region, view.channels)
    there: NDArray[np.bool_] = np.isnan(pixels[:, (rows - rows[0])[:, None], columns - columns[0]]).any(axis=0)
    return there
