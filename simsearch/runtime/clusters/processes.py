"""Processes on this machine, each with its own environment."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import dask
from distributed import Nanny, Scheduler, Security, SpecCluster

from simsearch.runtime.clusters.starting import started
from simsearch.runtime.clusters.watching import pages
from simsearch.runtime.clusters.workers import ALLOCATOR, ANY_PORT, LOOPBACK, NO_PROFILER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from distributed import Client

PROTOCOL = "tls://"


@contextmanager
def open_processes(
    environments: Sequence[Mapping[str, str]], n_tasks: int, memory_bytes: int, is_watched: bool = False
) -> Iterator[Client]:
    """Start processes that know each other by certificates, which are made for the run and never written.

    Parameters
    ----------
    environments : sequence of mapping
        For each process its environment variables, which it keeps when it is lost and starts again.
    n_tasks : int
        Tasks at a time in a process.
    memory_bytes : int
        What each may use.
    is_watched : bool
        Whether Dask's dashboard is shown, on loopback.
    """
    # Before a process starts: glibc reads it once.
    early = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ALLOCATOR.items()}
    security = Security.temporary()
    listening = {"host": LOOPBACK, "protocol": PROTOCOL, "security": security}
    options = {
        **listening,
        "nthreads": n_tasks,
        "memory_limit": memory_bytes,
        "dashboard_address": ANY_PORT,
        "silence_logs": logging.WARNING,
    }
    workers = [{"cls": Nanny, "options": {**options, "env": dict(environment)}} for environment in environments]
    with dask.config.set(early | NO_PROFILER), pages(is_watched) as shown:
        make = partial(
            SpecCluster,  # LocalCluster gives all its workers one environment
            workers=dict(enumerate(workers)),
            worker=workers[-1],  # what a notebook that scales it up gets more of
            scheduler={"cls": Scheduler, "options": {**listening, "port": 0, **shown}},
            security=security,
            silence_logs=logging.WARNING,
        )
        with started(make) as client:
            yield client
