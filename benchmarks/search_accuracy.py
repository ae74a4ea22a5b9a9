"""Average precision and cost of the three search methods on BCCD blood smears.

Five prototypes are drawn at random from the training split, several times; the search is judged on the test split. A
peak finds an object nearer than three strides of the paper (section 3.3). Nothing here was tuned on the test split.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.bccd import SHAPE, Smear, read_split
from simsearch.core.feature_grid import from_level0, to_level0, working_downsampling
from simsearch.core.intensity import IMAGE_PERCENTILES, pool_range, rescale
from simsearch.core.metrics import match, precision_recall
from simsearch.core.peaks import find_peaks
from simsearch.core.tiles import Region, pad_to
from simsearch.io.pyramid import halved
from simsearch.nn.extractor import (
    Extractor,
    make_extractor,
    needed_region,
    prototype_blocks,
    prototype_region,
    vectors,
)
from simsearch.nn.similarity import Query, make_query, prototype_maps, similarity_maps
from simsearch.nn.trunk import fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.core.boxes import Box
    from simsearch.nn.trunk import Trunk

PATCHES = {"RBC": 96, "WBC": 192, "Platelets": 48}
"""Side of the square patch of each class in level-0 pixels."""
N_PROTOTYPES = 5


@dataclass(frozen=True, slots=True)
class Score:
    """What a method does for a class."""

    class_name: str
    method: str
    average_precisions: tuple[float, ...]
    """One a draw."""
    seconds_per_megapixel: float
    """Of the searched scale: features once, similarity once a draw."""


EXACT = "template-exact"
"""The template-deep method with layer3 computed at every position instead of interpolated."""


def run(data: Path, trunk: str, methods: Sequence[str], classes: Sequence[str], n_draws: int, n_train: int = 0
        ) -> Iterator[Score]:  # fmt: skip
    """Judge methods with a trunk on classes, one after the other: patchwise takes minutes.

    With `n_train`, on so many images of the training split, and prototypes from its others: to choose by.
    """
    train = read_split(data / "bccd", "train")
    if n_train:
        random.Random(2).shuffle(train)
    train, judged = (train[n_train:], train[:n_train]) if n_train else (train, read_split(data / "bccd", "test"))
    network = fused(trunk_from_bytes(read_trunk(trunk), 3)).to(memory_format=torch.channels_last)
    for name in classes:
        for method in methods:
            with torch.inference_mode():
                score = _score(network, name, method, (train, judged), n_draws)
            yield score


def _score(trunk: Trunk, class_name: str, method: str, splits: tuple[list[Smear], list[Smear]], n_draws: int) -> Score:
    train, test = splits
    downsampling = working_downsampling((PATCHES[class_name],) * 2)
    side = PATCHES[class_name] // downsampling
    extractor = make_extractor("template-deep" if method == EXACT else method, (side, side))
    extractor = replace(extractor, is_exact=extractor.is_exact or method == EXACT)
    ranges = _ranges(test)
    images = [_view(smear, ranges, downsampling) for smear in test]
    begin = time.perf_counter()
    maps = [_vectors(trunk, image, extractor) for image in images]
    seconds = time.perf_counter() - begin
    centre = torch.stack([m.mean(dim=(1, 2)) for m in maps]).mean(dim=0)
    centre = centre if extractor.is_centred else torch.zeros_like(centre)
    precisions = []
    for draw in range(n_draws):
        blocks = _draw_blocks(trunk, extractor, class_name, train, ranges, draw)
        begin = time.perf_counter()
        query = make_query([blocks], centre)
        found = [_peaks(m, query, extractor, image.shape[1:]) for m, image in zip(maps, images, strict=True)]
        seconds += (time.perf_counter() - begin) / n_draws
        precisions.append(_average_precision(found, test, class_name, extractor.grid.stride, downsampling))
    megapixels = sum(image[0].size for image in images) / 1e6
    return Score(class_name, method, tuple(precisions), seconds / megapixels)


def _ranges(smears: list[Smear]) -> list[tuple[float, float]]:
    percentiles = np.array([np.percentile(smear.pixels, IMAGE_PERCENTILES, axis=(1, 2)).T for smear in smears])
    return [pool_range(percentiles[:, channel]) for channel in range(3)]


def _view(smear: Smear, ranges: list[tuple[float, float]], downsampling: int) -> NDArray[np.float32]:
    pixels: NDArray[np.generic] = smear.pixels
    while downsampling > 1:
        pixels, downsampling = halved(pixels), downsampling // 2
    return rescale(pixels, ranges)


def _vectors(trunk: Trunk, image: NDArray[np.float32], extractor: Extractor) -> torch.Tensor:
    shape = image.shape[1:]
    margin = max(extractor.block_shape) // 2
    window = Region(0, extractor.grid.size(shape[0]), 0, extractor.grid.size(shape[1])).grown(margin)
    region = needed_region(extractor, window, shape)
    pixels = torch.from_numpy(np.ascontiguousarray(pad_to(image, region, shape)))
    return vectors(trunk, pixels, extractor, window, region)


def _draw_blocks(
    trunk: Trunk,
    extractor: Extractor,
    class_name: str,
    train: list[Smear],
    ranges: list[tuple[float, float]],
    draw: int,
) -> list[torch.Tensor]:
    """Compute the blocks of prototypes drawn from those that lie wholly inside their images."""
    whole = [(smear, box) for smear in train for box in smear.boxes if box.class_name == class_name and _is_whole(box)]
    downsampling = PATCHES[class_name] // extractor.patch_shape[0]
    blocks: list[torch.Tensor] = []
    for smear, box in random.Random(draw).sample(whole, N_PROTOTYPES):
        image = _view(smear, ranges, downsampling)
        shape = image.shape[1:]
        region = prototype_region(extractor, from_level0(box.y, downsampling), from_level0(box.x, downsampling))
        inside = image[:, *region.clipped(shape).slices]
        pixels = torch.from_numpy(np.ascontiguousarray(pad_to(inside, region, shape)))
        blocks += list(prototype_blocks(trunk, pixels, extractor))
    return blocks


def _is_whole(box: Box) -> bool:
    half = PATCHES[box.class_name] / 2
    return half <= box.y <= SHAPE[0] - half and half <= box.x <= SHAPE[1] - half


def _peaks(maps: torch.Tensor, query: Query, extractor: Extractor, shape: tuple[int, int]) -> NDArray[np.float64]:
    radius = max(1, round(extractor.patch_shape[0] / 2 / extractor.grid.stride))
    values = np.pad(similarity_maps(prototype_maps(maps, query))[0].numpy(), radius, constant_values=-np.inf)
    return find_peaks(values, radius, floor=-1.0)


def _average_precision(
    found: list[NDArray[np.float64]], test: list[Smear], class_name: str, stride: float, downsampling: int
) -> float:
    hits, scores, n_objects = [], [], 0
    for peaks, smear in zip(found, test, strict=True):
        points = np.array([[to_level0(stride * v, downsampling) for v in peak[:2]] for peak in peaks]).reshape(-1, 2)
        truth = np.array([(b.y, b.x) for b in smear.boxes if b.class_name == class_name]).reshape(-1, 2)
        hits.append(match(points, peaks[:, 2], truth, distance=0.3 * PATCHES[class_name]))
        scores.append(peaks[:, 2])
        n_objects += len(truth)
    return precision_recall(hits, scores, n_objects).average_precision
