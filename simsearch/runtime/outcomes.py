"""What becomes of a task: a result, or a failure that is named and stays apart."""

from __future__ import annotations

from asyncio import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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


def run_task(function: Callable[[Task], Result], task: Task) -> tuple[Result | SimSearchError, Place]:
    """Run a function over a task, on a worker."""
    # Returned, not raised: distributed would retry what no retry can cure.
    try:
        return function(task), here()
    except SimSearchError as error:
        return error, here()


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
    except (Exception, CancelledError) as cause:  # noqa: BLE001  whatever a task may raise
        return Failed(task, TaskError(f"{task}: expected a result, got {type(cause).__name__}: {cause}"))
    if isinstance(result, SimSearchError):
        return Failed(task, _located(result, place), place)
    return Done(task, result, place)


def _located(error: SimSearchError, place: Place) -> SimSearchError:
    """Say where an error comes from: another machine may not see what this one does."""
    return type(error)(f"{error} (worker {place.worker} on {place.host})") if place.is_elsewhere else error
