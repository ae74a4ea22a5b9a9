"""Threads in this process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import dask
from distributed import Client, LocalCluster

from simsearch.runtime.clusters.losing import hushed
from simsearch.runtime.clusters.workers import ANY_PORT, NO_PROFILER, SCHEDULER, Obedient
from simsearch.runtime.memory import core_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simsearch.runtime.clusters.spec import ClusterSpec
    from simsearch.runtime.events import Observer


@contextmanager
def opened(spec: ClusterSpec, observe: Observer) -> Iterator[Client]:
    """Start threads, which listen nowhere."""
    with hushed() as hush, dask.config.set(NO_PROFILER):
        cluster = LocalCluster(
            n_workers=1,
            threads_per_worker=spec.workers or core_count(),
            processes=False,
            scheduler_kwargs=SCHEDULER,
            worker_dashboard_address=ANY_PORT,
        )
        with cluster, Client(cluster) as client:
            client.register_plugin(Obedient())
            try:
                yield client
            except BaseException:
                hush()
                raise
