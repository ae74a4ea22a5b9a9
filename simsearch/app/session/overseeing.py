"""What whole plates look like, kept up with a curation in a thread of its own while somebody watches."""

from __future__ import annotations

import logging
from dataclasses import replace
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from simsearch.app.session.snapshot import PlateOverview
from simsearch.app.words import plainly
from simsearch.errors import Cancelled, SimSearchError
from simsearch.workflows.curate.live.plate_search import PlateSearch

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.curation.state import Curation
    from simsearch.runtime import Client
    from simsearch.runtime.events import Event
    from simsearch.workflows.curate.study import Study

_log = logging.getLogger(__name__)


class _OutdatedError(Cancelled):
    """Something else is wanted by now."""


class Overseer:
    """Searches all images of a study that were looked at, the newest state first, and only while somebody watches.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    publish : callable
        Gets new overviews, in the thread of this.
    """

    def __init__(self, client: Client, study: Study, publish: Callable[[PlateOverview], None]) -> None:
        self._search, self._publish = PlateSearch(client, study), publish
        self._changed = Condition()
        self._newest: Curation | None = None
        self._n_watchers = 0
        self._is_closing = False
        self._shown = PlateOverview()
        self._thread = Thread(target=self._run, name="overview", daemon=True)
        self._thread.start()

    def follow(self, curation: Curation) -> None:
        """Take what people say now; returns at once."""
        with self._changed:
            if self._newest is None or _seen_of(curation) != _seen_of(self._newest):
                self._newest = curation
                self._changed.notify()

    def look_again(self) -> None:
        """Take images that were looked at meanwhile; returns at once."""
        with self._changed:
            if self._newest is not None:
                self._newest = replace(self._newest)  # another value
            self._changed.notify()

    def watch(self) -> Callable[[], None]:
        """Search from now on; what is returned ends that, if nobody else watches."""
        with self._changed:
            self._n_watchers += 1
            self._changed.notify()
        is_watching = [True]

        def end() -> None:
            with self._changed:
                self._n_watchers -= bool(is_watching)
                is_watching.clear()

        return end

    def close(self) -> None:
        """Stop, and wait until it has."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        self._search.close()

    def _run(self) -> None:
        seen: Curation | None = None
        while (newest := self._next(seen)) is not None:
            seen = newest
            try:
                self._look(newest)
            except Cancelled:  # the newest comes next, or nobody watches
                if self._n_watchers == 0:
                    seen = None
            except SimSearchError as error:
                self._show(state="failed", message=plainly(error))
            except Exception as error:  # noqa: BLE001  a person must be told, whatever it is
                _log.exception("expected an overview of plates, got an error that was not foreseen")
                self._show(state="failed", message=f"{type(error).__name__}: {error}. See the server's log")

    def _next(self, seen: Curation | None) -> Curation | None:
        """Wait for another curation than the last while somebody watches; None if there will be none."""

        def is_due() -> bool:
            return self._is_closing or (self._n_watchers > 0 and self._newest is not seen)

        with self._changed:
            self._changed.wait_for(is_due)
            return None if self._is_closing else self._newest

    def _look(self, curation: Curation) -> None:
        def observe(_: Event) -> None:
            if self._is_closing or self._n_watchers == 0 or self._newest is not curation:
                raise _OutdatedError

        self._show(state="computing", message="")
        unseen = self._search.unseen(curation, observe=observe)
        self._show(n_unseen=len(unseen.names), unseen_bytes=unseen.n_bytes)
        if not any(each.prototypes for each in curation.classes):
            self._show(state="ready", images=(), by_class={}, version=self._shown.version + 1)
            return
        found = self._search.find(curation, observe=observe)
        self._show(state="ready", images=found.images, by_class=found.by_class, version=self._shown.version + 1)

    def _show(self, **changes: Any) -> None:  # noqa: ANN401  fields of PlateOverview
        self._shown = replace(self._shown, **changes)
        self._publish(self._shown)


def _seen_of(curation: Curation) -> object:
    """Return what of a curation an overview depends on."""
    said = [
        (each.name, each.prototypes, frozenset(each.confirmed), frozenset(each.negatives)) for each in curation.classes
    ]
    return curation.channels, curation.patch_shape, said
