"""Jobs of dask-jobqueue that tell whom Slurm refuses: an error would be lost in the loop that submits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from distributed.core import Status

with patch("signal.signal"):  # imported, dask-jobqueue makes of Ctrl-C what no caller expects, and fails beside threads
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SLURMCluster", "TellingJob"]


class TellingJob(SLURMJob):  # type: ignore[misc]  # it has no types
    """A job of one worker.

    Parameters
    ----------
    refused : callable
        Hears in a line why Slurm does not take the job, which then never comes.
    """

    def __init__(self, *positional: Any, refused: Callable[[str], None], **options: Any) -> None:  # noqa: ANN401  no types
        super().__init__(*positional, **options)
        self._refused = refused

    async def start(self) -> None:
        """Submit the job."""
        try:
            await super().start()
        except RuntimeError as error:
            said = [line.split("error: ", 1)[1] for line in str(error).splitlines() if "error: " in line]
            self._refused(said[-1] if said else " ".join(str(error).split()))
            self.status = Status.running  # as those are that wait in a queue: its cluster knows no other end of a start

    async def close(self) -> None:
        """Cancel the job."""
        await super().close()
        self.status = Status.closed  # looked for by its cluster
