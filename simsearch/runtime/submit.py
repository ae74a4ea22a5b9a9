"""Tasks on a cluster: a bounded window in flight, retries, and failures that are named and stay apart."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from simsearch.runtime.events import Noted, Observer, StepEnded, StepStarted, TaskDone, TaskFailed, ignore
from simsearch.runtime.outcomes import Done, Failed, outcome_of, run_task
from simsearch.runtime.steps.flight import Flight, n_pixels
from simsearch.runtime.steps.roll_call import RollCall
from simsearch.runtime.tasks.fitting import note_of_misfits

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from distributed import Client, Future

Task = TypeVar("Task")
Result = TypeVar("Result")

_RETRIES = 2  # cures what is transient: a lost worker, a network file system that hiccups
_POLL_S = 0.1


def run_tasks(
    client: Client,
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    step: str,
    observe: Observer = ignore,
) -> Generator[Done[Task, Result] | Failed[Task]]:
    """Run a function over tasks on a cluster and yield what comes back, in the order of completion.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    function : callable
        A function of a module, so that workers find it by name. It must be safe to run twice.
        An error of simsearch is final; anything else is retried.
    tasks : sequence
        Small values; ``str(task)`` names a task. Only a window of them is in flight. Those that have ``is_pure``, and
        so write nothing, may be done by two workers where one is slow. Where they have a ``need``, it is compared with
        the memory of workers, and told if it does not fit.
    step : str
        Name of the step, for events.
    observe : callable
        Gets the events of the step; what it raises ends the step, also while no task finishes.

    Yields
    ------
    Done or Failed
        One for each task.

    Raises
    ------
    ClusterError
        If the scheduler is lost, or there are no workers for long.
    """
    if note := note_of_misfits(client, tasks, step):
        observe(Noted(note))
    observe(StepStarted(step, len(tasks), sum(n_pixels(task) for task in tasks)))
    begin = time.perf_counter()

    def submit(task: Task, **options: Any) -> Future[Any]:  # noqa: ANN401  of Dask, which has no types
        return client.submit(run_task, function, task, pure=False, retries=_RETRIES, **options)

    flight = Flight(client, submit, tasks, step, observe)
    try:
        for outcome in flight.land():
            where, name = asdict(outcome.place), str(outcome.task)
            if isinstance(outcome, Failed):
                observe(TaskFailed(step, name, str(outcome.error), **where))
            else:
                observe(TaskDone(step, name, n_pixels(outcome.task), **where))
            yield outcome
    finally:
        flight.cancel()
    observe(StepEnded(step, time.perf_counter() - begin))


def run_one(
    client: Client,
    function: Callable[[Task], Result],
    task: Task,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    observe: Observer = ignore,
) -> Result:
    """Run a function over one long task, and wait for it.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    function : callable
        As for `run_tasks`.
    task
        A small value.
    meanwhile : callable
        Called a few times a second while the task runs, and once when it has ended; what it raises ends the wait.
    observe : callable
        Hears of workers that are lost.

    Raises
    ------
    SimSearchError
        If the task fails for good, the scheduler is lost, or there are no workers for long.
    """
    future = client.submit(run_task, function, task, pure=False, retries=_RETRIES)
    call_roll = RollCall(client, str(task), observe)
    try:
        while not future.done():
            meanwhile()
            call_roll()
            time.sleep(_POLL_S)
        meanwhile()
    except BaseException:
        future.cancel()
        raise
    outcome: Done[Task, Result] | Failed[Task] = outcome_of(task, future)
    if isinstance(outcome, Failed):
        raise outcome.error
    return outcome.result
