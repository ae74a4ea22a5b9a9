"""Tasks that take much longer than their fellows, and workers that could do them as well."""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

FACTOR = 3.0
"""How many times longer than the median of its fellows a task may take."""
FLOOR_S = 5.0
"""What any task may take: below, a second worker is hardly worth its start."""
_LOOK_S = 1.0
_REMEMBERED = 512  # tasks: enough for a median, few enough for a run of millions


class Stopwatch:
    """Measures how long tasks take, from when they are submitted, and tells which take too long.

    All wait about as long for their turn: so the times are comparable, and no worker has to be asked.

    Parameters
    ----------
    n_tasks : int
        How many the step has.
    clock : callable
        Tells the time in seconds.
    """

    def __init__(self, n_tasks: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._n_tasks, self._clock = n_tasks, clock
        self._begun: dict[str, tuple[float, int]] = {}
        self._ended: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self._n_ended, self._looked = 0, clock()

    def begin(self, key: str, n_pixels: int) -> None:
        """Take a task that is submitted."""
        self._begun[key] = self._clock(), n_pixels

    def end(self, key: str) -> None:
        """Take a task that has ended."""
        begin, n_pixels = self._begun.pop(key)
        self._ended.append((self._clock() - begin, n_pixels))
        self._n_ended += 1

    def forget(self, key: str) -> None:
        """Take a task whose end tells nothing of how long others may take."""
        del self._begun[key]

    def overdue(self) -> list[str]:
        """List the tasks that take too long, the longest first, once a second and once half of the step is done."""
        now = self._clock()
        if now - self._looked < _LOOK_S or 2 * self._n_ended < self._n_tasks:
            return []
        self._looked = now
        ages = {key: now - begin for key, (begin, n_pixels) in self._begun.items() if self._is_late(now, key)}
        return sorted(ages, key=lambda key: -ages[key])

    def _is_late(self, now: float, key: str) -> bool:
        begin, n_pixels = self._begun[key]
        return now - begin > patience_s(self._ended, n_pixels)


def patience_s(fellows: Collection[tuple[float, int]], n_pixels: int) -> float:
    """Tell how many seconds a task may take, given seconds and pixels of those that have ended.

    Fellows have at least half its pixels: what is cut off at the border of an image is done sooner.

    Examples
    --------
    >>> patience_s([(10.0, 100), (12.0, 90), (1.0, 7)], n_pixels=100)
    33.0
    """
    seconds = [taken for taken, n in fellows if 2 * n >= n_pixels]
    return max(FLOOR_S, FACTOR * statistics.median(seconds)) if seconds else float("inf")


def pair_up(overdue: Sequence[str], processing: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str, str]]:
    """Give tasks that take too long to workers that have nothing to do.

    Parameters
    ----------
    overdue : sequence of str
        Keys of tasks.
    processing : mapping of str to collection of str
        For each worker the keys of what it has in hand.

    Yields
    ------
    (key, worker, backup)
        One task for each idle worker at most.

    Examples
    --------
    >>> list(pair_up(["t1", "t2"], {"a": ["t1", "t2"], "b": []}))
    [('t1', 'a', 'b')]
    """
    holders = {key: worker for worker, keys in processing.items() for key in keys}
    idle = iter([worker for worker, keys in processing.items() if not keys])
    held = (key for key in overdue if key in holders)
    for key, backup in zip(held, idle, strict=False):
        yield key, holders[key], backup
