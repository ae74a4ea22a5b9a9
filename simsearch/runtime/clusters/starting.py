"""Starting a cluster as one thing, all of it or nothing, and waiting for its workers."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from distributed import Client

from simsearch.runtime.clusters.losing import hushed
from simsearch.runtime.clusters.workers import Quiet
from simsearch.runtime.events import Awaited, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed.deploy.cluster import Cluster

    from simsearch.errors import ClusterError
    from simsearch.runtime.events import Observer

_TOLD_S = 5.0  # then after 10, 20, ...


@contextmanager
def started(make: Callable[[], Cluster]) -> Iterator[Client]:
    """Start a cluster beside the main thread, which alone hears signals: a half-started one cannot be stopped.

    Who is stopped while it starts waits for it, then stops all of it. Processes of workers inherit from the thread that
    starts them that they do not hear Ctrl-C, which a terminal sends to all processes of a command.

    Parameters
    ----------
    make : callable
        Gives the cluster.

    Yields
    ------
    distributed.Client
        It and its cluster are closed at the end.
    """

    def start() -> tuple[Cluster, Client]:
        cluster = make()
        return cluster, Client(cluster)

    with hushed() as hush, ThreadPoolExecutor(1, initializer=_hear_no_interrupt) as thread:
        starting = thread.submit(start)
        try:
            _, client = starting.result()
            client.register_plugin(Quiet())
            yield client
        except BaseException:
            hush()
            raise
        finally:
            with suppress(BaseException):  # who waits for it hears why it did not start
                cluster, client = starting.result()
                with cluster, client:
                    pass


def _hear_no_interrupt() -> None:
    resource_tracker.ensure_running()  # which lets the thread that first starts a process hear it again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


class Patience:
    """Waits until the first of some workers has come, which takes minutes where they queue, and tells of it.

    Parameters
    ----------
    step : str
        What is waited for.
    n_wanted : int
        How many workers were asked for.
    limit_s : float
        When it is given up, from now.
    poll_s : float
        Between two looks.
    observe : callable
        Hears of it.
    """

    def __init__(self, step: str, n_wanted: int, limit_s: float, poll_s: float, observe: Observer) -> None:
        self._step, self._n_wanted, self._limit_s = step, n_wanted, limit_s
        self._poll_s, self._observe = poll_s, observe
        self._begin, self._tell_s = time.monotonic(), _TOLD_S

    def until(self, is_there: Callable[[], bool], given_up: Callable[[], ClusterError]) -> None:
        """Wait for what comes before the first worker.

        Parameters
        ----------
        is_there : callable
            Tells whether it has come.
        given_up : callable
            Gives the error to raise when it is too late.
        """
        while not is_there():
            waited_s = self._waited_s()
            if waited_s >= self._limit_s:
                raise given_up()
            if waited_s >= self._tell_s:
                self._tell_s = 2 * waited_s
                self._tell(0)
            self._observe(Waiting(self._step))
            time.sleep(self._poll_s)

    def for_workers(self, client: Client, given_up: Callable[[], ClusterError]) -> None:
        """Wait for the first worker, and tell if others are still missing."""
        self.until(lambda: bool(client.nthreads()), given_up)
        if (there := len(client.nthreads())) < self._n_wanted:
            self._tell(there)

    def _tell(self, n_there: int) -> None:
        self._observe(Awaited(self._step, n_there, self._n_wanted, self._waited_s(), self._limit_s))

    def _waited_s(self) -> float:
        return time.monotonic() - self._begin
