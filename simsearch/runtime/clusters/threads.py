"""Threads in this process."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import dask
from distributed import LocalCluster

from simsearch.runtime.clusters.starting import started
from simsearch.runtime.clusters.watching import pages
from simsearch.runtime.clusters.workers import ANY_PORT, NO_PROFILER
from simsearch.runtime.memory import core_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from simsearch.runtime.clusters.spec import ClusterSpec
    from simsearch.runtime.events import Observer


@contextmanager
def opened(spec: ClusterSpec, observe: Observer) -> Iterator[Client]:
    """Start threads, which listen nowhere."""
    with dask.config.set(NO_PROFILER), pages(spec.dashboard) as options:
        make = partial(
            LocalCluster,
            n_workers=1,
            threads_per_worker=spec.workers or core_count(),
            processes=False,
            scheduler_kwargs=options,
            worker_dashboard_address=ANY_PORT,
        )
        with started(make) as client:
            yield client
