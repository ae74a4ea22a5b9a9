"""A thread that keeps something up with what people say."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import replace
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from simsearch.app.words import plainly
from simsearch.errors import Cancelled, SimSearchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.app.session.snapshot import PlateOverview, Suggestions
    from simsearch.curation.state import Curation

_log = logging.getLogger(__name__)

Shown = TypeVar("Shown", "Suggestions", "PlateOverview")


class OutdatedError(Cancelled):
    """Something else is wanted by now."""


class Follower(ABC, Generic[Shown]):
    """Keeps what is shown up with a curation, the newest state first: what was begun for an older one is left.

    Parameters
    ----------
    name : str
        Of the thread.
    shown : Suggestions or PlateOverview
        What is shown at first.
    publish : callable
        Gets what is shown, in the thread of this.
    """

    def __init__(self, name: str, shown: Shown, publish: Callable[[Shown], None]) -> None:
        self._shown: Shown = shown
        self._publish: Callable[[Shown], None] = publish
        self._changed = Condition()
        self._newest: Curation | None = None
        self._is_closing = False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def follow(self, curation: Curation) -> None:
        """Take what people say now; returns at once."""
        with self._changed:
            if self._newest is None or self._is_news(curation, self._newest):
                self._newest = curation
                self._changed.notify()

    def close(self) -> None:
        """Stop, and wait until it has."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    @abstractmethod
    def _look(self, curation: Curation) -> None:
        """Show what belongs to a curation."""

    def _is_news(self, curation: Curation, before: Curation) -> bool:
        return True

    def _is_awake(self) -> bool:
        """Tell whether anything is to be done at all; asked while `_changed` is held."""
        return True

    def _was_cancelled(self) -> None:
        """Say so, if a person has."""

    def _again(self) -> None:
        """Look at the newest curation once more; `_changed` is held."""
        if self._newest is not None:
            self._newest = replace(self._newest)  # another value
        self._changed.notify()

    def _run(self) -> None:
        seen: Curation | None = None
        while (newest := self._next(seen)) is not None:
            seen = newest
            try:
                self._look(newest)
            except OutdatedError:  # the newest comes next, or this one once more, when there is need of it
                seen = None
            except Cancelled:
                self._was_cancelled()
            except SimSearchError as error:
                self._show(state="failed", message=plainly(error))
            except Exception as error:  # noqa: BLE001  a person must be told, whatever it is
                _log.exception("expected %s, got an error that was not foreseen", self._thread.name)
                self._show(state="failed", message=f"{type(error).__name__}: {error}. See the server's log")

    def _next(self, seen: Curation | None) -> Curation | None:
        """Wait for another curation than the last; None if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing or (self._newest is not seen and self._is_awake()))
            return None if self._is_closing else self._newest

    def _show(self, **changes: Any) -> None:  # noqa: ANN401  fields of what is shown
        self._shown = replace(self._shown, **changes)
        self._publish(self._shown)
