"""What becomes of a task: a result, or a failure that is named and stays apart."""

from __future__ import annotations

import traceback
from asyncio import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from distributed import KilledWorker
from distributed.client import FutureCancelledError

from simsearch.errors import SimSearchError, TaskError
from simsearch.runtime.clusters.losing import address_of, lost_scheduler
from simsearch.runtime.place import Place, here

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Future

Task = TypeVar("Task")
Result = TypeVar("Result")

_NOWHERE = Place()
_MOST_WORDS = 2000  # characters: Dask puts another error in the place of one that says more than 10,000


@dataclass(frozen=True, slots=True)
class Done(Generic[Task, Result]):
    """A task that has finished."""

    task: Task
    result: Result
    place: Place = _NOWHERE


@dataclass(frozen=True, slots=True)
class Failed(Generic[Task]):
    """A task that has failed for good."""

    task: Task
    error: SimSearchError
    place: Place = _NOWHERE


class FaultError(Exception):
    """What a task raised that is no error of simsearch, in words, and where: whatever it was, this survives the way."""

    def __init__(self, words: str, place: Place, history: str) -> None:
        super().__init__(words, place, history)
        self.words, self.place, self.history = words, place, history

    def __str__(self) -> str:
        return self.words

    __repr__ = __str__  # which the worker logs, above the traceback


def run_task(function: Callable[[Task], Result], task: Task) -> tuple[Result | SimSearchError, Place]:
    """Run a function over a task, on a worker.

    Raises
    ------
    FaultError
        If the function raises what is no error of simsearch; with the traceback of that, which the worker logs.
    """
    # Returned, not raised: distributed would retry what no retry can cure.
    try:
        return function(task), here()
    except SimSearchError as error:
        return error, here()
    except Exception as error:  # noqa: BLE001  whatever a task may raise
        fault = FaultError(_in_words(error), here(), "".join(traceback.format_exception(error)))
        fault.with_traceback(error.__traceback__)
    raise fault  # out here without that error, which need not survive the way


def _in_words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_WORDS]


def outcome_of(task: Task, future: Future[Any]) -> Done[Task, Any] | Failed[Task]:
    """Fetch what `run_task` has returned; errors of another machine name it.

    Raises
    ------
    ClusterError
        If the scheduler is lost.
    """
    # Whatever the status: a result that was lost with its worker is computed again, and waited for.
    try:
        result, place = future.result()
    except FutureCancelledError as cause:  # nobody cancels what is waited for
        raise lost_scheduler(address_of(future.client)) from cause
    except FaultError as fault:
        return Failed(task, _of_fault(task, fault), fault.place)
    except (Exception, CancelledError) as cause:  # noqa: BLE001  whatever Dask may raise
        error = TaskError(f"{task}: expected a result, got {_in_words(cause)}")
        return Failed(task, error, _place_of_loss(cause))
    if isinstance(result, SimSearchError):
        return Failed(task, _located(result, place), place)
    return Done(task, result, place)


def _of_fault(task: object, fault: FaultError) -> SimSearchError:
    error = _located(TaskError(f"{task}: expected a result, got {fault.words}"), fault.place)
    error.add_note(f"On worker {fault.place.worker} on {fault.place.host}:\n{fault.history}")  # below a traceback
    return error


def _place_of_loss(cause: BaseException) -> Place:
    """Tell which worker had a task that has cost several their lives; Dask's own words name it, too."""
    if not isinstance(cause, KilledWorker):
        return _NOWHERE
    return Place(str(cause.last_worker.address), str(cause.last_worker.host))


def _located(error: SimSearchError, place: Place) -> SimSearchError:
    """Say where an error comes from: another machine may not see what this one does."""
    return type(error)(f"{error} (worker {place.worker} on {place.host})") if place.is_elsewhere else error
