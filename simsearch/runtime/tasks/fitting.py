"""Whether tiles fit into the memory of workers: told before a step begins."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from simsearch.runtime.asking import Answered, ask_workers
from simsearch.runtime.tasks.needs import fits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from distributed import Client

    from simsearch.runtime.tasks.needs import Need

_TIMEOUT_S = 10.0  # for the name of a machine
_told: WeakKeyDictionary[Client, int] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Misfit:
    """A worker that has too little for a tile."""

    worker: str
    """Its address."""
    needed_bytes: int
    limit_bytes: int
    smaller: str
    """Option that makes tiles smaller."""


def misfits(needs: Iterable[Need], workers: Mapping[str, Mapping[str, Any]]) -> list[Misfit]:
    """List workers that have too little, the one with the least first.

    Parameters
    ----------
    needs : iterable of Need
        Of all tiles.
    workers : mapping of str to mapping
        By address what Dask tells: ``nthreads``, and ``memory_limit`` where there is one.

    Examples
    --------
    >>> from simsearch.runtime.tasks.needs import Need
    >>> workers = {"a": {"nthreads": 2, "memory_limit": 1500}, "b": {"nthreads": 2, "memory_limit": 1000}}
    >>> [each.worker for each in misfits([Need(1000, 300, 50)], workers)]
    ['b']
    """
    different, found = set(needs), []
    for worker, told in workers.items():
        n_tasks, limit = int(told["nthreads"]), int(told.get("memory_limit") or 0)
        most = max(different, key=lambda need: need.of(n_tasks), default=None)
        if most is not None and not fits(most.of(n_tasks), limit):
            found.append(Misfit(worker, most.of(n_tasks), limit, most.smaller))
    return sorted(found, key=lambda each: each.limit_bytes)


def note_of_misfits(client: Client, tasks: Iterable[object], step: str) -> str | None:
    """Say in a line that tiles do not fit into workers: once for a cluster, and again where they need more.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    tasks : iterable
        Those of a step; they count that have a ``need``.
    step : str
        Its name.
    """
    needs = {task.need for task in tasks if hasattr(task, "need")}
    if not needs:
        return None
    found = misfits(needs, client.scheduler_info(n_workers=-1)["workers"])
    if not found or found[0].needed_bytes <= _told.get(client, 0):
        return None
    _told[client] = found[0].needed_bytes
    answer = ask_workers(client, socket.gethostname, workers=[found[0].worker], timeout_s=_TIMEOUT_S)[found[0].worker]
    return _words(found, answer.value if isinstance(answer, Answered) else "", step)


def _words(found: list[Misfit], host: str, step: str) -> str:
    least = found[0]
    place = f"worker {least.worker}" + (f" on {host}" if host else "")
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    smaller = f", or choose a smaller {least.smaller}" if least.smaller else ""
    return (
        f"{step}: expected about {_gib(least.needed_bytes)} of memory for a worker with its tiles, got "
        f"{_gib(least.limit_bytes)} for {place}{others}: start fewer, each with more{smaller}"
    )


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB"
