"""A process for each GPU of this machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from simsearch.errors import ClusterError
from simsearch.runtime.clusters.devices import VARIABLE, find_devices
from simsearch.runtime.clusters.processes import open_processes
from simsearch.runtime.clusters.workers import thread_environment
from simsearch.runtime.memory import core_count, memory_limit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distributed import Client

    from simsearch.runtime.clusters.spec import ClusterSpec
    from simsearch.runtime.events import Observer

_TASKS = 4  # one computes, three read: a GPU is faster than one reader


@contextmanager
def opened(spec: ClusterSpec, observe: Observer) -> Iterator[Client]:
    """Start a process for each GPU.

    Raises
    ------
    ClusterError
        If there is none that torch can compute on.
    """
    devices = find_devices()
    if not devices:
        raise ClusterError(
            f"expected a GPU for --cluster cuda, got none (asked: nvidia-smi -L or {VARIABLE}, and torch): mend "
            "driver or torch, or leave --cluster out to compute on the cores of this machine"
        )
    with open_gpus(devices, spec) as client:
        yield client


@contextmanager
def open_gpus(devices: Sequence[str], spec: ClusterSpec) -> Iterator[Client]:
    """Start processes that see one GPU each: one a GPU, or as many as wanted, spread over them."""
    n_workers = spec.workers or len(devices)
    threads = thread_environment(max(1, core_count() // n_workers))
    environments = [{**threads, VARIABLE: devices[number % len(devices)]} for number in range(n_workers)]
    with open_processes(environments, _TASKS, memory_limit() // n_workers, spec.dashboard) as client:
        yield client
