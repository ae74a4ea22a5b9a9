"""What a person asks for is done outside the event loop, one thing after the other, and what fails is said in words."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from simsearch.app.words import plainly
from simsearch.errors import SimSearchError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)


class Deeds:
    """Does what one person asks for, in the order in which they ask.

    Parameters
    ----------
    report : callable
        Called in the thread with the number of deeds still to do and, where the last one failed, what went wrong in
        words; else with an empty text.
    """

    def __init__(self, report: Callable[[int, str], None]) -> None:
        self._report = report
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="deeds")
        self._n_waiting, self._turn = 0, Lock()

    def __call__(self, work: Callable[[], object]) -> None:
        """Do something as soon as what was asked for before is done."""
        self._report(self._count(1), "")
        self._pool.submit(self._do, work)

    def close(self) -> None:
        """Finish what was asked for, and take nothing more."""
        self._pool.shutdown(wait=False)

    def _do(self, work: Callable[[], object]) -> None:
        message = ""
        try:
            work()
        except SimSearchError as error:
            message = plainly(error)
        except Exception as error:  # noqa: BLE001  one deed that fails must not stop the next
            _log.exception("expected to do what was asked for, got an error")
            message = f"Something went wrong ({type(error).__name__}: {error}). The log of the server has more."
        self._report(self._count(-1), message)

    def _count(self, change: int) -> int:
        with self._turn:
            self._n_waiting += change
            return self._n_waiting
