"""Training of a trunk on a worker: crops are streamed from the images, and what was killed goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from simsearch.core.feature_grid import from_level0
from simsearch.core.intensity import rescale
from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.colors import RGB_COLORS
from simsearch.io.ome_zarr.scaled import read_scaled
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.pictures.drawing import try_to_draw
from simsearch.io.pictures.model_card import draw_patches
from simsearch.io.places import output_place
from simsearch.nn.device import fast_inference, pick_device
from simsearch.nn.trunk import Trunk, fused
from simsearch.nn.trunk_file import trunk_from_bytes, trunk_to_bytes
from simsearch.runtime.compute import on_all_cores
from simsearch.runtime.crops import CropOptions, CropSource, read_crops
from simsearch.runtime.training_log import PATCHES_NAME, VALIDATIONS_NAME, open_log
from simsearch.runtime.worker import fetch
from simsearch.training.judging import Annotated, average_precision, blocks_at, feature_map, find_like
from simsearch.training.pretrain import Material, PretrainConfig, begin_randomly, pretrain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.core.boxes import Box
    from simsearch.runtime.views import View

_N_DRAWN = 48  # crops that are looked at for the picture
_DISTANCE = 0.3  # of a patch's width: the paper's three strides (section 3.3)


@dataclass(frozen=True, slots=True)
class Judged:
    """A class in images that judge a trunk while it is trained."""

    class_name: str
    """Name of the class."""
    views: tuple[View, ...]
    """The images."""
    objects: tuple[tuple[Box, ...], ...]
    """For each image its objects."""
    prototypes: tuple[tuple[int, Box], ...]
    """What is searched for: which image each lies in, and where."""


@dataclass(frozen=True, slots=True)
class PretrainTask:
    """Train a trunk."""

    sources: tuple[CropSource, ...]
    """Images to learn from."""
    crops: CropOptions
    """How crops are cut."""
    config: PretrainConfig
    """How to learn."""
    judged: tuple[Judged, ...]
    """What judges the trunk meanwhile; may be empty."""
    teacher: str | None
    """Digest of the broadcast trunk to distil from."""
    begin: str | None
    """Digest of the broadcast trunk to begin with; by default random weights."""
    folder: str
    """Folder of the training, which exists."""

    def __str__(self) -> str:
        return f"training in {self.folder}"


def pretrain_on_worker(task: PretrainTask) -> bytes:
    """Train a trunk; its file is returned.

    Raises
    ------
    Cancelled
        If it was asked to stop.
    """
    folder, device = output_place(task.folder), pick_device()
    with store_errors(task.folder):
        trunk = _begin(task).to(device).to(memory_format=torch.channels_last)
        teacher = None
        if task.teacher:
            teacher = trunk_from_bytes(fetch(task.teacher), 3).to(device).to(memory_format=torch.channels_last)
        log = open_log(folder, device)

        def crops(step: int) -> torch.Tensor:
            return read_crops(task.sources, task.crops, task.config.batch, (task.config.seed, step))

        _draw(read_crops(task.sources, task.crops, _N_DRAWN, (task.config.seed,)), folder)
        judge = _Judge(task.judged, str(task))
        material = Material(crops, teacher, judge.scores if task.judged else None)
        with on_all_cores():
            validations = pretrain(trunk, material, task.config, log)
        (folder / VALIDATIONS_NAME).write_bytes(json.dumps(validations).encode())
        return trunk_to_bytes(trunk, str(task))


def _begin(task: PretrainTask) -> Trunk:
    return trunk_from_bytes(fetch(task.begin), 3) if task.begin else begin_randomly(task.config.seed)


class _Judge:
    """Searches for the objects of each class with the trunk as it is; their images are read once."""

    def __init__(self, judged: Sequence[Judged], name: str) -> None:
        self._judged, self._name = judged, name
        self._images = [[_annotated(*pair) for pair in zip(each.views, each.objects, strict=True)] for each in judged]

    def scores(self, trunk: Trunk) -> Mapping[str, float]:
        """Return the average precision of search peaks of each class."""
        blob, device = trunk_to_bytes(trunk, self._name), trunk.conv1.weight.device
        found = {}
        for each, images in zip(self._judged, self._images, strict=True):
            seeing = (
                fused(trunk_from_bytes(blob, len(images[0].pixels))).to(device).to(memory_format=torch.channels_last)
            )
            with fast_inference(device, "bfloat16" if device.type == "cuda" else "float32"):
                found[each.class_name] = _average_precision(seeing, each, images)
        return found


def _average_precision(trunk: Trunk, judged: Judged, images: Sequence[Annotated]) -> float:
    extractor = judged.views[0].extractor
    maps = [feature_map(trunk, image.pixels, extractor) for image in images]
    blocks = []
    for index, box in judged.prototypes:
        y, x = _centre(judged.views[index], box)
        blocks.append(blocks_at(trunk, images[index].pixels, extractor, y, x))
    return average_precision(find_like(maps, blocks, extractor), images, _DISTANCE * extractor.patch_shape[1])


def _annotated(view: View, objects: Sequence[Box]) -> Annotated:
    height, width = view.image.shape
    pixels = read_scaled(view.image, Region(0, height, 0, width), view.channels)
    centres: NDArray[np.float64] = np.array([_centre(view, box) for box in objects]).reshape(-1, 2)
    return Annotated(rescale(pixels, view.ranges), centres)


def _centre(view: View, box: Box) -> tuple[float, float]:
    y, x = (from_level0(value, view.image.downsampling) for value in (box.y, box.x))
    return y, x


def _draw(crops: torch.Tensor, folder: Path) -> None:
    """Draw some of what the trunk is trained on; the card tells if that fails."""
    try_to_draw(
        folder / PATCHES_NAME, lambda: draw_patches({"crops": crops.numpy()}, RGB_COLORS, folder / PATCHES_NAME)
    )
