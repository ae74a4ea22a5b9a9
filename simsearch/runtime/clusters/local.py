"""Processes on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import dask
from distributed import LocalCluster, Security

from simsearch.runtime.clusters.starting import started
from simsearch.runtime.clusters.workers import (
    ALLOCATOR,
    ANY_PORT,
    LOOPBACK,
    NO_PROFILER,
    SCHEDULER,
    TASKS,
    thread_environment,
    worker_shape,
)
from simsearch.runtime.memory import core_count, memory_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from simsearch.runtime.clusters.spec import ClusterSpec
    from simsearch.runtime.events import Observer


@contextmanager
def opened(spec: ClusterSpec, observe: Observer) -> Iterator[Client]:
    """Start processes that know each other by certificates, which are made for the run and never written."""
    n_workers, n_threads = worker_shape(core_count(), memory_limit(), spec.workers)
    # Before a process starts: glibc reads it once.
    early = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ALLOCATOR.items()}
    with dask.config.set(early | NO_PROFILER):
        make = partial(
            LocalCluster,
            n_workers=n_workers,
            threads_per_worker=TASKS,
            host=LOOPBACK,
            security=Security.temporary(),
            scheduler_kwargs=SCHEDULER,
            worker_dashboard_address=ANY_PORT,
            memory_limit=memory_limit() // n_workers,
            env=thread_environment(n_threads),
        )
        with started(make) as client:
            yield client
