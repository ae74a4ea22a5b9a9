"""Who of the workers is still there: what is lost is named, and a run without any says so, and ends one day."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from simsearch.errors import ClusterError
from simsearch.runtime.clusters.losing import address_of
from simsearch.runtime.events import NoWorkers, WorkerLost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distributed import Client

    from simsearch.runtime.events import Observer

LOOK_S = 5.0
PATIENCE_S = 600.0
_TOLD_S = 10.0  # then after 20, 40, ...


class RollCall:
    """Looks for the workers of a cluster while a step waits for them.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    step : str
        Name of the step, for events.
    observe : callable
        Gets `WorkerLost` for each that has gone, and `NoWorkers`, ever more rarely, while there is none.
    clock : callable
        Tells the time in seconds.
    """

    def __init__(
        self, client: Client, step: str, observe: Observer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._step, self._observe, self._clock = client, step, observe, clock
        self._known: set[str] = set()
        self._looked = self._seen = clock()
        self._tell_s = _TOLD_S

    def __call__(self) -> Mapping[str, int] | None:
        """Look, if the last look was `LOOK_S` ago.

        Returns
        -------
        mapping of str to int, or None
            How many threads each worker has; None where it was not the time to look.

        Raises
        ------
        ClusterError
            If there has been no worker for `PATIENCE_S`.
        """
        now = self._clock()
        if now - self._looked < LOOK_S or self._client.status != "running":
            return None
        self._looked = now
        present: Mapping[str, int] = self._client.nthreads()
        for worker in sorted(self._known - present.keys()):
            self._observe(WorkerLost(self._step, worker))
        self._known = set(present)
        if present:
            self._seen, self._tell_s = now, _TOLD_S
            return present
        waited_s = now - self._seen
        if waited_s >= PATIENCE_S:
            raise ClusterError(
                f"expected workers at {address_of(self._client)}, got none for {PATIENCE_S:.0f} s: start some with "
                "`dask worker` and run the same command again"
            )
        if waited_s >= self._tell_s:
            self._tell_s = 2 * waited_s
            self._observe(NoWorkers(self._step, waited_s, PATIENCE_S))
        return present
