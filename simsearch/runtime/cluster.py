"""Clusters: one that is started on this machine, or any that is running."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, Security, Worker, WorkerPlugin
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.core import CommClosedError
from distributed.comm.registry import get_backend
from distributed.system import MEMORY_LIMIT

from simsearch.errors import ClusterError, ConfigError, SimSearchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WORKER_BYTES = 2 * 2**30  # what a worker with a trunk and its largest tile needs
_TASKS = 2  # at a time in a process: one computes, one reads
_TIMEOUT_S = 10
# Dask lets workers give memory back at once, which keeps glibc from learning how large tensors are: each would be
# mapped anew, page by page. This tells it.
_ALLOCATOR = {
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**30,
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**28,
    # Tasks of a worker take turns, in threads that would each keep memory of its own for what only one needs at a time.
    "distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": 1,
}
_LOOPBACK = "127.0.0.1"
_ANY_PORT = f"{_LOOPBACK}:0"  # else two runs at once quarrel about port 8787
# Dask's profiler walks the frames of running threads, which has ended a process of Python 3.11 by a segmentation fault.
_NO_PROFILER = {"distributed.worker.profile.enabled": False}
_SCHEDULER = {"dashboard": False, "dashboard_address": _ANY_PORT}


class _Obedient(WorkerPlugin):
    """Leaves Ctrl-C, which a terminal sends to all processes of a command, to the one that was started."""

    def setup(self, worker: Worker) -> None:
        """Prepare the process of a worker."""
        if threading.current_thread() is threading.main_thread():  # of a process of its own, not of the command's
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        # What was in hand when a worker is told to end: Dask warns of it with a page of its own code.
        logging.getLogger("distributed.worker.state_machine").setLevel(logging.ERROR)


@contextmanager
def open_cluster(address: str = "local") -> Iterator[Client]:
    """Start or find a cluster.

    In a script, processes are started below ``if __name__ == "__main__":``, as Python wants it; notebooks need nothing.

    Parameters
    ----------
    address : str
        ``local``: processes on this machine, as many as it has cores and memory for. ``local:N``: N processes.
        They listen at the loopback interface, and know each other by certificates that are made for the run and never
        written: nobody else on the machine can give them tasks. ``threads``: threads in this process.
        ``tcp://host:port`` or ``tls://host:port``: a running scheduler.

    Yields
    ------
    distributed.Client
        What was started is stopped at the end; what was found is left running.

    Raises
    ------
    ConfigError
        If the address is none of these.
    ClusterError
        If no scheduler answers there, or it no longer does.

    Examples
    --------
    >>> with open_cluster("threads:1") as client:
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    if "://" in address:
        with _hushed() as hush, _connected(address) as client:
            hush()  # workers are elsewhere, and a lost scheduler is told of in our words
            yield client
        return
    with _hushed() as hush, _local(address) as cluster, Client(cluster) as client:
        client.register_plugin(_Obedient())
        try:
            yield client
        except BaseException:
            hush()
            raise


def worker_shape(n_cores: int, memory_bytes: int, n_workers: int | None = None) -> tuple[int, int]:
    """Choose how many worker processes to start and how many threads torch gets in each.

    Examples
    --------
    >>> worker_shape(8, memory_bytes=64 * 2**30)
    (8, 1)
    >>> worker_shape(8, memory_bytes=4 * 2**30)
    (2, 4)
    """
    n_workers = n_workers or max(1, min(n_cores, memory_bytes // _WORKER_BYTES))
    return n_workers, max(1, n_cores // n_workers)


def _local(address: str) -> LocalCluster:
    kind, _, count = address.partition(":")
    if kind not in ("local", "threads") or (count and not (count.isdigit() and int(count) > 0)):
        raise ConfigError(f"expected local, local:N, threads, tcp://HOST:PORT or tls://HOST:PORT, got {address!r}")
    with dask.config.set(_NO_PROFILER):
        if kind == "threads":
            return LocalCluster(
                n_workers=1,
                threads_per_worker=int(count or CPU_COUNT),
                processes=False,
                scheduler_kwargs=_SCHEDULER,
                worker_dashboard_address=_ANY_PORT,
            )
        return _processes(int(count or 0) or None)


def _processes(wanted: int | None) -> LocalCluster:
    n_workers, n_threads = worker_shape(CPU_COUNT, MEMORY_LIMIT, wanted)
    # One computation at a time in a process, beside which another task reads, and libraries share the cores: neither
    # idle nor oversubscribed. Threads that wait do not spin: where cores are shared after all, spinning ones keep those
    # from work that they wait for.
    threads = str(n_threads)
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
    with dask.config.set(_ALLOCATOR):
        return LocalCluster(
            n_workers=n_workers,
            threads_per_worker=_TASKS,
            host=_LOOPBACK,
            security=Security.temporary(),
            scheduler_kwargs=_SCHEDULER,
            worker_dashboard_address=_ANY_PORT,
            env=environment,
        )


@contextmanager
def _hushed() -> Iterator[Callable[[], None]]:
    """Offer to hear no more of Dask: where work is stopped in the middle, that workers had some in hand is no news."""
    handlers = logging.getLogger("distributed").handlers  # its children have levels of their own, but share these

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] != "distributed"

    def hush() -> None:
        for handler in handlers:
            handler.addFilter(is_of_others)

    try:
        yield hush
    finally:
        for handler in handlers:
            handler.removeFilter(is_of_others)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    if address.startswith("tls://") and Security().get_connection_args("client").get("ssl_context") is None:
        raise ClusterError(
            f"expected certificates for {address}, got none: set distributed.comm.tls in Dask's configuration"
        )
    try:
        # Before there is a client: one that fails half-made is collected at any time, and may hold up the next.
        scheme, location = parse_address(address, strict=True)
        get_backend(scheme)
        parse_host_port(location)
        client = Client(address, timeout=_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"expected a Dask scheduler at {address}, got {type(error).__name__}: start one with `dask scheduler`, "
            "or leave --cluster out to compute on this machine"
        ) from error
    with client:
        if not client.nthreads():
            raise ClusterError(f"expected workers at {address}, got none: start some with `dask worker {address}`")
        try:
            yield client
        except (OSError, CommClosedError) as error:
            if isinstance(error, SimSearchError) or client.status == "running":
                raise
            raise lost_scheduler(address) from error


def address_of(client: Client) -> str:
    """Tell where the scheduler of a client is, or was."""
    return str(client.scheduler.address) if client.scheduler else "an address that was never reached"


def lost_scheduler(address: str) -> ClusterError:
    """Say that a scheduler no longer answers."""
    return ClusterError(
        f"expected the Dask scheduler at {address} to go on answering, got no connection: start it and its workers "
        "again and run the same command"
    )
