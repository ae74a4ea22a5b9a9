"""The tasks of a step that are on the cluster at a moment: as many as its threads need, and some of them twice."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from distributed import as_completed

from simsearch.runtime.events import BackupStarted, Waiting
from simsearch.runtime.outcomes import Failed, outcome_of
from simsearch.runtime.steps.roll_call import RollCall
from simsearch.runtime.steps.stragglers import Stopwatch, pair_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from distributed import Client, Future

    from simsearch.runtime.events import Observer
    from simsearch.runtime.outcomes import Done

Task = TypeVar("Task")

_POLL_S = 0.1
_WINDOW_PER_THREAD = 2  # enough to keep a worker busy, few enough that an archive fits in the scheduler


class Flight(Generic[Task]):
    """Keeps a window of tasks on a cluster that may grow and shrink, and gives stragglers to a second worker.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    submit : callable
        Puts a task on the cluster; takes keywords of `Client.submit`.
    tasks : sequence
        What there is to do. Those that have ``is_pure``, and thus write nothing, may be done twice: what still runs
        when the step has ended harms nothing.
    step : str
        Name of the step, for events.
    observe : callable
        Gets `Waiting`, `BackupStarted`, and what `RollCall` tells.
    """

    def __init__(
        self, client: Client, submit: Callable[..., Future[Any]], tasks: Sequence[Task], step: str, observe: Observer
    ) -> None:
        self._client, self._submit, self._step, self._observe = client, submit, step, observe
        self._waiting, self._n_waiting = iter(tasks), len(tasks)
        self._window = window(sum(client.nthreads().values()))
        self._call_roll = RollCall(client, step, observe)
        self._stopwatch = Stopwatch(len(tasks))
        self._tasks: dict[Future[Any], Task] = {}
        self._twins: dict[Future[Any], Future[Any]] = {}
        # The loop of this client: by default it would be that of the one that was started last.
        self._completed = as_completed([], loop=client.loop, raise_errors=False)

    def land(self) -> Iterator[Done[Task, Any] | Failed[Task]]:
        """Yield what comes back; before that, others take its place.

        Of a task that was given to two workers that is the first result, or the last failure.
        """
        self._fill()
        for future in self._as_they_come():
            outcome = self._take(future) if future in self._tasks else None  # else its twin came first
            if outcome is not None:
                self._fill()
                yield outcome

    def cancel(self) -> None:
        """Take what has not begun off the cluster."""
        if self._client.status == "running":  # it may be gone where a generator was left behind
            self._client.cancel(list(self._tasks))

    def _fill(self) -> None:
        for task in islice(self._waiting, max(0, self._window - len(self._tasks))):
            self._n_waiting -= 1
            self._launch(task)

    def _launch(self, task: Task, **options: Any) -> Future[Any]:  # noqa: ANN401  of Dask, which has no types
        future = self._submit(task, **options)
        self._tasks[future] = task
        self._stopwatch.begin(str(future.key), n_pixels(task))
        self._completed.add(future)
        return future

    def _take(self, future: Future[Any]) -> Done[Task, Any] | Failed[Task] | None:
        task, twin = self._tasks[future], self._twins.pop(future, None)
        outcome = outcome_of(task, future)
        del self._tasks[future]
        if twin is not None:
            del self._twins[twin]
            if isinstance(outcome, Failed):
                self._stopwatch.forget(str(future.key))
                return None
            del self._tasks[twin]
            self._stopwatch.forget(str(twin.key))
            twin.cancel()
        self._stopwatch.end(str(future.key))
        return outcome

    def _as_they_come(self) -> Iterator[Future[Any]]:
        while self._tasks:
            if not self._completed.has_ready():
                with self._completed.thread_condition:
                    self._completed.thread_condition.wait(_POLL_S)
            if self._completed.has_ready():
                yield next(self._completed)
            else:
                self._observe(Waiting(self._step))
                self._back_up()
            n_threads = self._call_roll()
            if n_threads is not None:
                self._window = window(sum(n_threads.values()))
                self._fill()

    def _back_up(self) -> None:
        """Give what takes too long to idle workers: there are none while tasks wait."""
        if self._n_waiting:
            return
        late = {key: future for key in self._stopwatch.overdue() if (future := self._pure(key))}
        if not late:
            return
        for key, worker, backup in pair_up(list(late), self._client.processing()):
            first = late[key]
            task = self._tasks[first]
            second = self._launch(task, workers=[backup], allow_other_workers=True)  # should that one be lost
            self._twins |= {first: second, second: first}
            self._observe(BackupStarted(self._step, str(task), worker, backup))

    def _pure(self, key: str) -> Future[Any] | None:
        """Find the future of a task that may be done twice, and is not yet."""
        for future, task in self._tasks.items():
            if future.key == key and future not in self._twins and getattr(task, "is_pure", False):
                return future
        return None


def n_pixels(task: object) -> int:
    """Count the level-0 pixels of a task that knows them."""
    return int(getattr(task, "n_pixels", 0))


def window(n_threads: int) -> int:
    """Tell how many tasks are on a cluster at a moment."""
    return max(4, _WINDOW_PER_THREAD * n_threads)
