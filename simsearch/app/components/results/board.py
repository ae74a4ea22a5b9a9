"""Runs over all images: start one, see how it goes, look at what it gave, beside another too, and download that."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from simsearch.app.components.frame import job_actions, job_part
from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.components.results.parts import counts_part, run_part, summary_part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import JobView, Snapshot
    from simsearch.curation.state import Curation
    from simsearch.io.pictures.render import ShownChannel
    from simsearch.workflows.run.results import ResultView

_CROP_PX = 128
_RUNS = ("detect", "segment")


class ResultsWire(Wire):
    """What the page draws."""

    about = Part()
    job = Part()
    runs = Part()
    run = Part()
    crop = Part()
    compared = Part()


class ResultBoard(Island):
    """Shows results.

    Parameters
    ----------
    context : PageContext
        Of the page.
    on_run : callable
        Called with the run that is looked at, and with a detection to compare it with, if one was chosen.
    """

    def __init__(
        self, context: PageContext, on_run: Callable[[ResultView | None, ResultView | None], None] = lambda *_: None
    ) -> None:
        self._context, self._on_run = context, on_run
        self._results: tuple[ResultView, ...] = ()
        self._asked: object = None
        self._current: str | None = None
        self._compared: str | None = None
        self._over: set[str] | None = None  # jobs that were known to be over
        self._shown: tuple[ShownChannel, ...] = ()  # how somebody wants to see channels; as usual if there are none
        super().__init__(
            ResultsWire(),
            {
                "start": self._start,
                **job_actions(context),
                "choose": self._choose,
                "compare": self._compare,
            },
        )

    @property
    def run(self) -> ResultView | None:
        """The run that is looked at."""
        return self._find(self._current)

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        self.send(about=about_part(snapshot), job=run_job_part(snapshot.jobs))
        self._follow(snapshot.jobs)
        wanted = (snapshot.n_results, [job.id for job in snapshot.jobs if job.is_over])
        if wanted != self._asked:
            self._asked = wanted
            self._context.doc.add_next_tick_callback(self._read)

    def _follow(self, jobs: Sequence[JobView]) -> None:
        """Go to what a run gave as soon as it ends, where who looks has started it."""
        over = {job.id: job for job in jobs if job.is_over and job.kind in _RUNS}
        for job_id, job in over.items():
            is_new = self._over is not None and job_id not in self._over
            if is_new and job.result is not None and job.started_by == self._context.user:
                self._current = job.result.name
        self._over = set(over)

    def show_channels(self, shown: tuple[ShownChannel, ...]) -> None:
        """Show channels in pictures of objects in another way."""
        self._shown = shown
        self._draw_crop()

    def _draw_crop(self) -> None:
        urls, curation = self._context.urls, self._context.live.snapshot.curation
        usual = urls.channels([curation.channel_names.index(name) for name in curation.channels])
        self.send(crop=urls.crop_template(None, self._shown or usual, _CROP_PX))

    async def _read(self) -> None:
        results = await asyncio.to_thread(self._context.live.results)
        self.show(results)

    def show(self, results: Sequence[ResultView]) -> None:
        """Draw what was read, the newest run unless another was chosen."""
        self._results = tuple(results)
        if results and self.run is None:
            self._current = results[-1].id
        self._draw()

    def _find(self, run_id: str | None) -> ResultView | None:
        return next((each for each in self._results if each.id == run_id), None)

    def _draw(self) -> None:
        result = self.run
        compared = self._find(self._compared)
        if result is None or compared is result or "segment" in (result.kind, compared.kind if compared else ""):
            compared = None
        self._draw_crop()
        self.send(
            runs={"list": [summary_part(each) for each in reversed(self._results)], "current": self._current},
            run=None if result is None else run_part(result, self._context.urls),
            compared=None if compared is None else {**summary_part(compared), **counts_part(compared)},
        )
        self._on_run(result, compared)

    def _choose(self, message: Message) -> None:
        self._current = str(message["id"])
        self._draw()

    def _compare(self, message: Message) -> None:
        self._compared = str(message["id"])
        self._draw()

    def _start(self, message: Message) -> None:
        live, user, model = self._context.live, self._context.user, str(message["model"])
        start: Callable[[], str] = partial(live.start_detection, user, model)
        if message.get("regions"):
            start = partial(live.start_detection, user, model, in_regions=True)
        if message["what"] == "segment":
            start = partial(live.start_segmentation, user, model, tissue_mask=bool(message["tissue"]))
        self._context.run(start)


def about_part(snapshot: Snapshot) -> dict[str, Any]:
    """Write what a run would be of, for a script to draw."""
    return {
        "models": [
            {"id": each.id, "created": each.created, "classes": each.classes, "is_of_objects": each.is_of_objects}
            for each in reversed(snapshot.models)
        ],
        "n_images": len(snapshot.study.images),
        "n_regions": len(snapshot.curation.regions),
        "colors": {each.name: each.color for each in snapshot.curation.classes},
        "open": _without_threshold(snapshot),
    }


def run_job_part(jobs: Sequence[JobView]) -> dict[str, Any] | None:
    """Write the run that goes on, or else the last one, for a script to draw."""
    runs = [job for job in jobs if job.kind in _RUNS]
    running = next((job for job in reversed(runs) if not job.is_over), None)
    if running is not None or runs:
        return job_part(running or runs[-1])
    return None


def _without_threshold(snapshot: Snapshot) -> list[str]:
    """Name the classes of the newest model whose confidence threshold nobody has chosen."""
    curation: Curation = snapshot.curation
    known = {each.name for each in curation.classes if each.confidence_threshold is not None}
    return [name for name in snapshot.models[-1].classes if name not in known] if snapshot.models else []
