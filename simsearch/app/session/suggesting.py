"""Suggestions that follow what people say, in a thread of their own."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from dask.utils import format_bytes

from simsearch.app.session.following import Follower, OutdatedError
from simsearch.app.session.jobs import new_job
from simsearch.app.session.snapshot import Suggestions
from simsearch.curation.suggestions import own_peaks
from simsearch.runtime.events import StepStarted
from simsearch.workflows.curate.live.search import LiveSearch
from simsearch.workflows.curate.offers import suggested_background, suggested_thresholds
from simsearch.workflows.curate.sight import sight_groups
from simsearch.workflows.curate.suggest import prepare_suggestions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simsearch.app.session.jobs import Jobs
    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.state import Curation, Patch
    from simsearch.runtime import Client
    from simsearch.runtime.events import Event, Observer
    from simsearch.workflows.curate.live.coarse_maps import SimilarityMap
    from simsearch.workflows.curate.live.held_images import Room
    from simsearch.workflows.curate.live.search import Findings
    from simsearch.workflows.curate.study import Study

_log = logging.getLogger(__name__)

NOBODY = "simsearch"
"""Who is said to have started what starts by itself."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """What of a curation features depend on."""

    displayed: tuple[str, ...]
    channels: tuple[str, ...]
    downsamplings: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What of a curation suggestions depend on."""

    sight: _Sight
    prototypes: tuple[tuple[str, tuple[float, float] | None, tuple[Patch, ...]], ...]
    """Of each class its name, its patch shape and its prototypes."""
    answers: tuple[tuple[frozenset[Patch], frozenset[Patch]], ...]
    """Of each class what was confirmed and what was flagged, in whatever order."""

    @classmethod
    def of(cls, curation: Curation) -> _Wanted:
        """Take it out of a curation."""
        drawn = (each for each in curation.classes if each.prototypes)
        prototypes = tuple((each.name, curation.shape_of(each), each.prototypes) for each in drawn)
        downsamplings = frozenset(group.downsampling for group in sight_groups(curation))
        sight = _Sight(curation.displayed, curation.channels, downsamplings)
        answers = tuple((frozenset(each.confirmed), frozenset(each.negatives)) for each in curation.classes)
        return cls(sight, prototypes, answers)


def _note(room: Room) -> str:
    if room.is_enough:
        return ""
    return (
        f"These images are too large to be held in memory (that takes {format_bytes(room.needed_bytes)} of the "
        f"{format_bytes(room.bytes)} that may be taken): workers search them at each box, from there outward. "
        "The similarity map is coarse, and blank where nothing was searched yet. Display fewer images, or serve with "
        "more --memory, for more."
    )


def _are_same(own: RankedPeaks, shown: RankedPeaks | None) -> bool:
    names = ("image", "y", "x", "score")
    return shown is not None and all(np.array_equal(getattr(own, name), getattr(shown, name)) for name in names)


