"""How well a trunk finds what it is shown: average precision of search peaks in images that are in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from simsearch.core.accuracy.metrics import match, precision_recall
from simsearch.core.tiles import Region, pad_to
from simsearch.nn.extractor import Extractor, needed_region, prototype_blocks, prototype_region, vectors
from simsearch.nn.peaks import find_peaks
from simsearch.nn.similarity import SOFTNESS, make_query, prototype_maps, similarity_maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simsearch.nn.similarity import Query
    from simsearch.nn.trunk import Trunk


@dataclass(frozen=True, slots=True)
class Annotated:
    """An image at the scale that is searched, and where the objects of a class are in it."""

    pixels: NDArray[np.float32]
    """(C, H, W) intensities in [0, 1]."""
    centres: NDArray[np.float64]
    """(M, 2) y and x of the objects in its pixels."""


def feature_map(trunk: Trunk, pixels: NDArray[np.float32], extractor: Extractor) -> torch.Tensor:
    """Compute the vectors of an image, with a margin of half a block around it.

    Parameters
    ----------
    trunk : Trunk
        In evaluation mode, on the CPU or a GPU.
    pixels : (C, H, W) array
        Intensities in [0, 1].
    extractor : Extractor
        How vectors are computed.

    Returns
    -------
    (D, h, w) tensor
    """
    shape = pixels.shape[1:]
    window = Region(0, extractor.grid.size(shape[0]), 0, extractor.grid.size(shape[1]))
    window = window.grown(max(extractor.block_shape) // 2)
    region = needed_region(extractor, window, shape)
    return vectors(trunk, _padded(trunk, pixels, region), extractor, window, region)


def blocks_at(
    trunk: Trunk, pixels: NDArray[np.float32], extractor: Extractor, y: float, x: float
) -> list[torch.Tensor]:
    """Compute the blocks of a prototype with its centre at y and x of an image, in four rotations."""
    seen = _padded(trunk, pixels, prototype_region(extractor, y, x))
    return list(prototype_blocks(trunk, seen, extractor))


def find_like(
    maps: Sequence[torch.Tensor],
    blocks: Sequence[Sequence[torch.Tensor]],
    extractor: Extractor,
    softness: float = SOFTNESS["soft"],
) -> list[NDArray[np.float64]]:
    """Search feature maps for what looks like the prototypes of one class, each given by its rotations' blocks.

    Returns
    -------
    list of (N, 3) array
        For each map y and x in pixels of its image, and similarity.
    """
    centre = torch.stack([m.mean(dim=(1, 2)) for m in maps]).mean(dim=0)
    query = make_query([blocks], centre if extractor.is_centred else torch.zeros_like(centre), softness)
    return [_peaks(m, query, extractor) for m in maps]


def average_precision(found: Sequence[NDArray[np.float64]], images: Sequence[Annotated], distance: float) -> float:
    """Judge what was found in images; a peak finds an object that is nearer than `distance` in their pixels."""
    hits = [
        match(peaks[:, :2], peaks[:, 2], image.centres, distance) for peaks, image in zip(found, images, strict=True)
    ]
    n_objects = sum(len(image.centres) for image in images)
    return precision_recall(hits, [peaks[:, 2] for peaks in found], n_objects).average_precision


def _padded(trunk: Trunk, pixels: NDArray[np.float32], region: Region) -> torch.Tensor:
    shape = pixels.shape[1:]
    padded = pad_to(pixels[:, *region.clipped(shape).slices], region, shape)
    return torch.from_numpy(np.ascontiguousarray(padded)).to(next(trunk.parameters()).device)


def _peaks(maps: torch.Tensor, query: Query, extractor: Extractor) -> NDArray[np.float64]:
    radius = max(1, round(min(extractor.patch_shape) / 2 / extractor.grid.stride))
    similarity = similarity_maps(prototype_maps(maps, query), query)[0].float().cpu().numpy()
    peaks = find_peaks(np.pad(similarity, radius, constant_values=-np.inf), radius, floor=-1.0)
    return peaks * (extractor.grid.stride, extractor.grid.stride, 1.0)
