"""Starting a cluster as one thing: all of it is there, or nothing."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from distributed import Client

from simsearch.runtime.clusters.losing import hushed
from simsearch.runtime.clusters.workers import Quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed.deploy.cluster import Cluster


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
