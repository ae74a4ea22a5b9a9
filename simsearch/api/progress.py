"""How far a function is, drawn while it works: `show_progress`."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from simsearch.runtime.events import (
    Awaited,
    BackupStarted,
    Event,
    Noted,
    NoWorkers,
    Observer,
    StepEnded,
    StepStarted,
    TaskDone,
    TaskFailed,
    WorkerLost,
)
from simsearch.runtime.rates import Rates, StepProgress
from simsearch.training.epochs import EpochDone

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def show_progress() -> Iterator[Observer]:
    """Draw a progress bar for each step of what is done meanwhile, and print notes.

    Yields
    ------
    callable
        For ``observe`` of other functions.

    Examples
    --------
    >>> import simsearch as ss
    >>> with ss.show_progress() as observe:
    ...     ss.measure("cells.ome.zarr", cluster="threads", observe=observe).table()["channel"].tolist()
    ['GFP', 'DNA']
    """
    with draw_progress(Console(stderr=True, highlight=False)) as observe:
        yield observe


@contextmanager
def draw_progress(console: Console) -> Iterator[Observer]:
    """Draw a progress bar for each step on a console.

    Yields
    ------
    callable
        Takes the events of a workflow.
    """
    columns = (
        TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[speed]}"),
    )  # fmt: skip
    progress = Progress(*columns, console=console, redirect_stdout=False)
    try:
        yield _Bars(progress)
    finally:
        if progress.live.is_started:
            progress.stop()


class _Bars:
    """A bar for each step that has begun."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._rates = progress, Rates()
        self._bars: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Draw what an event tells."""
        now = self._rates.take(event)
        match event:
            case StepStarted(step, n_tasks):
                self._begin(step, n_tasks)
            case TaskDone(step) | TaskFailed(step) if now:
                self._progress.update(self._bars[step], advance=1, speed=_speed(now))
            case StepEnded(step):
                self._progress.stop_task(self._bars[step])
            case EpochDone(stage, epoch, n_epochs, loss):
                if stage not in self._bars:
                    self._begin(stage, n_epochs)
                speed = _speed(now, "epochs") if now else ""
                words = f"{stage}, loss {loss:.3f}"
                self._progress.update(self._bars[stage], completed=epoch, description=words, speed=speed)
            case _:
                self._say(event)

    def _begin(self, step: str, n_tasks: int) -> None:
        self._progress.start()  # not before there is something to draw: it ends with an empty line
        self._bars[step] = self._progress.add_task(step, total=n_tasks, speed="")

    def _say(self, event: Event) -> None:
        match event:
            case Noted(note):
                text = f"Note: {note}"
            case WorkerLost(step, worker):
                text = f"{step}: worker {worker} was lost; others do what it had"
            case BackupStarted(step, task, worker, backup):
                text = f"{step}: {task} takes long on worker {worker}; {backup} does it as well"
            case NoWorkers(step, waited_s, patience_s):
                text = f"{step}: no workers for {waited_s:.0f} s, given up after {patience_s:.0f} s"
            case Awaited(_, n_there, n_wanted, waited_s, patience_s):
                text = f"waiting for workers: {n_there} of {n_wanted} after {waited_s:.0f} s, " + (
                    "work begins with them" if n_there else f"given up after {patience_s:.0f} s"
                )
            case _:
                return
        self._progress.console.print(text, markup=False, soft_wrap=True)


def _speed(progress: StepProgress, unit: str = "tasks") -> str:
    """Tell how fast a step is, and when it will be done."""
    unit = "tiles" if progress.n_pixels else unit
    words = [f"{progress.tasks_per_s:.3g} {unit}/s"]
    if progress.n_pixels:
        words.append(f"{progress.mpx_per_s:.3g} Mpx/s")
    if progress.eta_s is not None:
        words.append(f"eta {timedelta(seconds=round(progress.eta_s))}")
    return "  ".join(words)
