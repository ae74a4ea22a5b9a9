"""The folder of a training: the only channel between the worker that trains and whoever watches.

``progress.jsonl`` gets a line an epoch, ``checkpoint.pt`` is replaced after each, and a file ``cancel`` asks the worker
to stop. So a browser that was closed, or another terminal, can watch and cancel too. In an object store, where nothing
is appended to, the former is replaced as well, and is no numbered parts: a checkpoint is larger by far.
"""

from __future__ import annotations

import io
import json
import math
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

from simsearch.core.checks.formats import FORMAT_KEY, check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.errors import Cancelled, StoreError
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import in_store, output_place, write_whole
from simsearch.io.tables.strict_json import strict
from simsearch.runtime.events import Waiting
from simsearch.runtime.submit import run_one
from simsearch.training.epochs import EpochDone, EpochLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer

PROGRESS_NAME, CHECKPOINT_NAME, CANCEL_NAME, PATCHES_NAME = "progress.jsonl", "checkpoint.pt", "cancel", "patches.png"
VALIDATIONS_NAME = "validations.json"
_FORMAT = 1  # of a checkpoint
_LOOK_S = 2.0  # between two looks at how far a training is whose folder is in a store, where each look costs


class InFolder(Protocol):
    """A training task."""

    @property
    def folder(self) -> str:
        """Folder of the training, which exists."""


Task = TypeVar("Task", bound=InFolder)


def run_followed(client: Client, function: Callable[[Task], bytes], task: Task, observe: Observer) -> bytes:
    """Train on a worker and follow it.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    function : callable
        Trains, with the log of the task's folder; a function of a module.
    task
        What to train, and where.
    observe : callable
        Gets an event for each epoch, those of an earlier run that this one goes on from included. What it raises ends
        the training after the epoch that it is in.

    Returns
    -------
    bytes
        The file that was trained.

    Raises
    ------
    Cancelled
        If there is a file ``cancel`` in its folder.
    SimSearchError
        If an image cannot be read, or the folder cannot be written.
    """
    folder, n_seen = output_place(task.folder), 0
    look_s, looked_at = (_LOOK_S if in_store(folder) else 0.0), -math.inf

    def follow(*, is_over: bool = False) -> None:
        nonlocal n_seen, looked_at
        if not is_over and time.monotonic() < looked_at + look_s:
            observe(Waiting("training"))
            return
        epochs, looked_at = read_progress(folder), time.monotonic()
        for event in epochs[n_seen:]:
            observe(event)
        if len(epochs) <= n_seen:
            observe(Waiting("training"))
        n_seen = max(n_seen, len(epochs))

    (folder / CANCEL_NAME).unlink(missing_ok=True)
    try:
        trained = run_one(client, function, task, meanwhile=follow, observe=observe)
        follow(is_over=True)
        return trained
    except BaseException:
        cancel_training(folder)  # on Ctrl-C, the worker would go on
        raise


def cancel_training(folder: Path) -> None:
    """Ask the worker to stop after the epoch that it is in; what is done is kept."""
    (folder / CANCEL_NAME).write_bytes(b"")


def read_progress(folder: Path) -> list[EpochDone]:
    """Read which epochs of a training are done; a line that is being written is not."""
    try:
        lines = (folder / PROGRESS_NAME).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [_epoch(folder, line) for line in lines if line.endswith("\n")]


def _epoch(folder: Path, line: str) -> EpochDone:
    try:
        said = parse_json(line)
        return EpochDone(**said | {"loss": math.nan if said["loss"] is None else said["loss"]})
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{folder / PROGRESS_NAME}: expected an epoch in each line, got {line[:80].strip()!r}: remove the folder "
            "and train again"
        ) from error


def losses_of(folder: Path) -> dict[str, tuple[float, ...]]:
    """Read the loss of each epoch of each stage."""
    losses: dict[str, tuple[float, ...]] = {}
    for event in read_progress(folder):
        losses[event.stage] = (*losses.get(event.stage, ()), event.loss)
    return losses


def open_log(folder: Path, device: torch.device) -> EpochLog:
    """Let a training tell in its folder how far it is, and go on where it was: a `TrainingLog` as it is passed on.

    Raises
    ------
    StoreError
        If a newer simsearch began it.
    """
    log = TrainingLog(folder, device)
    return EpochLog(log.observe, log.keep, log.checkpoint)


class TrainingLog:
    """What a training leaves in its folder after each epoch."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder = folder
        self.checkpoint: dict[str, Any] | None = None
        self._epochs: list[EpochDone] = []
        path = folder / CHECKPOINT_NAME
        if path.exists():
            self.checkpoint = torch.load(io.BytesIO(path.read_bytes()), map_location=device, weights_only=True)
            check_format(self.checkpoint, _FORMAT, str(path))
            self._epochs = [EpochDone(**each) for each in self.checkpoint["epochs"]]
        # Epochs after the checkpoint are done again.
        self._tell_all()
        self._last = time.perf_counter()

    def observe(self, event: EpochDone) -> None:
        """Tell that an epoch is over, and how long it took."""
        now = time.perf_counter()
        event, self._last = replace(event, seconds=round(now - self._last, 3)), now
        self._epochs.append(event)
        if in_store(self._folder):
            self._tell_all()
            return
        with (self._folder / PROGRESS_NAME).open("a") as file:
            file.write(_line(event))

    def keep(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is needed to go on.

        Raises
        ------
        Cancelled
            If somebody asked to stop.
        """
        path = self._folder / CHECKPOINT_NAME
        content = io.BytesIO()  # torch says of a full disk that a position was unexpected
        epochs = [asdict(event) for event in self._epochs]
        torch.save({**checkpoint, FORMAT_KEY: _FORMAT, "epochs": epochs}, content)
        with store_errors(str(path)):
            write_whole(path, content.getvalue())
        if (self._folder / CANCEL_NAME).exists():
            raise Cancelled(f"{self._folder}: training was cancelled; run the same command again to go on")

    def _tell_all(self) -> None:
        (self._folder / PROGRESS_NAME).write_bytes("".join(map(_line, self._epochs)).encode())


def _line(event: EpochDone) -> str:
    return json.dumps(strict(asdict(event)), allow_nan=False) + "\n"
