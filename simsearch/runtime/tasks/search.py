"""What workers do in a search: each task reads its own pixels and gives back little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.feature_store import read_blocks, read_features, write_blocks, write_features
from simsearch.io.ome_zarr.writing import write_region
from simsearch.nn.device import fast_inference
from simsearch.nn.extractor import N_ROTATIONS, prototype_block, prototype_region
from simsearch.nn.similarity import class_maps, mean_similarity, prototype_maps
from simsearch.runtime.compute import computing
from simsearch.runtime.models import query_on_worker, trunk_on_worker
from simsearch.runtime.views import (
    View,
    framed_maps,
    peak_table,
    read_pixels,
    window_maps,
    window_name,
    window_need,
    window_pixels,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from simsearch.nn.trunk import Trunk
    from simsearch.runtime.tasks.needs import Need

    Spread = Callable[[Callable[[int], NDArray[np.float32]], Iterable[int]], Iterable[NDArray[np.float32]]]


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
    kept: str | None = None
    """File that keeps its blocks."""

    def __str__(self) -> str:
        return f"{self.view.image.meta.name} prototype {self.index + 1}"


@dataclass(frozen=True, slots=True)
class VectorTask:
    """Sum the vectors in a window of the feature grid."""

    view: View
    window: Region

    def __str__(self) -> str:
        return window_name(self.view, self.window)


@dataclass(frozen=True, slots=True)
class SampleTask:
    """Sample the vectors of an image that fits in memory."""

    view: View
    n: int
    """How many at most, in a grid over the image."""

    def __str__(self) -> str:
        return self.view.image.meta.name


@dataclass(frozen=True, slots=True)
class BlocksTask:
    """Cut blocks out of a feature map, as a patch at each of some positions has."""

    view: View
    positions: tuple[tuple[int, int], ...]
    """Rows and columns of the feature grid, all near each other."""

    @property
    def window(self) -> Region:
        """The smallest that has all positions."""
        rows, columns = zip(*self.positions, strict=True)
        return Region(min(rows), max(rows) + 1, min(columns), max(columns) + 1)

    def __str__(self) -> str:
        return window_name(self.view, self.window)


@dataclass(frozen=True, slots=True)
class FeatureTask:
    """Compute a tile of a feature map."""

    view: View
    window: Region
    """Of the feature grid, its margin included."""
    path: str
    """The feature map."""

    @property
    def need(self) -> Need:
        """What a worker needs for it."""
        return window_need(self.view, self.window)

    def __str__(self) -> str:
        return window_name(self.view, self.window)


@dataclass(frozen=True, slots=True)
class SearchTask:
    """Compute the similarity in a window of the feature grid and find its peaks."""

    view: View
    window: Region
    query: str
    """Digest of the broadcast query."""
    floor: float
    """Lower similarities are no peaks."""
    map_path: str | None = None
    """OME-Zarr image that the similarity is written to."""
    coarseness: int = 0
    """Positions along a side of squares of which the highest similarity is told; 0 tells none."""

    @property
    def is_pure(self) -> bool:
        """Whether it writes nothing: another worker may do it as well."""
        return self.map_path is None

    @property
    def n_pixels(self) -> int:
        """How many level-0 pixels the window stands for."""
        return window_pixels(self.view, self.window)

    @property
    def need(self) -> Need:
        """What a worker needs for it."""
        return window_need(self.view, self.window, "--tile")

    def __str__(self) -> str:
        return window_name(self.view, self.window)


def compute_blocks(task: PrototypeTask, spread: Spread = map) -> list[NDArray[np.float32]]:
    """Return the (D, kh, kw) blocks of a prototype and its three rotations.

    Parameters
    ----------
    task : PrototypeTask
        Which prototype.
    spread : callable
        Applies a function to rotations, as `map` does; where somebody waits, in several threads.
    """
    if task.kept and (blocks := read_blocks(task.kept)):
        return blocks
    region = prototype_region(task.view.extractor, task.y, task.x)
    pixels, trunk = read_pixels(task.view, region), _trunk(task.view)

    def compute(turns: int) -> NDArray[np.float32]:
        with fast_inference(pixels.device, task.view.arithmetic):  # of a thread, not of a process
            block: NDArray[np.float32] = (
                prototype_block(trunk, pixels, task.view.extractor, turns).float().cpu().numpy()
            )
        return block

    with computing():
        blocks = list(spread(compute, range(N_ROTATIONS)))
    if task.kept:
        write_blocks(task.kept, blocks)
    return blocks


def sample_vectors(task: SampleTask) -> NDArray[np.float32]:
    """Return (n, D) vectors, evenly out of those of an image."""
    height, width = task.view.grid_shape
    found = window_maps(_trunk(task.view), task.view, Region(0, height, 0, width))
    n_rows = int(np.clip(round((task.n * height / width) ** 0.5), 1, min(height, task.n)))
    rows, columns = _evenly(height, n_rows), _evenly(width, min(width, task.n // n_rows))
    sampled: NDArray[np.float32] = found[:, rows[:, None], columns].reshape(len(found), -1).T
    return sampled


def cut_blocks(task: BlocksTask) -> NDArray[np.float32]:
    """Return the (n, D, kh, kw) blocks at positions of an image."""
    view, window = task.view, task.window
    (height, width), margin = view.extractor.block_shape, view.margin
    around = window.grown(margin)
    if view.features is None:
        found = window_maps(_trunk(view), view, around)
    else:  # nothing is computed, so nobody has to wait for who computes
        found = read_features(view.features, around.shifted(view.kept_margin)).astype(np.float32)
    top, left = window.y0 - margin + height // 2, window.x0 - margin + width // 2
    return np.stack([found[:, y - top : y - top + height, x - left : x - left + width] for y, x in task.positions])


def store_features(task: FeatureTask) -> None:
    """Write a tile of a feature map."""
    region = task.window.shifted(task.view.kept_margin)
    write_features(task.path, region, window_maps(_trunk(task.view), task.view, task.window).astype(np.float16))


def sum_vectors(task: VectorTask) -> tuple[NDArray[np.float32], int]:
    """Return the (D,) sum of the vectors in a window, and how many they are."""
    found = window_maps(_trunk(task.view), task.view, task.window)
    return found.sum(axis=(1, 2), dtype=np.float64).astype(np.float32), found[0].size


def search_tile(task: SearchTask) -> NDArray[np.float64]:
    """Write the similarity in a window, NaN where the image has no intensities, and return its peaks.

    Returns
    -------
    (N, 4) array
        Index of the class, y and x in grid steps from the image's first pixel, similarity.
    """
    query = query_on_worker(task.query)

    def similarity(found: torch.Tensor) -> torch.Tensor:
        return class_maps(found, prototype_maps(found, query), query)

    maps = framed_maps(_trunk(task.view), task.view, task.window, similarity)
    if task.map_path is not None:
        core = slice(task.view.peak_radius, -task.view.peak_radius)
        inside = maps[:, core, core].cpu().numpy()
        write_region(task.map_path, 0, task.window, np.where(np.isneginf(inside), np.float32(np.nan), inside))
    return peak_table(maps, task.view, task.window, task.floor)


def find_candidates(
    task: SearchTask,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    """Return the peaks in a window, and what may be background (algorithm 1).

    Returns
    -------
    peaks, highest, lowest : (N, 4) arrays
        Index of the class, y and x in grid steps from the image's first pixel, similarity. Highest and lowest are the
        local maxima and minima of the mean similarity to all prototypes; they have no class, and index 0.
    coarse : (classes, h, w) array
        Of each class and each square that the window reaches into, 1 to 255 for a highest similarity of 0 or less to 1;
        0 where there are no intensities. (0, 0, 0) where no squares are asked for.
    """
    query = query_on_worker(task.query)

    def similarity_and_mean(found: torch.Tensor) -> torch.Tensor:
        maps = prototype_maps(found, query)
        return torch.cat([class_maps(found, maps, query), mean_similarity(maps)[None]])

    maps = framed_maps(_trunk(task.view), task.view, task.window, similarity_and_mean)
    mean = maps[-1:]
    highest = peak_table(mean, task.view, task.window, -np.inf)
    lowest = peak_table(torch.where(mean.isfinite(), -mean, mean), task.view, task.window, -np.inf)
    lowest[:, 3] *= -1
    coarse = _coarse(maps[:-1], task) if task.coarseness else np.zeros((0, 0, 0), np.uint8)
    return peak_table(maps[:-1], task.view, task.window, task.floor), highest, lowest, coarse


def _coarse(maps: torch.Tensor, task: SearchTask) -> NDArray[np.uint8]:
    """Find the highest value in each square of a grid that is the same for all windows of an image."""
    step, window, core = task.coarseness, task.window, slice(task.view.peak_radius, -task.view.peak_radius)
    beside = (window.x0 % step, -window.x1 % step, window.y0 % step, -window.y1 % step)
    highest = functional.max_pool2d(functional.pad(maps[:, core, core], beside, value=-torch.inf), step)
    known = highest.isneginf().logical_not()
    return ((1 + (254 * highest.clamp(0, 1)).round()) * known).to(torch.uint8).cpu().numpy()


def _trunk(view: View) -> Trunk:
    return trunk_on_worker(view.trunk, len(view.channels), view.arithmetic)


def _evenly(length: int, n: int) -> NDArray[np.intp]:
    return ((np.arange(n) + 0.5) * length / n).astype(np.intp)
