"""Opening a cluster of any kind; each kind has a module, which is imported when it is wanted."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from simsearch.errors import ClusterError
from simsearch.runtime.clusters.losing import address_of
from simsearch.runtime.clusters.spec import ClusterSpec, resolve_cluster
from simsearch.runtime.clusters.versions import check_versions
from simsearch.runtime.clusters.watching import dashboard_link, reported
from simsearch.runtime.events import Noted, ignore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client

    from simsearch.runtime.events import Observer

_SAME_ENVIRONMENT = frozenset({"local", "threads", "cuda"})
"""Kinds of cluster whose workers are of the versions of this process."""


@contextmanager
def open_cluster(wanted: str | Path | ClusterSpec | None = None, *, observe: Observer = ignore) -> Iterator[Client]:
    """Start or find a cluster.

    In a script, processes are started below ``if __name__ == "__main__":``, as Python wants it; notebooks need nothing.

    Parameters
    ----------
    wanted : str, Path or ClusterSpec, optional
        ``local``: processes on this machine, as many as it has cores and memory for, or GPUs. ``local:N``: N processes.
        They listen at the loopback interface, and know each other by certificates that are made for the run and never
        written: nobody else on the machine can give them tasks. ``threads``: threads in this process.
        ``cuda``: a process for each GPU of this machine; ``local`` is that where there are some.
        ``slurm``: a Slurm job for each worker. ``kubernetes``: pods, through Dask's operator.
        ``tcp://host:port`` or ``tls://host:port``: a running scheduler.
        A YAML file: any of these, with settings. By default what ``SIMSEARCH_CLUSTER`` says, or else ``local``.
    observe : callable
        Hears how many workers have come, where that takes time, and where the dashboard is, if there is one.

    Yields
    ------
    distributed.Client
        What was started is stopped at the end; what was found is left running.

    Raises
    ------
    ConfigError
        If the cluster is none of these, or what it needs is not installed.
    ClusterError
        If no scheduler answers there, it no longer does, or no workers come.
    StoreError
        If a report is wanted that cannot be written.

    Examples
    --------
    >>> with open_cluster("threads:1") as client:
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    spec = resolve_cluster(wanted)
    with reach_cluster(spec, observe=observe) as client:
        if spec.kind not in _SAME_ENVIRONMENT:
            check_versions(client)
        if not client.nthreads():
            address = address_of(client)
            raise ClusterError(f"expected workers at {address}, got none: start some with `dask worker {address}`")
        with reported(client, spec.report):
            yield client


@contextmanager
def reach_cluster(spec: ClusterSpec, *, observe: Observer = ignore) -> Iterator[Client]:
    """Start or find a cluster as `open_cluster` does, also one of other versions or without workers.

    Yields
    ------
    distributed.Client
        What was started is stopped at the end; what was found is left running.

    Raises
    ------
    ConfigError, ClusterError
        If it cannot be started or does not answer.
    """
    backend = importlib.import_module(f"simsearch.runtime.clusters.{spec.kind}")
    with backend.opened(spec, observe) as client:
        if spec.dashboard:
            observe(Noted(f"Dask's dashboard is at {dashboard_link(client)}, for who is on this machine"))
        yield client
