"""Long work in threads: how far it is, how long it will take, and how it is stopped."""

from __future__ import annotations

import logging
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING

from simsearch.app.session.snapshot import JobView
from simsearch.app.words import plainly
from simsearch.errors import Cancelled, SimSearchError
from simsearch.runtime.cancel import CancelToken, cancellable
from simsearch.runtime.events import StepStarted, TaskDone, TaskFailed
from simsearch.training.epochs import EpochDone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from simsearch.app.session.snapshot import JobKind
    from simsearch.runtime.events import Event, Observer

    Work = Callable[[Observer], Path | None]

_log = logging.getLogger(__name__)

_N_THREADS = 4  # they wait for the cluster
_SHOWN_EVERY_S = 0.15
_N_OVER = 30  # jobs that are over and still listed


class Jobs:
    """The jobs of a server.

    Parameters
    ----------
    show : callable
        Gets all jobs each time one changes, the newest last; calls are in order.
    """

    def __init__(self, show: Callable[[tuple[JobView, ...]], None]) -> None:
        self._show = show
        self._turn = RLock()
        self._views: dict[str, JobView] = {}
        self._tokens: dict[str, CancelToken] = {}
        self._threads = ThreadPoolExecutor(_N_THREADS, "job")
        self._is_closing = False

    def start(
        self,
        view: JobView,
        work: Work,
        *,
        made: Callable[[], None] = lambda: None,
        over: Callable[[str], None] = lambda job_id: None,
    ) -> str:
        """Do work in a thread.

        Parameters
        ----------
        view : JobView
            What it is.
        work : callable
            Gets an observer and gives the file or folder that it made. The observer raises Cancelled when the job
            is.
        made : callable
            Called in the job's thread when the work is done, before anybody is told.
        over : callable
            Called with the id of the job when it is over, however it ended, in its thread; not where the server is
            closed meanwhile, as the job may go on with the next one.

        Returns
        -------
        str
            Its id.
        """
        self._add(view)

        def run() -> None:
            with self._attended(view.id) as observe:
                result = work(observe)
                made()
                self._change(view.id, result=result)
            if not self._is_closing:
                over(view.id)

        self._threads.submit(run)
        return view.id

    @contextmanager
    def attended(self, view: JobView) -> Iterator[Observer]:
        """Show work that is done in the caller's thread; what it raises is shown, and raised.

        Yields
        ------
        callable
            An observer, which raises Cancelled when the job is.
        """
        self._add(view)
        with self._attended(view.id, is_raising=True) as observe:
            yield observe

    def list(self, view: JobView) -> None:
        """List a job that does not run, or take another view of one that does not."""
        with self._turn:
            self._views[view.id] = view
            self._show(tuple(self._views.values()))

    def forget(self, job_id: str) -> None:
        """List a job that does not run no more."""
        with self._turn:
            if job_id not in self._tokens:
                self._views.pop(job_id, None)
                self._show(tuple(self._views.values()))

    def find(self, job_id: str) -> JobView | None:
        """Return a job, if there is one of that id."""
        return self._views.get(job_id)

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop. It does so at its next event; one that is over stays as it is."""
        with self._turn:
            if token := self._tokens.get(job_id):
                token.cancel()
                self._change(job_id, message="being stopped")

    def close(self) -> None:
        """Stop all jobs where they are, and wait until they have."""
        self._is_closing = True
        with self._turn:
            for token in self._tokens.values():
                token.cancel()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _add(self, view: JobView) -> None:
        with self._turn:
            self._tokens[view.id] = CancelToken()
            self._views.pop(view.id, None)  # the newest last
            self._views[view.id] = view
            over = [each.id for each in self._views.values() if each.is_over]
            for job_id in over[:-_N_OVER]:
                del self._views[job_id]
            self._show(tuple(self._views.values()))

    @contextmanager
    def _attended(self, job_id: str, *, is_raising: bool = False) -> Iterator[Observer]:
        token = self._tokens[job_id]
        progress = _Progress(lambda **changes: self._change(job_id, **changes))
        try:
            if token.is_cancelled:
                raise Cancelled("stopped before it began")
            self._change(job_id, state="running")
            yield cancellable(progress, token)
        except Cancelled:
            self._end(job_id, state="cancelled", message="stopped")
            if is_raising:
                raise
        except SimSearchError as error:
            self._end(job_id, state="failed", message=plainly(error))
            if is_raising:
                raise
        except Exception as error:
            _log.exception("expected job %s to end, got an error that is not foreseen", job_id)
            message = f"{type(error).__name__}: {error}. This was not foreseen: see the server's log, and try again"
            self._end(job_id, state="failed", message=message)
            if is_raising:
                raise
        else:
            self._end(job_id, state="done", message="")

    def _end(self, job_id: str, **changes: object) -> None:
        self._change(job_id, eta_s=None, **changes)
        with self._turn:
            self._tokens.pop(job_id, None)

    def _change(self, job_id: str, **changes: object) -> None:
        with self._turn:
            view = self._views.get(job_id)
            if view is not None:
                self._views[job_id] = replace(view, **changes)  # type: ignore[arg-type]  # fields of JobView
                self._show(tuple(self._views.values()))


class _Progress:
    """Turns events into what is shown of a job."""

    def __init__(self, change: Callable[..., None]) -> None:
        self._change = change
        self._n_done = self._n_tasks = 0
        self._begin = self._shown = 0.0
        self._epochs: dict[str, tuple[float, ...]] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        now = time.monotonic()
        if isinstance(event, StepStarted):
            self._n_done, self._n_tasks, self._begin = 0, event.n_tasks, now
            self._change(step=event.step, n_done=0, n_tasks=event.n_tasks, eta_s=None)
        elif isinstance(event, TaskDone | TaskFailed):
            self._n_done += 1
            if now - self._shown > _SHOWN_EVERY_S or self._n_done == self._n_tasks:
                self._shown = now
                eta_s = (now - self._begin) / self._n_done * (self._n_tasks - self._n_done)
                self._change(step=event.step, n_done=self._n_done, n_tasks=self._n_tasks, eta_s=eta_s)
        elif isinstance(event, EpochDone):
            if event.epoch == 1 or event.stage not in self._epochs:
                self._begin = now
            self._epochs[event.stage] = (*self._epochs.get(event.stage, ())[: event.epoch - 1], event.loss)
            n_timed = event.epoch - 1
            left_s = (now - self._begin) / n_timed * (event.n_epochs - event.epoch) if n_timed else None
            self._change(
                step=event.stage, n_done=event.epoch, n_tasks=event.n_epochs, eta_s=left_s, epochs=dict(self._epochs)
            )


def new_job(kind: JobKind, title: str, user: str) -> JobView:
    """Describe a job that is about to be started."""
    return JobView(secrets.token_hex(6), kind, title, user)
