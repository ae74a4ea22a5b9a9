"""What pages draw: frozen values, replaced whole at each change, cheap to make and read from any thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.background import Question
    from simsearch.curation.history import History
    from simsearch.curation.state import Curation, Patch
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.curate.trained import TrainedModel

JobKind = Literal["features", "index", "measure", "diverse", "train", "predict", "detect", "segment"]
JobState = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]


@dataclass(frozen=True, slots=True, eq=False)
class Suggestions:
    """What looks like the prototypes on the displayed images."""

    images: tuple[str, ...] = ()
    """Names of the images that `by_class` refers to."""
    by_class: Mapping[str, RankedPeaks] = field(default_factory=dict)
    """The own peaks of each class of similarity above 0, whatever the thresholds, with what was flagged."""
    suggested_thresholds: Mapping[str, float] = field(default_factory=dict)
    """For each class what its similarity threshold could be."""
    difficult: tuple[Patch, ...] = ()
    """May be background, and looks like prototypes (paper algorithm 1)."""
    beside: tuple[Patch, ...] = ()
    """May be background, and lies beside an object."""
    easy: tuple[Patch, ...] = ()
    """May be background, and looks like no prototype."""
    kept: tuple[Patch, ...] = ()
    """Is background already, and is not suggested again."""
    asked: tuple[Question, ...] = ()
    """Looks like a class just below its threshold."""
    background_rounds: int = 1
    """1, and one more for each time that more background was asked for."""
    state: Literal["empty", "computing", "ready", "failed"] = "empty"
    """What was there stays while it is computed anew."""
    message: str = ""
    """In words: what is being done, or what failed and the way out."""
    note: str = ""
    """In words: that the images are too large to be held in memory, and what that means; empty if they are held."""
    version: int = 0
    """Grows when the peaks change; not with thresholds and flags."""

    @property
    def background(self) -> tuple[Patch, ...]:
        """All that may be background."""
        return (*self.difficult, *self.beside, *self.easy, *self.kept)


@dataclass(frozen=True, slots=True, eq=False)
class PlateOverview:
    """What looks like the prototypes on all images of the study that were looked at, while somebody watches."""

    images: tuple[str, ...] = ()
    """Names of the images that `by_class` refers to: those with features."""
    by_class: Mapping[str, RankedPeaks] = field(default_factory=dict)
    """The own peaks of each class of similarity above 0, without what was flagged."""
    n_unseen: int = 0
    """Images that were not looked at yet."""
    unseen_bytes: int = 0
    """Of disk that their features would take."""
    state: Literal["idle", "computing", "ready", "failed"] = "idle"
    """What was there stays while it is computed anew."""
    message: str = ""
    """In words: what failed and the way out."""
    version: int = 0
    """Grows when the peaks change."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A long piece of work."""

    id: str
    kind: JobKind
    title: str
    """In words."""
    started_by: str
    """Who asked for it."""
    state: JobState = "waiting"
    """Interrupted: it ran when an earlier server stopped, and can go on."""
    step: str = ""
    """Name of the step that it is in."""
    n_done: int = 0
    """Tasks of the step that are done, failed ones included."""
    n_tasks: int = 0
    """Tasks of the step; 0 while nobody knows."""
    eta_s: float | None = None
    """Seconds until the step will be done, where that can be guessed."""
    message: str = ""
    """What failed and the way out, or what there is to know."""
    result: Path | None = None
    """The file or folder that it made."""
    epochs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Of a training: loss of each epoch that is done, by stage."""

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster."""

    address: str = ""
    n_workers: int = 0
    n_threads: int = 0
    is_connected: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that pages draw."""

    version: int
    """Grows by one with each change."""
    study: Study
    history: History
    """`history.state` is the curation."""
    suggestions: Suggestions
    overview: PlateOverview = PlateOverview()
    jobs: tuple[JobView, ...] = ()
    """The newest last."""
    models: tuple[TrainedModel, ...] = ()
    """The oldest first."""
    cluster: ClusterView = ClusterView()
    n_results: int = 0
    """Runs over images that are finished; `LiveStudy.results` reads them."""
    notice: str = ""
    """What happened before the study was opened and should be known; empty if nothing."""

    @property
    def curation(self) -> Curation:
        """All that was said."""
        return self.history.state
