"""Training on a worker: it reads the patches itself, tells how far it is, and goes on where it was after a kill."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import torch

from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.pictures.drawing import try_to_draw
from simsearch.io.pictures.model_card import draw_patches
from simsearch.io.places import output_place
from simsearch.nn.augment import crop_side, middle
from simsearch.nn.device import pick_device
from simsearch.nn.model_file import ModelHeader, make_classifier, model_to_bytes
from simsearch.nn.trunk_file import trunk_from_bytes
from simsearch.runtime.compute import on_all_cores
from simsearch.runtime.tasks.labels import check_labels
from simsearch.runtime.training_log import PATCHES_NAME, open_log, run_followed
from simsearch.runtime.views import View, read_pixels
from simsearch.runtime.worker import fetch
from simsearch.training.patches import LabelledPatches, TrainingPatches
from simsearch.training.recipe import TrainingConfig, train

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simsearch.nn.classifier import PatchClassifier
    from simsearch.nn.device import Arithmetic
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer

_READERS = 8  # threads that read patches: over a network they are better read together


@dataclass(frozen=True, slots=True)
class Place:
    """Where a training patch is, and what of."""

    image: int
    """Which of the views."""
    y: float
    """Row of its centre in pixels of the working scale."""
    x: float
    """Column of its centre."""
    label: int
    """Its class; 0 is background."""
    is_single: bool = False
    """Whether somebody said so of it alone: its label counts in full whatever others say."""


@dataclass(frozen=True, slots=True)
class AskedPlace:
    """A place that was answered one by one for a class."""

    place: Place
    """Its label is that class."""
    is_right: bool
    """Whether it is of the class."""


@dataclass(frozen=True, slots=True)
class TrainTask:
    """Train a model."""

    views: tuple[View, ...]
    """Images, as the model will see them."""
    clean: tuple[Place, ...]
    """What a person has approved."""
    negatives: tuple[Place, ...]
    """What a person has flagged as not of the class of its label."""
    noisy: tuple[Place, ...]
    """What nobody has checked."""
    beside: tuple[Place, ...]
    """Background beside objects, and places in those that are large."""
    header: ModelHeader
    """What the model is for; how it was trained is added."""
    config: TrainingConfig
    """How to train."""
    folder: str
    """Folder of the training, which exists."""
    arithmetic: Arithmetic = "float32"
    """What the trunk computes with."""
    is_checked: bool = True
    """Whether labels are compared with each other, and count less where they disagree."""
    answers: tuple[AskedPlace, ...] = ()
    """What is judged by cross-validation too, where labels are."""

    def __str__(self) -> str:
        return f"training in {self.folder}"


def run_training(client: Client, task: TrainTask, observe: Observer) -> bytes:
    """Train a model on a worker and follow it, as `run_followed` does; its file is returned."""
    return run_followed(client, train_on_worker, task, observe)


def train_on_worker(task: TrainTask) -> bytes:
    """Train a model; its file is returned.

    Raises
    ------
    Cancelled
        If it was asked to stop.
    """
    folder, device = output_place(task.folder), pick_device()
    with store_errors(task.folder):
        model = _model(task).to(device)
        patches, answered = _read_patches(task, crop_side(max(model.input_shape)), device)
        _draw(task, patches, folder)
        with on_all_cores():
            if task.is_checked:
                weights = check_labels(task, model, patches.clean, answered, folder)
                patches = replace(patches, clean=replace(patches.clean, weights=weights))
            train(model, patches, task.config, open_log(folder, device), task.arithmetic)
        training = {**asdict(task.config), "n_clean": len(patches.clean), "n_negatives": len(patches.negatives),
                    "n_noisy": len(patches.noisy), "n_beside": len(task.beside)}  # fmt: skip
        return model_to_bytes(model, replace(task.header, training=training))


def _model(task: TrainTask) -> PatchClassifier:
    view, header = task.views[0], task.header
    trunk = trunk_from_bytes(fetch(view.trunk), len(header.channels)).to(memory_format=torch.channels_last)
    return make_classifier(trunk, header)


def _read_patches(task: TrainTask, side: int, device: torch.device) -> tuple[TrainingPatches, LabelledPatches]:
    """Read what is learned from, and what was answered."""

    def read(places: Sequence[Place]) -> LabelledPatches:
        with ThreadPoolExecutor(_READERS) as pool:
            crops = list(pool.map(lambda place: _crop(task.views[place.image], place, side), places))
        labels = torch.tensor([place.label for place in places], dtype=torch.int64, device=device)
        empty = torch.empty(0, len(task.header.channels), side, side, device=device)
        return LabelledPatches(torch.stack(crops) if crops else empty, labels)

    beside = read(task.beside) if task.beside else None
    patches = TrainingPatches(read(task.clean), read(task.negatives), read(task.noisy), beside)
    return patches, read([each.place for each in task.answers])


def _crop(view: View, place: Place, side: int) -> torch.Tensor:
    top, left = int(place.y + 0.5) - side // 2, int(place.x + 0.5) - side // 2
    return read_pixels(view, Region(top, top + side, left, left + side))


def _draw(task: TrainTask, patches: TrainingPatches, folder: Path) -> None:
    """Draw what the model is trained on; the card tells if that fails."""
    shapes = (task.header.working_shape, *task.header.working_shapes)
    rows = {}
    for role, group in (("", patches.clean), ("not ", patches.negatives), ("noisy ", patches.noisy)):
        for label, (name, shape) in enumerate(zip(task.header.classes, shapes, strict=True)):
            crops = group.crops[group.labels == label]
            if len(crops):
                rows[f"{role}{name}"] = middle(crops, shape).float().cpu().numpy()
    colors = [task.views[0].image.meta.channel_colors[channel] for channel in task.views[0].channels]
    try_to_draw(folder / PATCHES_NAME, lambda: draw_patches(rows, colors, folder / PATCHES_NAME))
