"""One computation at a time in a process: the other tasks of a worker read and write meanwhile."""

from __future__ import annotations

from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING

from dask.system import CPU_COUNT

from simsearch.nn.device import torch_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

_slot = RLock()


@contextmanager
def computing() -> Iterator[None]:
    """Wait for the cores, or the GPU, of this process, and have them alone.

    A worker has more threads than it can compute with. A task reads its pixels before it gets here, so that those of
    the next tile are there when this one is done.
    """
    with _slot:
        yield


@contextmanager
def on_all_cores() -> Iterator[None]:
    """Have all the cores that this process may use: while a model is trained, other workers wait."""
    with computing(), torch_threads(int(CPU_COUNT)):
        yield
