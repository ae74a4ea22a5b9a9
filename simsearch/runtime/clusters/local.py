"""Processes on this machine: one for each GPU, or as many as it has cores and memory for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from simsearch.runtime.clusters.cuda import open_gpus
from simsearch.runtime.clusters.devices import find_devices
from simsearch.runtime.clusters.processes import open_processes
from simsearch.runtime.clusters.workers import TASKS, thread_environment, worker_shape
from simsearch.runtime.memory import core_count, memory_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

    from simsearch.runtime.clusters.spec import ClusterSpec
    from simsearch.runtime.events import Observer


@contextmanager
def opened(spec: ClusterSpec, observe: Observer) -> Iterator[Client]:
    """Start processes, those of ``cuda`` where there are GPUs."""
    devices = find_devices()
    if devices:
        with open_gpus(devices, spec) as client:
            yield client
        return
    n_workers, n_threads = worker_shape(core_count(), memory_limit(), spec.workers)
    environments = [thread_environment(n_threads)] * n_workers
    with open_processes(environments, TASKS, memory_limit() // n_workers, spec.dashboard) as client:
        yield client
