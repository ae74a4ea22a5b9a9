"""Progress as facts: workflows tell what happened, whoever listens draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from simsearch.training.epochs import EpochDone


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step of a workflow begins."""

    step: str
    """Name of the step."""
    n_tasks: int
    """How many tasks it has."""
    n_pixels: int = 0
    """How many level-0 pixels they have together; 0 where tasks are no tiles."""


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task of a step has finished."""

    step: str
    """Name of the step."""
    task: str
    """Name of the task: its image and tile."""
    n_pixels: int = 0
    """How many level-0 pixels it has; 0 where it is no tile."""
    worker: str = field(default="", compare=False)
    """Address of the worker; empty where nobody knows."""
    host: str = field(default="", compare=False)
    """Name of its machine."""
    device: str = field(default="", compare=False)
    """``cpu``, or ``cuda`` with number or UUID."""


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task of a step has failed for good."""

    step: str
    """Name of the step."""
    task: str
    """Name of the task: its image and tile."""
    message: str
    """What was expected, what was got and the way out."""
    worker: str = field(default="", compare=False)
    """Address of the worker; empty where nobody knows."""
    host: str = field(default="", compare=False)
    """Name of its machine; of a worker that was lost, its address."""
    device: str = field(default="", compare=False)
    """``cpu``, or ``cuda`` with number or UUID."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing has happened for a moment: told a few times a second, so that an observer can end what takes long."""

    step: str
    """Name of the step."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker has gone; what it had in hand goes to others."""

    step: str
    """Name of the step."""
    worker: str
    """Its address."""


@dataclass(frozen=True, slots=True)
class BackupStarted:
    """A task takes much longer than its fellows: a second worker does it as well, and the first result counts."""

    step: str
    """Name of the step."""
    task: str
    """Name of the task: its image and tile."""
    worker: str
    """Address of the worker that has it in hand."""
    backup: str
    """Address of the second."""


@dataclass(frozen=True, slots=True)
class NoWorkers:
    """A step waits, and there is no worker to do it."""

    step: str
    """Name of the step."""
    waited_s: float
    """Since the last one was seen."""
    patience_s: float
    """When the step will be given up."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """Workers were asked for, and not all of them have come; work begins with the first."""

    step: str
    """Name of the step."""
    n_there: int
    """How many have come."""
    n_wanted: int
    """How many were asked for."""
    waited_s: float
    """Since they were asked for."""
    patience_s: float
    """When it is given up that one comes."""


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step of a workflow is over."""

    step: str
    """Name of the step."""
    seconds: float
    """How long it took."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something turned out that a user should know."""

    note: str
    """What was not understood or not believed, and what was taken instead."""


OfWorkers = WorkerLost | BackupStarted | NoWorkers | Awaited
Event = Noted | StepStarted | TaskDone | TaskFailed | Waiting | OfWorkers | StepEnded | EpochDone
Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
