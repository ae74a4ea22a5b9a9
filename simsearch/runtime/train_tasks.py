"""Training on a worker: it reads the patches itself, tells how far it is, and goes on where it was after a kill.

The folder of a training is the only channel between the worker and whoever watches: ``progress.jsonl`` gets a line an
epoch, ``checkpoint.pt`` is replaced after each, and a file ``cancel`` asks the worker to stop. So a browser that was
closed, or another terminal, can watch and cancel too.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from dask.system import CPU_COUNT

from simsearch.core.tiles import Region
from simsearch.errors import Cancelled
from simsearch.io.model_card import draw_patches
from simsearch.io.writing import store_errors
from simsearch.nn.augment import crop_side, middle
from simsearch.nn.classifier import PatchClassifier
from simsearch.nn.device import pick_device
from simsearch.nn.model_file import ModelHeader, model_to_bytes
from simsearch.nn.trunk_file import trunk_from_bytes
from simsearch.runtime.compute import computing
from simsearch.runtime.events import Waiting
from simsearch.runtime.submit import run_one
from simsearch.runtime.views import View, read_pixels
from simsearch.runtime.worker import fetch
from simsearch.training.epochs import EpochDone
from simsearch.training.patches import LabelledPatches, TrainingPatches
from simsearch.training.recipe import TrainingConfig, train

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer

PROGRESS_NAME, CHECKPOINT_NAME, CANCEL_NAME, PATCHES_NAME = "progress.jsonl", "checkpoint.pt", "cancel", "patches.png"
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
    """Background beside objects."""
    header: ModelHeader
    """What the model is for; how it was trained is added."""
    config: TrainingConfig
    """How to train."""
    folder: str
    """Folder of the training, which exists."""

    def __str__(self) -> str:
        return f"training in {self.folder}"


def run_training(client: Client, task: TrainTask, observe: Observer) -> bytes:
    """Train on a worker and follow it.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    task : TrainTask
        What to train, and where.
    observe : callable
        Gets an event for each epoch, those of an earlier run that this one goes on from included. What it raises ends
        the training after the epoch that it is in.

    Returns
    -------
    bytes
        The model file.

    Raises
    ------
    Cancelled
        If there is a file ``cancel`` in its folder.
    SimSearchError
        If an image cannot be read, or the folder cannot be written.
    """
    folder, n_seen = Path(task.folder), 0

    def follow() -> None:
        nonlocal n_seen
        epochs = read_progress(folder)
        for event in epochs[n_seen:]:
            observe(event)
        if len(epochs) <= n_seen:
            observe(Waiting("training"))
        n_seen = max(n_seen, len(epochs))

    (folder / CANCEL_NAME).unlink(missing_ok=True)
    try:
        return run_one(client, train_on_worker, task, meanwhile=follow)
    except BaseException:
        cancel_training(folder)  # on Ctrl-C, the worker would go on
        raise


def cancel_training(folder: Path) -> None:
    """Ask the worker to stop after the epoch that it is in; what is done is kept."""
    (folder / CANCEL_NAME).touch()


def read_progress(folder: Path) -> list[EpochDone]:
    """Read which epochs of a training are done; a line that is being written is not."""
    try:
        lines = (folder / PROGRESS_NAME).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [EpochDone(**json.loads(line)) for line in lines if line.endswith("\n")]


def train_on_worker(task: TrainTask) -> bytes:
    """Train a model; its file is returned.

    Raises
    ------
    Cancelled
        If it was asked to stop.
    """
    folder, device = Path(task.folder), pick_device()
    with store_errors(task.folder):
        model = _model(task).to(device)
        patches = _read_patches(task, crop_side(max(model.input_shape)), device)
        _draw(task, patches, folder)
        log = _Log(folder, device)
        with computing(), _all_cores():
            train(model, patches, task.config, observe=log.observe, keep=log.keep, checkpoint=log.checkpoint)
        training = {**asdict(task.config), "n_clean": len(patches.clean), "n_negatives": len(patches.negatives),
                    "n_noisy": len(patches.noisy), "n_beside": len(task.beside)}  # fmt: skip
        return model_to_bytes(model, replace(task.header, training=training))


class _Log:
    """What a training leaves in its folder after each epoch."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder = folder
        self.checkpoint: dict[str, Any] | None = None
        self._epochs: list[EpochDone] = []
        path = folder / CHECKPOINT_NAME
        if path.exists():
            self.checkpoint = torch.load(path, map_location=device, weights_only=True)
            self._epochs = [EpochDone(**each) for each in self.checkpoint["epochs"]]
        # Epochs after the checkpoint are done again.
        (folder / PROGRESS_NAME).write_text("".join(_line(event) for event in self._epochs))

    def observe(self, event: EpochDone) -> None:
        self._epochs.append(event)
        with (self._folder / PROGRESS_NAME).open("a") as file:
            file.write(_line(event))

    def keep(self, checkpoint: dict[str, Any]) -> None:
        partial = self._folder / f"{CHECKPOINT_NAME}.partial"
        torch.save({**checkpoint, "epochs": [asdict(event) for event in self._epochs]}, partial)
        partial.replace(self._folder / CHECKPOINT_NAME)
        if (self._folder / CANCEL_NAME).exists():
            raise Cancelled(f"{self._folder}: training was cancelled; run the same command again to go on")


def _line(event: EpochDone) -> str:
    return json.dumps(asdict(event)) + "\n"


@contextmanager
def _all_cores() -> Iterator[None]:
    """Let torch have the cores that this process may use: while a model is trained, other workers wait."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(int(CPU_COUNT))
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _model(task: TrainTask) -> PatchClassifier:
    view, header = task.views[0], task.header
    trunk = trunk_from_bytes(fetch(view.trunk), len(header.channels)).to(memory_format=torch.channels_last)
    return PatchClassifier(trunk, view.extractor, len(header.classes))


def _read_patches(task: TrainTask, side: int, device: torch.device) -> TrainingPatches:
    def read(places: Sequence[Place]) -> LabelledPatches:
        with ThreadPoolExecutor(_READERS) as pool:
            crops = list(pool.map(lambda place: _crop(task.views[place.image], place, side), places))
        labels = torch.tensor([place.label for place in places], dtype=torch.int64, device=device)
        empty = torch.empty(0, len(task.header.channels), side, side, device=device)
        return LabelledPatches(torch.stack(crops) if crops else empty, labels)

    beside = read(task.beside) if task.beside else None
    return TrainingPatches(read(task.clean), read(task.negatives), read(task.noisy), beside)


def _crop(view: View, place: Place, side: int) -> torch.Tensor:
    top, left = int(place.y + 0.5) - side // 2, int(place.x + 0.5) - side // 2
    return read_pixels(view, Region(top, top + side, left, left + side))


def _draw(task: TrainTask, patches: TrainingPatches, folder: Path) -> None:
    """Draw what the model is trained on."""
    shape = task.views[0].extractor.patch_shape
    rows = {}
    for role, group in (("", patches.clean), ("not ", patches.negatives), ("noisy ", patches.noisy)):
        for label, name in enumerate(task.header.classes):
            crops = group.crops[group.labels == label]
            if len(crops):
                rows[f"{role}{name}"] = middle(crops, shape).float().cpu().numpy()
    colors = [task.views[0].image.meta.channel_colors[channel] for channel in task.views[0].channels]
    draw_patches(rows, colors, folder / PATCHES_NAME)
