"""What workers need wherever they are started: how many, their memory and threads, and how they end."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from pathlib import Path

from distributed import Worker, WorkerPlugin

TASKS = 2
"""Tasks at a time in a process: one computes, one reads."""
WORKER_BYTES = 2 * 2**30
"""What is planned for a worker: a little more than it needs for its largest tile (`simsearch.runtime.tasks.needs`)."""
LOOPBACK = "127.0.0.1"
ANY_PORT = f"{LOOPBACK}:0"
"""For Dask's pages, which have no login; on a port of their own, else two runs at once quarrel about one."""
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
    # Tasks of a worker take turns, in threads that would each keep memory of its own for what only one needs at a time.
    "MALLOC_ARENA_MAX": "1",
}
"""Environment that tells glibc how large tensors are: Dask lets workers give memory back at once, which keeps it from
learning that, and each would be mapped anew, page by page."""
SCHEDULER = {"dashboard": False, "dashboard_address": ANY_PORT}
_NICENESS = 10
NO_PROFILER = {"distributed.worker.profile.enabled": False}
"""Dask's profiler walks the frames of running threads, which has ended a process of Python 3.11 by a segmentation
fault."""


class Quiet(WorkerPlugin):
    """Says nothing of what was in hand when a worker is told to end: Dask warns of it with a page of its own code."""

    def setup(self, worker: Worker) -> None:
        """Prepare the process of a worker."""
        logging.getLogger("distributed.worker.state_machine").setLevel(logging.ERROR)


class Yielding(WorkerPlugin):
    """Has workers on this machine give way to the process that makes it: a person waits for answers, not for tiles."""

    name = "simsearch-yielding"
    idempotent = True

    def __init__(self) -> None:
        self._home, self._process = socket.gethostname(), os.getpid()

    def setup(self, worker: Worker) -> None:
        """Lower the priority of a process of workers; those that it starts take after it."""
        if socket.gethostname() != self._home or os.getpid() == self._process or not hasattr(os, "setpriority"):
            return
        threads = Path("/proc/self/task")  # on Linux each has its own
        for number in [int(each.name) for each in threads.iterdir()] if threads.is_dir() else [0]:
            with suppress(OSError):  # it has just ended
                before = os.getpriority(os.PRIO_PROCESS, number)
                os.setpriority(os.PRIO_PROCESS, number, max(before, _NICENESS))


def worker_shape(n_cores: int, memory_bytes: int, n_workers: int | None = None) -> tuple[int, int]:
    """Choose how many worker processes to start and how many threads torch gets in each.

    Examples
    --------
    >>> worker_shape(8, memory_bytes=64 * 2**30)
    (8, 1)
    >>> worker_shape(8, memory_bytes=4 * 2**30)
    (2, 4)
    """
    n_workers = n_workers or max(1, min(n_cores, memory_bytes // WORKER_BYTES))
    return n_workers, max(1, n_cores // n_workers)


def thread_environment(n_threads: int) -> dict[str, str]:
    """Tell numerical libraries of a worker how many threads they have.

    One computation at a time in a process, beside which another task reads, and libraries share the cores: neither idle
    nor oversubscribed. Threads that wait do not spin: where cores are shared after all, spinning ones keep those from
    work that they wait for.

    Examples
    --------
    >>> thread_environment(4)
    {'OMP_NUM_THREADS': '4', 'MKL_NUM_THREADS': '4', 'OMP_WAIT_POLICY': 'PASSIVE'}
    """
    return {"OMP_NUM_THREADS": str(n_threads), "MKL_NUM_THREADS": str(n_threads), "OMP_WAIT_POLICY": "PASSIVE"}
