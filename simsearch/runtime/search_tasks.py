"""What workers do in a search: each task reads its own pixels and gives back little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from simsearch.core.intensity import Range, rescale
from simsearch.core.peaks import find_peaks
from simsearch.core.tiles import Region, pad_to
from simsearch.io.scaled import ScaledImage, read_scaled
from simsearch.io.writing import write_region
from simsearch.nn.device import fast_inference, pick_device
from simsearch.nn.extractor import Extractor, needed_region, prototype_blocks, prototype_region, vectors
from simsearch.nn.similarity import similarity_maps
from simsearch.runtime.models import query_on_worker, trunk_on_worker

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    """Digest of the broadcast trunk."""

    @property
    def grid_shape(self) -> tuple[int, int]:
        """How many positions of the feature grid lie in the image along y and x."""
        height, width = self.image.shape
        return self.extractor.grid.size(height), self.extractor.grid.size(width)


@dataclass(frozen=True, slots=True)
class PrototypeTask:
    """Compute the blocks of a prototype."""

    view: View
    index: int
    """Which box it is."""
    y: float
    """Row of its centre in pixels of the searched scale."""
    x: float
    """Column of its centre."""

    def __str__(self) -> str:
        return f"{self.view.image.meta.name} prototype {self.index + 1}"


@dataclass(frozen=True, slots=True)
class VectorTask:
    """Sum the vectors in a window of the feature grid."""

    view: View
    window: Region

    def __str__(self) -> str:
        return _name(self.view, self.window)


@dataclass(frozen=True, slots=True)
class SearchTask:
    """Compute the similarity in a window of the feature grid and find its peaks."""

    view: View
    window: Region
    query: str
    """Digest of the broadcast query."""
    radius: int
    """A peak is the highest within this many grid steps."""
    floor: float
    """Lower similarities are no peaks."""
    map_path: str | None
    """OME-Zarr image that the similarity is written to."""

    def __str__(self) -> str:
        return _name(self.view, self.window)


def compute_blocks(task: PrototypeTask) -> list[NDArray[np.float32]]:
    """Return the (D, kh, kw) blocks of a prototype and its three rotations."""
    region = prototype_region(task.view.extractor, task.y, task.x)
    pixels, trunk = _pixels(task.view, region), trunk_on_worker(task.view.trunk, len(task.view.channels))
    with fast_inference(pixels.device):
        return [block.float().cpu().numpy() for block in prototype_blocks(trunk, pixels, task.view.extractor)]


def sum_vectors(task: VectorTask) -> tuple[NDArray[np.float32], int]:
    """Return the (D,) sum of the vectors in a window, and how many they are."""
    found = _vectors(task.view, task.window)
    return found.sum(dim=(1, 2)).cpu().numpy(), found[0].numel()


def search_tile(task: SearchTask) -> NDArray[np.float64]:
    """Write the similarity in a window and return its peaks.

    Returns
    -------
    (N, 4) array
        Index of the class, y and x in grid steps from the image's first pixel, similarity.
    """
    query = query_on_worker(task.query)
    grown = task.window.grown(task.radius)
    inside = grown.clipped(task.view.grid_shape)
    found = _vectors(task.view, inside.grown(query.margin))
    with torch.inference_mode():
        maps = _framed(similarity_maps(found, query).cpu().numpy(), inside, grown)
    if task.map_path is not None:
        core = slice(task.radius, -task.radius)
        write_region(task.map_path, 0, task.window, maps[:, core, core])
    peaks = [find_peaks(values, task.radius, task.floor) for values in maps]
    classes = np.repeat(np.arange(len(peaks)), [len(p) for p in peaks])
    table = np.column_stack([classes, np.concatenate(peaks)])
    table[:, 1:3] += (task.window.y0, task.window.x0)
    return table


def _name(view: View, window: Region) -> str:
    step = view.extractor.grid.stride * view.image.downsampling
    y0, y1, x0, x1 = (round(step * edge) for edge in (window.y0, window.y1, window.x0, window.x1))
    return f"{view.image.meta.name} y {y0}:{y1} x {x0}:{x1}"


def _vectors(view: View, window: Region) -> torch.Tensor:
    region = needed_region(view.extractor, window, view.image.shape)
    pixels, trunk = _pixels(view, region), trunk_on_worker(view.trunk, len(view.channels))
    with fast_inference(pixels.device):
        return vectors(trunk, pixels, view.extractor, window, region).float()


def _pixels(view: View, region: Region) -> torch.Tensor:
    """Read (C, H, W) intensities in [0, 1], border pixels replicated to where there is no image."""
    shape = view.image.shape
    inside = rescale(read_scaled(view.image, region.clipped(shape), view.channels), view.ranges)
    padded = np.ascontiguousarray(pad_to(inside, region, shape))
    return torch.from_numpy(padded).to(pick_device()).contiguous()


def _framed(maps: NDArray[np.float32], inside: Region, grown: Region) -> NDArray[np.float32]:
    """Surround the positions inside the image by others that no peak is compared with."""
    framed = np.full((len(maps), *grown.shape), -np.inf, np.float32)
    top, left = inside.y0 - grown.y0, inside.x0 - grown.x0
    framed[:, top : top + inside.shape[0], left : left + inside.shape[1]] = maps
    return framed
