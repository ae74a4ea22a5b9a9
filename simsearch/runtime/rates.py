"""How far a step is, how fast it goes and when it will be done: computed here, drawn and written elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.runtime.events import StepEnded, StepStarted, TaskDone, TaskFailed
from simsearch.training.epochs import EpochDone

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.runtime.events import Event


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Where a step is."""

    n_tasks: int
    """How many tasks it has."""
    n_pixels: int
    """How many level-0 pixels they have together; 0 where tasks are no tiles."""
    n_done: int = 0
    """How many tasks are done."""
    n_failed: int = 0
    """How many have failed for good."""
    n_pixels_done: int = 0
    """How many level-0 pixels are done."""
    seconds: float = 0.0
    """Since it began."""

    @property
    def tasks_per_s(self) -> float:
        """Tasks done in a second, on average since the step began."""
        return self.n_done / self.seconds if self.seconds else 0.0

    @property
    def mpx_per_s(self) -> float:
        """Millions of level-0 pixels done in a second, on average since the step began."""
        return self.n_pixels_done / 1e6 / self.seconds if self.seconds else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until the step will be done, if it goes on like this; None where nothing has been done yet."""
        n_ended = self.n_done + self.n_failed
        return (self.n_tasks - n_ended) * self.seconds / n_ended if n_ended else None


class Rates:
    """Follows the steps of a workflow.

    Parameters
    ----------
    clock : callable
        Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._steps: dict[str, tuple[float, StepProgress]] = {}

    def take(self, event: Event) -> StepProgress | None:
        """Take an event, and tell where its step is; None where it is of no step that has begun."""
        if isinstance(event, StepStarted):
            self._steps[event.step] = self._clock(), StepProgress(event.n_tasks, event.n_pixels)
        if isinstance(event, EpochDone):
            return self._take_epoch(event)
        if not isinstance(event, StepStarted | TaskDone | TaskFailed | StepEnded) or event.step not in self._steps:
            return None
        begin, before = self._steps[event.step]
        progress = StepProgress(
            n_tasks=before.n_tasks,
            n_pixels=before.n_pixels,
            n_done=before.n_done + isinstance(event, TaskDone),
            n_failed=before.n_failed + isinstance(event, TaskFailed),
            n_pixels_done=before.n_pixels_done + (event.n_pixels if isinstance(event, TaskDone) else 0),
            seconds=self._clock() - begin,
        )
        self._steps[event.step] = begin, progress
        return progress

    def _take_epoch(self, event: EpochDone) -> StepProgress | None:
        """Add up what the worker measured: epochs of an earlier run are told all at once."""
        if not event.seconds:
            return None
        _, before = self._steps.get(event.stage, (0.0, StepProgress(event.n_epochs, 0)))
        seconds = before.seconds + event.seconds
        progress = StepProgress(event.n_epochs, 0, n_done=event.epoch, seconds=seconds)
        self._steps[event.stage] = 0.0, progress
        return progress
