"""Average precision and cost of the search methods on BCCD blood smears.

Five prototypes are drawn at random from the training split, several times; the search is judged on the test split. A
peak finds an object nearer than three strides of the paper (section 3.3). Patchwise takes the most similar prototype,
as the paper does; the others combine them as a search does. Nothing here was tuned on the test split.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.bccd import SHAPE, Smear, read_split
from simsearch.core.feature_grid import from_level0, working_downsampling
from simsearch.core.intensity import IMAGE_PERCENTILES, pool_range, rescale
from simsearch.io.ome_zarr.pyramid import halved
from simsearch.nn.extractor import Extractor, make_extractor
from simsearch.nn.similarity import SOFTNESS
from simsearch.nn.trunk import fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.training.judging import Annotated, average_precision, blocks_at, feature_map, find_like

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
    ranges = ranges_of(test)
    images = [Annotated(view(smear, ranges, downsampling), centres(smear, class_name, downsampling)) for smear in test]
    begin = time.perf_counter()
    maps = [feature_map(trunk, image.pixels, extractor) for image in images]
    seconds = time.perf_counter() - begin
    precisions = []
    for draw in range(n_draws):
        blocks = _draw_blocks(trunk, extractor, class_name, train, ranges, draw)
        begin = time.perf_counter()
        found = find_like(maps, blocks, extractor, SOFTNESS["max" if method == "patchwise" else "soft"])
        seconds += (time.perf_counter() - begin) / n_draws
        precisions.append(average_precision(found, images, 0.3 * side))
    megapixels = sum(image.pixels[0].size for image in images) / 1e6
    return Score(class_name, method, tuple(precisions), seconds / megapixels)


def ranges_of(smears: list[Smear]) -> list[tuple[float, float]]:
    """Measure the intensity range of each channel."""
    percentiles = np.array([np.percentile(smear.pixels, IMAGE_PERCENTILES, axis=(1, 2)).T for smear in smears])
    return [pool_range(percentiles[:, channel]) for channel in range(3)]


def view(smear: Smear, ranges: list[tuple[float, float]], downsampling: int) -> NDArray[np.float32]:
    """Downsample a smear and rescale it to [0, 1]."""
    pixels: NDArray[np.generic] = smear.pixels
    while downsampling > 1:
        pixels, downsampling = halved(pixels), downsampling // 2
    return rescale(pixels, ranges)


def centres(smear: Smear, class_name: str, downsampling: int) -> NDArray[np.float64]:
    """List where objects of a class are, in pixels of the searched scale."""
    here = [box for box in smear.boxes if box.class_name == class_name]
    return np.array([[from_level0(v, downsampling) for v in (box.y, box.x)] for box in here]).reshape(-1, 2)


def _draw_blocks(
    trunk: Trunk,
    extractor: Extractor,
    class_name: str,
    train: list[Smear],
    ranges: list[tuple[float, float]],
    draw: int,
) -> list[list[torch.Tensor]]:
    """Compute the blocks of prototypes drawn from those that lie wholly inside their images."""
    whole = [(smear, box) for smear in train for box in smear.boxes if box.class_name == class_name and is_whole(box)]
    downsampling = PATCHES[class_name] // extractor.patch_shape[0]
    blocks: list[list[torch.Tensor]] = []
    for smear, box in random.Random(draw).sample(whole, N_PROTOTYPES):
        y, x = from_level0(box.y, downsampling), from_level0(box.x, downsampling)
        blocks.append(blocks_at(trunk, view(smear, ranges, downsampling), extractor, y, x))
    return blocks


def is_whole(box: Box) -> bool:
    """Tell whether the patch around a box lies in its image."""
    half = PATCHES[box.class_name] / 2
    return half <= box.y <= SHAPE[0] - half and half <= box.x <= SHAPE[1] - half
