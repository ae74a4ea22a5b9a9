"""Tasks on a cluster: a bounded window in flight, retries, and failures that are named and stay apart."""

from __future__ import annotations

import time
from asyncio import CancelledError
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from distributed import as_completed
from distributed.client import FutureCancelledError

from simsearch.errors import SimSearchError, TaskError
from simsearch.runtime.clusters.losing import address_of, lost_scheduler
from simsearch.runtime.events import Observer, StepEnded, StepStarted, TaskDone, TaskFailed, Waiting, ignore
from simsearch.runtime.roll_call import RollCall

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from distributed import Client, Future

Task = TypeVar("Task")
Result = TypeVar("Result")

_RETRIES = 2  # cures what is transient: a lost worker, a network file system that hiccups
_POLL_S = 0.1
_WINDOW_PER_THREAD = 2  # enough to keep a worker busy, few enough that an archive fits in the scheduler


@dataclass(frozen=True, slots=True)
class Done(Generic[Task, Result]):
    """A task that has finished."""

    task: Task
    result: Result


@dataclass(frozen=True, slots=True)
class Failed(Generic[Task]):
    """A task that has failed for good."""

    task: Task
    error: SimSearchError


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
        Small values; ``str(task)`` names a task. Only a window of them is in flight.
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
    observe(StepStarted(step, len(tasks), sum(_n_pixels(task) for task in tasks)))
    begin = time.perf_counter()
    waiting = iter(tasks)
    in_flight: dict[Future[Any], Task] = {}

    def submit(task: Task) -> Future[Any]:
        future = client.submit(_run, function, task, pure=False, retries=_RETRIES)
        in_flight[future] = task
        return future

    first = [submit(task) for task in islice(waiting, _window(client))]
    # The loop of this client: by default it would be that of the one that was started last.
    completed = as_completed(first, loop=client.loop, raise_errors=False)
    call_roll = RollCall(client, step, observe)

    def meanwhile() -> None:
        observe(Waiting(step))
        call_roll()

    try:
        for future in _as_they_come(completed, meanwhile):
            task = in_flight.pop(future)
            for following in islice(waiting, 1):
                completed.add(submit(following))
            outcome: Done[Task, Result] | Failed[Task] = _outcome(task, future)
            if isinstance(outcome, Failed):
                observe(TaskFailed(step, str(task), str(outcome.error)))
            else:
                observe(TaskDone(step, str(task), _n_pixels(task)))
            yield outcome
    finally:
        if client.status == "running":  # it may be gone where a generator was left behind
            client.cancel(list(in_flight))
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
    future = client.submit(_run, function, task, pure=False, retries=_RETRIES)
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
    outcome: Done[Task, Result] | Failed[Task] = _outcome(task, future)
    if isinstance(outcome, Failed):
        raise outcome.error
    return outcome.result


def _as_they_come(completed: as_completed, meanwhile: Callable[[], None]) -> Iterator[Future[Any]]:
    while not completed.is_empty():
        if completed.has_ready():
            yield next(completed)
            continue
        with completed.thread_condition:
            completed.thread_condition.wait(_POLL_S)
        if not completed.has_ready():
            meanwhile()


def _run(function: Callable[[Task], Result], task: Task) -> Result | SimSearchError:
    # Returned, not raised: distributed would retry what no retry can cure.
    try:
        return function(task)
    except SimSearchError as error:
        return error


def _outcome(task: Task, future: Future[Any]) -> Done[Task, Any] | Failed[Task]:
    # Whatever the status: a result that was lost with its worker is computed again, and waited for.
    try:
        result = future.result()
    except FutureCancelledError as cause:  # nobody cancels what is waited for
        raise lost_scheduler(address_of(future.client)) from cause
    except (Exception, CancelledError) as cause:  # noqa: BLE001  whatever a task may raise
        return Failed(task, TaskError(f"{task}: expected a result, got {type(cause).__name__}: {cause}"))
    if isinstance(result, SimSearchError):
        return Failed(task, result)
    return Done(task, result)


def _n_pixels(task: object) -> int:
    """Count the level-0 pixels of a task that knows them."""
    return int(getattr(task, "n_pixels", 0))


def _window(client: Client) -> int:
    n_threads: int = sum(client.nthreads().values())
    return max(4, _WINDOW_PER_THREAD * n_threads)
