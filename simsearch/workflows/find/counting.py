"""Intensities of images counted in pieces, on workers; of slides that are mostly glass, those of the tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.channels import Moments, moments
from simsearch.core.percentiles import N_BINS, count_lower, count_upper, sort_keys
from simsearch.core.tiles import Region, tile_cores
from simsearch.errors import SourceError
from simsearch.io.ome_zarr.scaled import ScaledImage, read_scaled, scaled
from simsearch.runtime.tasks.needs import need_to_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simsearch.runtime.tasks.needs import Need
    from simsearch.workflows.find.tissue import Tissue

    Sparse = tuple[NDArray[np.int64], NDArray[np.int64]]  # bins and their counts

_TILE = 2048
_TISSUE_TILE, _N_TISSUE_TILES = 512, 128  # of a slide that is mostly glass: small, so that they are spread over it
_LEAST_TISSUE = 0.5  # of an image: below, glass counts for as much as tissue and no more


@dataclass(frozen=True, slots=True, eq=False)
class CountTask:
    """Count the intensities in a region of an image."""

    image: ScaledImage
    region: Region
    uppers: tuple[tuple[int, ...], ...] = ()
    """For each channel, bins to look into; none in the first pass."""
    mask: NDArray[np.bool_] | None = None
    """Which squares of the region count; None for all."""
    mask_step: int = 1
    """Pixels along a side of such a square."""
    is_glass: bool = False
    """Whether these are the squares of glass."""

    @property
    def need(self) -> Need:
        """What a worker needs for it."""
        height, width = self.region.shape
        return need_to_count(self.image.meta.n_channels * height * width)

    def __str__(self) -> str:
        return f"{self.image.meta.name} y {self.region.y0}:{self.region.y1} x {self.region.x0}:{self.region.x1}"


@dataclass(frozen=True, slots=True)
class Piece:
    """What was counted in a region."""

    counts: tuple[Sparse, ...]
    """For each channel."""
    moments: Moments | None
    """Only of the first pass."""
    is_glass: bool = False


def count_tasks(view: ScaledImage, tissue: Tissue | None) -> list[CountTask]:
    """Cut an image into what is counted: all of it, or some of its tissue and an overview of its glass.

    Parameters
    ----------
    view : ScaledImage
        The image.
    tissue : Tissue, optional
        Where there is tissue, if that is known.

    Returns
    -------
    list of CountTask
        Where less than half of the image is tissue, at most 128 tiles with tissue, evenly out of all, and the glass.
    """
    if tissue is None or not 0 < tissue.mask.mean() < _LEAST_TISSUE:
        return [CountTask(view, core) for core in tile_cores(view.shape, _TILE)]
    step = tissue.downsampling // view.downsampling
    with_tissue = [
        CountTask(view, core, mask=tissue.mask[y0:y1, x0:x1], mask_step=step)
        for core in tile_cores(view.shape, _TISSUE_TILE)
        for y0, x0, y1, x1 in [(core.y0 // step, core.x0 // step, -(-core.y1 // step), -(-core.x1 // step))]
        if tissue.mask[y0:y1, x0:x1].any()
    ]
    chosen = sorted({int(i) for i in np.linspace(0, len(with_tissue) - 1, _N_TISSUE_TILES)})
    overview = scaled(view.meta, tissue.downsampling)
    whole = Region(0, overview.shape[0], 0, overview.shape[1])
    return [*(with_tissue[i] for i in chosen), CountTask(overview, whole, mask=~tissue.mask, is_glass=True)]


def count_intensities(task: CountTask) -> Piece:
    """Count the intensities in a region, each channel apart.

    Raises
    ------
    SourceError
        If a value is infinite.
    StoreError
        If pixels cannot be read.
    """
    pixels = read_scaled(task.image, task.region)
    if task.mask is not None:
        pixels = pixels[:, _enlarged(task.mask, task.mask_step, task.region)]
    try:
        keys = [sort_keys(channel) for channel in pixels]
    except SourceError as error:
        raise SourceError(f"{task}: {error}") from error
    if not task.uppers:
        return Piece(tuple(_sparse(count_upper(k)) for k in keys), moments(pixels), task.is_glass)
    lower = [np.concatenate([count_lower(k, u) for u in uppers]) for k, uppers in zip(keys, task.uppers, strict=True)]
    return Piece(tuple(_sparse(counts) for counts in lower), None)


def merged_counts(pieces: Sequence[Piece]) -> list[NDArray[np.int64]]:
    """Add up the counts of an image's pieces, for each channel; glass counts for as much as tissue."""
    counted = _added([piece.counts for piece in pieces if not piece.is_glass])
    glass = _added([piece.counts for piece in pieces if piece.is_glass])
    return [_with_glass(*each) for each in zip(counted, glass, strict=True)] if glass else counted


def _with_glass(tissue: NDArray[np.int64], glass: NDArray[np.int64]) -> NDArray[np.int64]:
    total = np.zeros(max(len(tissue), len(glass)), np.int64)
    total[: len(tissue)] = tissue
    total[: len(glass)] += glass * int(tissue.sum()) // int(glass.sum())
    return total


def _added(pieces: Sequence[tuple[Sparse, ...]]) -> list[NDArray[np.int64]]:
    merged = []
    for channel in zip(*pieces, strict=True):
        size = 1 + max(int(bins[-1]) for bins, _ in channel if bins.size)  # a tile may have no value near a percentile
        total = np.zeros(-(-size // N_BINS) * N_BINS, np.int64)
        for bins, counts in channel:
            total[bins] += counts
        merged.append(total)
    return merged


def _enlarged(mask: NDArray[np.bool_], step: int, region: Region) -> NDArray[np.bool_]:
    """Look up each pixel of a region in the squares that it lies in."""
    height, width = region.shape
    rows, columns = (
        np.minimum(np.arange(n) // step, last - 1) for n, last in zip((height, width), mask.shape, strict=True)
    )
    enlarged: NDArray[np.bool_] = mask[rows[:, None], columns]
    return enlarged


def _sparse(counts: NDArray[np.int64]) -> Sparse:
    bins = np.flatnonzero(counts)
    return bins, counts[bins]