class Suggester(Follower[Suggestions]):
    """Keeps suggestions up with a curation.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    jobs : Jobs
        Show what takes long.
    publish : callable
        Gets new suggestions, in the thread of this.
    memory_bytes : int, optional
        What holding the displayed images may take.
    """

    def __init__(
        self,
        client: Client,
        study: Study,
        jobs: Jobs,
        publish: Callable[[Suggestions], None],
        memory_bytes: int | None = None,
    ) -> None:
        self._client, self._study, self._jobs = client, study, jobs
        self._search = LiveSearch(client, study, memory_bytes)
        self._rounds = 1
        self._found: Findings | None = None
        self._prepared: _Sight | None = None
        self._followed: _Wanted | None = None
        super().__init__("suggestions", Suggestions(), publish)

    def more_background(self) -> None:
        """Suggest as much background once more; returns at once."""
        with self._changed:
            self._rounds += 1
            self._again()

    def similarity_map(self, class_name: str, image: str) -> SimilarityMap | None:
        """Return how similar a displayed image is to a class, as far as that is known; None where nothing is."""
        found = self._found
        if self._shown.state == "empty":
            return None
        if found is None or image not in found.images or class_name not in found.maps:
            return self._search.coarse_map(class_name, image)
        return found.maps[class_name][found.images.index(image)]

    def close(self) -> None:
        """Stop, and wait until it has."""
        super().close()
        self._search.close()

    def _look(self, curation: Curation) -> None:
        wanted = _Wanted.of(curation)
        if wanted != self._followed:
            self._followed = None
            self._follow(curation)
            self._followed = wanted
        self._choose_own(curation)
        self._choose_background(curation)
        self._search.prepare_answers(curation)

    def _was_cancelled(self) -> None:
        self._show(state="failed", message="Looking at the images was stopped. The next box starts it again.")

    def _follow(self, curation: Curation) -> None:
        wanted = _Wanted.of(curation)
        if not curation.displayed:
            self._found = None
            self._show(state="empty", message="Choose images to display.", by_class={}, images=())
            return
        self._show(state="computing", message="Looking at the images.")
        self._prepare(curation, wanted.sight)
        if not wanted.prototypes:
            self._found = None
            self._show(
                state="empty",
                message="Draw a box around something.",
                images=curation.displayed,
                by_class={},
                suggested_thresholds={},
                version=self._shown.version + 1,
            )
            return
        check = self._while(lambda now: _Wanted.of(now) == wanted)
        with ExitStack() as stack:
            job = new_job("features", "Search the displayed images, from the last box outward", NOBODY)
            opened: list[Observer] = []

            def observe(event: Event) -> None:
                check(event)
                if isinstance(event, StepStarted) and event.step == "suggestions" and not opened:  # workers do it
                    opened.append(stack.enter_context(self._jobs.attended(job)))
                for each in opened:
                    each(event)

            self._found = self._search.find(curation, tell=partial(self._show_part, curation), observe=observe)

    def _show_part(self, curation: Curation, found: Findings) -> None:
        """Show what was found so far; it cannot be accepted yet."""
        own = own_peaks(curation, found.images, found.by_class)
        self._show(
            message="Searching outward from the last box: more comes.",
            images=found.images,
            by_class=own,
            suggested_thresholds=suggested_thresholds(curation, found.images, own, found.left_out),
            note=_note(self._search.room),
            version=self._shown.version + 1,
        )

    def _choose_own(self, curation: Curation) -> None:
        """Show of what was found what is each class's own, which depends on what was said of places."""
        found = self._found
        if found is None:
            return
        own = own_peaks(curation, found.images, found.by_class)
        if self._shown.state == "ready" and all(_are_same(own[name], self._shown.by_class.get(name)) for name in own):
            return
        self._show(
            state="ready",
            message="",
            images=found.images,
            by_class=own,
            suggested_thresholds=suggested_thresholds(curation, found.images, own, found.left_out),
            note=_note(self._search.room),
            version=self._shown.version + 1,
        )

    def _prepare(self, curation: Curation, sight: _Sight) -> None:
        """Compute features where there are none yet; a person sees how far that is."""
        if sight == self._prepared:
            return
        check = self._while(lambda now: _Wanted.of(now).sight == sight)
        opened: list[Observer] = []
        with ExitStack() as stack:

            def observe(event: Event) -> None:
                check(event)
                if not opened:  # there is something to do
                    n = len(curation.displayed)
                    job = new_job("features", f"Look at {n} displayed image{'s' * (n > 1)} in tiles", NOBODY)
                    opened.append(stack.enter_context(self._jobs.attended(job)))
                opened[0](event)

            prepare_suggestions(self._client, self._study, curation, observe=observe)
            self._search.look(curation, observe=observe)
        self._prepared = sight
        self._show(note=_note(self._search.room))

    def _choose_background(self, curation: Curation) -> None:
        if self._found is None or curation.patch_shape is None:
            if self._shown.background or self._shown.asked:
                self._show(difficult=(), beside=(), easy=(), kept=(), asked=())
            return
        own, suggested = self._shown.by_class, self._shown.suggested_thresholds
        offer = suggested_background(curation, self._found, own, suggested, self._rounds)
        shown = [*self._shown.background, *(each.patch for each in self._shown.asked)]
        known = {(each.image, each.y, each.x): each for each in shown}

        def named(patches: Sequence[Patch]) -> tuple[Patch, ...]:
            """Leave a place the name that it has, so that galleries keep what they show."""
            return tuple(known.get((each.image, each.y, each.x), each) for each in patches)

        chosen = {
            "difficult": named(offer.difficult),
            "beside": named(offer.beside),
            "easy": named(offer.easy),
            "kept": offer.kept,
            "background_rounds": self._rounds,
            "asked": tuple(replace(each, patch=named([each.patch])[0]) for each in offer.asked),
        }
        if any(value != getattr(self._shown, name) for name, value in chosen.items()):
            self._show(**chosen)

    def _while(self, is_wanted: Callable[[Curation], bool]) -> Observer:
        """Make an observer that stops what is not wanted any more."""

        def observe(event: Event) -> None:
            newest = self._newest
            if self._is_closing or (newest is not None and not is_wanted(newest)):
                raise OutdatedError

        return observe
