"""A study that several people say things about at once, in one process."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any

from simsearch.app.session.snapshot import Snapshot, Suggestions
from simsearch.workflows.curate.study import open_curation

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from simsearch.curation.actions import Action
    from simsearch.curation.state import Curation
    from simsearch.workflows.curate.study import Study

    Listener = Callable[[Snapshot], None]

_log = logging.getLogger(__name__)


class SharedStudy:
    """A study that is open for writing: what is said goes to its journal first, and then to whoever listens.

    Parameters
    ----------
    study : Study
        The study, which nobody else has open for writing.

    Raises
    ------
    StoreError
        If it is open elsewhere, cannot be read or written, or is damaged.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._turn = RLock()
        self._listeners: list[Listener] = []
        self._journal = open_curation(study)
        self._resources = ExitStack()
        self._resources.callback(self._journal.close)
        torn = self._journal.torn
        self._snapshot = Snapshot(1, study, self._journal.history, Suggestions(), notice=f"{torn}." if torn else "")

    @property
    def snapshot(self) -> Snapshot:
        """What there is now; from any thread."""
        return self._snapshot

    def act(self, user: str, action: Action) -> None:
        """Do something: it is on the disk when this returns.

        Raises
        ------
        CurationError
            If it does not apply.
        StoreError
            If it cannot be written; nothing has changed then.
        """
        self._journal.append(user, action)
        self._said()

    def undo(self, user: str, back_to: int | None = None) -> None:
        """Undo the last action of a person, or all of theirs back to one, with it.

        Raises
        ------
        CurationError
            If there is none, or later actions need it.
        StoreError
            If it cannot be written.
        """
        self._journal.undo(user, back_to)
        self._said()

    def redo(self, user: str, up_to: int | None = None) -> None:
        """Take the last undo of a person back, or all up to that of one action.

        Raises
        ------
        CurationError
            If there is none, or later actions stand in the way.
        StoreError
            If it cannot be written.
        """
        self._journal.redo(user, up_to)
        self._said()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have a function called with each new snapshot, in whatever thread made it; calls are in order.

        Returns
        -------
        callable
            Ends the subscription.
        """
        with self._turn:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._turn:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def close(self) -> None:
        """Stop all work where it is, and let others open the study."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _follow(self, curation: Curation) -> None:
        """Take what was said, in its order; returns at once."""

    def _said(self) -> None:
        with self._turn:  # the newest, whichever thread comes first
            history = self._journal.history
            self._publish(history=history)
            self._follow(history.state)

    def _publish(self, **changes: Any) -> None:  # noqa: ANN401  fields of Snapshot
        with self._turn:
            self._snapshot = replace(self._snapshot, version=self._snapshot.version + 1, **changes)
            for listener in tuple(self._listeners):
                try:
                    listener(self._snapshot)
                except Exception:  # noqa: BLE001  one page that cannot draw must not stop the others
                    _log.exception("expected a page to take a snapshot, got an error")
