"""What whole plates look like, kept up with a curation in a thread of its own while somebody watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.session.following import Follower, OutdatedError
from simsearch.app.session.snapshot import PlateOverview
from simsearch.workflows.curate.live.plate_search import PlateSearch

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.curation.state import Curation
    from simsearch.runtime import Client
    from simsearch.runtime.events import Event
    from simsearch.workflows.curate.study import Study


class Overseer(Follower[PlateOverview]):
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
        self._search = PlateSearch(client, study)
        self._n_watchers = 0
        super().__init__("overview of plates", PlateOverview(), publish)

    def look_again(self) -> None:
        """Take images that were looked at meanwhile; returns at once."""
        with self._changed:
            self._again()

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
        super().close()
        self._search.close()

    def _is_news(self, curation: Curation, before: Curation) -> bool:
        return _seen_of(curation) != _seen_of(before)

    def _is_awake(self) -> bool:
        return self._n_watchers > 0

    def _look(self, curation: Curation) -> None:
        def observe(_: Event) -> None:
            if self._is_closing or self._n_watchers == 0 or self._newest is not curation:
                raise OutdatedError

        self._show(state="computing", message="")
        unseen = self._search.unseen(curation, observe=observe)
        self._show(n_unseen=len(unseen.names), unseen_bytes=unseen.n_bytes)
        if not any(each.prototypes for each in curation.classes):
            self._show(state="ready", images=(), by_class={}, version=self._shown.version + 1)
            return
        found = self._search.find(curation, observe=observe)
        self._show(state="ready", images=found.images, by_class=found.by_class, version=self._shown.version + 1)


def _seen_of(curation: Curation) -> object:
    """Return what of a curation an overview depends on."""
    said = [
        (each.name, each.prototypes, frozenset(each.confirmed), frozenset(each.negatives)) for each in curation.classes
    ]
    return curation.channels, curation.patch_shape, said
