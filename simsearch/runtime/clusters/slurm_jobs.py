"""Jobs of dask-jobqueue that complete, and that tell whom Slurm refuses: the loop that submits them loses errors."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from distributed.core import Status

with patch("signal.signal"):  # imported, dask-jobqueue makes of Ctrl-C what no caller expects, and fails beside threads
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Queue", "SLURMCluster", "TellingJob"]

_ENDING_S = 20.0
_LOOK_S = 0.5
_RUNS = frozenset({"RUNNING", "COMPLETING"})


class Queue:
    """The queue of Slurm, looked at once for all jobs that end at the same time."""

    def __init__(self) -> None:
        self._one_looks = asyncio.Lock()
        self._states: dict[str, str] = {}
        self._looked_s = -_LOOK_S

    async def runs(self, job_id: str) -> bool:
        """Tell whether a job of this user runs."""
        async with self._one_looks:
            if time.monotonic() - self._looked_s >= _LOOK_S:
                words = ["squeue", "--noheader", "--format=%i %T", f"--user={os.getuid()}"]
                with suppress(RuntimeError):  # it does not answer, and a job that has ended is cancelled in vain
                    said = await SLURMJob._call(words)
                    self._states = dict(line.split() for line in said.splitlines())
                self._looked_s = time.monotonic()
        return self._states.get(job_id) in _RUNS


class TellingJob(SLURMJob):  # type: ignore[misc]  # it has no types
    """A job of one worker.

    Parameters
    ----------
    refused : callable
        Hears in a line why Slurm does not take the job, which then never comes.
    slurm : Queue
        Where it waits and runs.
    """

    def __init__(self, *positional: Any, refused: Callable[[str], None], slurm: Queue, **options: Any) -> None:  # noqa: ANN401  no types
        super().__init__(*positional, **options)
        self._refused = refused
        self._slurm = slurm
        self._one_closes = asyncio.Lock()

    async def start(self) -> None:
        """Submit the job."""
        try:
            await super().start()
        except RuntimeError as error:
            said = [line.split("error: ", 1)[1] for line in str(error).splitlines() if "error: " in line]
            self._refused(said[-1] if said else " ".join(str(error).split()))
            self.status = Status.running  # as those are that wait in a queue: its cluster knows no other end of a start

    async def close(self) -> None:
        """Tell the worker to end, and its job completes; cancel a job that has had none, or does not end."""
        async with self._one_closes:  # its cluster does, and again when it sees that the worker has gone
            end = time.monotonic() + (_ENDING_S if self._is_ending() else 0)
            while time.monotonic() < end and await self._slurm.runs(self.job_id):
                await asyncio.sleep(_LOOK_S)
            await super().close()
            self.status = Status.closed  # looked for by its cluster

    def _is_ending(self) -> bool:
        """Tell the worker to end, and whether there is or was one.

        Its cluster tells workers by names that the scheduler does not know.
        """
        cluster = getattr(self, "_cluster", lambda: None)()
        if cluster is None or cluster.scheduler is None:
            return False
        if address := cluster.scheduler.aliases.get(self.name):
            cluster.scheduler.close_worker(address)
            return True
        return bool(cluster.status == Status.running)  # the worker was lost, else nothing is closed before the end
