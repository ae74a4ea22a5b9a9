"""How right a run is: a random sample of what it found is judged, and what that tells of all of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.words import plainly
from simsearch.errors import SimSearchError
from simsearch.workflows.run.sample import SAMPLE_NAME, judge_sample, sample_results

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.core.accuracy.sampling import Bounded
    from simsearch.io.tables.sample import SampledPlace
    from simsearch.workflows.run.results import ResultView
    from simsearch.workflows.run.sample import ClassSample, SampleReport


class SampleWire(Wire):
    """What the sample draws."""

    sample = Part()


class ResultSample(Island):
    """Has a sample of a run judged.

    Parameters
    ----------
    context : PageContext
        Of the page.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context
        self._result: ResultView | None = None
        self._n_sent = 0
        super().__init__(SampleWire(), {"open": self._open, "draw": self._draw, "answer": self._answer})

    def show(self, result: ResultView | None) -> None:
        """Show another run."""
        if result != self._result:
            self._result = result
            self.send(sample=None)

    def _open(self, _: Message) -> None:
        """Read the sample that there is."""
        result = self._result
        if result is not None and (result.folder / SAMPLE_NAME).exists():
            self._estimate(result, partial(judge_sample, result.folder, {}))
        elif result is not None:
            self.send(sample={"run": result.id, "classes": [], "places": [], "notes": []})

    def _draw(self, message: Message) -> None:
        result, n = self._result, int(message["n"])
        if result is not None:
            self._estimate(result, partial(sample_results, result.folder, n=n, pictures=False))

    def _answer(self, message: Message) -> None:
        result, said = self._result, message["right"]
        if result is not None:
            place = str(message["image"]), str(message["class"]), float(message["y"]), float(message["x"])
            answers = {place: None if said is None else bool(said)}
            self._estimate(result, partial(judge_sample, result.folder, answers))

    def _estimate(self, result: ResultView, work: Callable[[], SampleReport]) -> None:
        """Do what reads the whole table, in its turn."""

        def estimate() -> None:
            try:
                report = work()
            except SimSearchError as error:
                self._context.doc.add_next_tick_callback(partial(self._fail, result, plainly(error)))
                raise
            self._context.doc.add_next_tick_callback(partial(self.take, result, report))

        self._context.run(estimate)

    def _fail(self, result: ResultView, problem: str) -> None:
        """Say that there is no sample to be seen, until somebody has mended that."""
        if result == self._result:
            self._n_sent += 1
            self.send(sample={"run": result.id, "problem": problem, "places": [], "number": self._n_sent})

    def take(self, result: ResultView, report: SampleReport) -> None:
        """Show what a sample tells of a run."""
        if result == self._result:
            self._n_sent += 1  # what was asked for is answered, also where nothing has changed
            self.send(sample=sample_part(result.id, report, self._context.urls.indices) | {"number": self._n_sent})


def sample_part(run: str, report: SampleReport, indices: Mapping[str, int]) -> dict[str, Any]:
    """Write a sample and what it tells, for a script to draw; `indices` are places of images in the study."""
    return {
        "run": run,
        "classes": [_class_part(each) for each in report.classes],
        "places": [_place_part(each, indices) for each in report.places],
        "notes": report.notes,
        "more": any(each.n_left for each in report.classes),
    }


def _class_part(of_class: ClassSample) -> dict[str, Any]:
    estimate = of_class.estimate
    return {
        "name": of_class.class_name,
        "threshold": of_class.threshold,
        "found": estimate.n_found,
        "judged": estimate.n_judged,
        "open": of_class.n_open,
        "precision": _bounded_part(estimate.precision),
        "recall": _bounded_part(estimate.recall),
        "total": _bounded_part(estimate.total),
    }


def _bounded_part(bounded: Bounded) -> list[float] | None:
    """Write bounds and what lies between; None where nothing was judged."""
    return None if np.isnan(bounded.value) else [bounded.low, bounded.value, bounded.high]


def _place_part(place: SampledPlace, indices: Mapping[str, int]) -> dict[str, Any]:
    return {
        "image": place.image,
        "place": indices.get(place.image),
        "class": place.class_name,
        "y": place.y,
        "x": place.x,
        "height": place.height,
        "width": place.width,
        "right": place.is_right,
    }
