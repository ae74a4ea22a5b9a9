"""How sure a model must be: a threshold for each class, and what it gives on the displayed images."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource

from simsearch.app.components.frame import job_part
from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.components.viewing.scene import Scene, prediction_scene
from simsearch.app.words import plainly
from simsearch.core.peaks import NEAREST
from simsearch.curation.actions import Batch, SetConfidenceThreshold
from simsearch.curation.confidence import THRESHOLDS
from simsearch.curation.state import singled_out
from simsearch.errors import SimSearchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import JobView, Snapshot
    from simsearch.curation.confidence import Estimate
    from simsearch.curation.state import Curation
    from simsearch.workflows.curate.trained import TrainedModel
    from simsearch.workflows.run.predict import Predictions

_COLUMNS = ("image", "kind", "y", "x", "score")


class ConfidenceWire(Wire):
    """What the choice of thresholds draws, apart from what was found."""

    models = Part()
    progress = Part()
    classes = Part()
    about = Part()


class ConfidenceChoice(Island):
    """Chooses confidence thresholds.

    Parameters
    ----------
    context : PageContext
        Of the page.
    on_scene : callable
        Called with what is found on the displayed images, when that changes.
    """

    def __init__(self, context: PageContext, on_scene: Callable[[Scene, Curation], None]) -> None:
        self._context, self._on_scene = context, on_scene
        self._wanted: str | None = None
        self._asked: object = None
        self._found: Predictions | None = None
        self.peaks = ColumnDataSource(found_columns(None))
        super().__init__(
            ConfidenceWire(),
            {"model": self._choose_model, "find": self._find, "threshold": self._threshold, "keep": self._keep},
        )

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        model = self.model(snapshot)
        self.send(
            models={
                "list": [{"id": each.id, "created": each.created} for each in reversed(snapshot.models)],
                "current": model.id if model else None,
            },
            progress=progress_part(snapshot, self._found),
        )
        if model is not None:
            self._ask(snapshot, model)
            self._draw(snapshot, model)

    def model(self, snapshot: Snapshot) -> TrainedModel | None:
        """Return the model whose thresholds are chosen, if there is one."""
        models = {model.id: model for model in snapshot.models}
        return models.get(self._wanted or "") or (snapshot.models[-1] if snapshot.models else None)

    def _ask(self, snapshot: Snapshot, model: TrainedModel) -> None:
        """Read what was predicted, unless nothing has changed that it depends on; predict if nothing was yet."""
        curation = snapshot.curation
        is_done = tuple(job.id for job in snapshot.jobs if job.kind == "predict" and job.is_over)
        wanted = (model.id, curation.displayed, [_judged(curation)], is_done)
        if wanted != self._asked:
            self._asked = wanted
            self._context.doc.add_next_tick_callback(partial(self._read, model, is_first=not is_done))

    async def _read(self, model: TrainedModel, *, is_first: bool) -> None:
        live, user = self._context.live, self._context.user
        try:
            found = await asyncio.to_thread(live.predictions, model.id)
        except SimSearchError as error:  # the table is damaged: it is written anew
            self.send(about={"note": "", "problem": plainly(error)})
            found = None
        if found is None and is_first:
            self._context.run(partial(live.start_prediction, user, model.id))
        if self.model(live.snapshot) == model:
            self.show(found, live.snapshot, model)

    def show(self, found: Predictions | None, snapshot: Snapshot, model: TrainedModel) -> None:
        """Draw what was read."""
        self._found = found
        self.peaks.data = found_columns(found)
        if found is not None:
            distances = [NEAREST * min(model.patch_shapes[name]) for name in found.by_class]
            self.send(about={"note": found.note, "problem": "", "distances": distances})
        self.send(progress=progress_part(snapshot, found))
        self._draw(snapshot, model)

    def _draw(self, snapshot: Snapshot, model: TrainedModel) -> None:
        curation, found = snapshot.curation, self._found
        thresholds = chosen_or_given(curation, model)
        colors = {each.name: each.color for each in curation.classes}
        chosen = {each.name for each in curation.classes if each.confidence_threshold is not None}
        estimates = found.estimates if found else {}
        self.send(
            classes=[
                {
                    "name": name,
                    "color": colors.get(name, "#9aa0a6"),
                    "threshold": thresholds[name],
                    "is_chosen": name in chosen,
                    "is_known": name in colors,
                    "estimate": estimate_part(estimates[name]) if name in estimates else None,
                    "held_out": model.held_out.get(name),
                }
                for name in model.classes
            ]
        )
        if found is not None:
            self._on_scene(prediction_scene(curation, found, thresholds, model.patch_shapes), curation)

    def _choose_model(self, message: Message) -> None:
        self._wanted = str(message["id"])
        self.update(self._context.live.snapshot)

    def _find(self, _: Message) -> None:
        live, user, model = self._context.live, self._context.user, self.model(self._context.live.snapshot)
        if model is not None:
            self._context.run(partial(live.start_prediction, user, model.id))

    def _threshold(self, message: Message) -> None:
        self._context.act(SetConfidenceThreshold(str(message["name"]), float(message["value"])))

    def _keep(self, message: Message) -> None:
        """Say that all thresholds are right as they are."""
        known = {each.name for each in self._context.live.snapshot.curation.classes}
        chosen = [(str(name), float(value)) for name, value in message["thresholds"].items() if name in known]
        actions = tuple(SetConfidenceThreshold(name, value) for name, value in chosen)
        if actions:
            self._context.act(Batch("choose confidence thresholds", actions))


def chosen_or_given(curation: Curation, model: TrainedModel) -> dict[str, float]:
    """Return the confidence threshold of each class of a model: as people chose it, or as the model has it."""
    chosen = {each.name: each.confidence_threshold for each in curation.classes}
    return {
        name: model.confidence_thresholds[name] if (least := chosen.get(name)) is None else least
        for name in model.classes
    }


def found_columns(found: Predictions | None) -> dict[str, Any]:
    """Return what was found as columns of a Bokeh source, the surest first.

    Returns
    -------
    dict
        ``image`` (place among the displayed), ``kind`` (place among the classes), ``y`` and ``x`` in level-0 pixels,
        ``score``.
    """
    if found is None or not found.by_class:
        return {name: np.zeros(0, np.float32) for name in _COLUMNS}
    peaks = list(found.by_class.values())
    columns = {
        "image": np.concatenate([each.image for each in peaks]).astype(np.int32),
        "kind": np.repeat(np.arange(len(peaks), dtype=np.int32), [len(each) for each in peaks]),
        "y": np.concatenate([each.y for each in peaks]).astype(np.float32),
        "x": np.concatenate([each.x for each in peaks]).astype(np.float32),
        "score": np.concatenate([each.score for each in peaks]),
    }
    order = np.argsort(-columns["score"], kind="stable")
    return {name: values[order] for name, values in columns.items()}


def estimate_part(estimate: Estimate) -> dict[str, Any]:
    """Write an estimate for a script to draw; what is not known is null."""

    def known(values: np.ndarray[Any, Any]) -> list[float | None]:
        return [None if np.isnan(each) else round(float(each), 4) for each in values]

    return {
        "thresholds": THRESHOLDS,
        "n_objects": estimate.n_objects,
        "n_others": estimate.n_others,
        "n_unjudged": estimate.n_unjudged.tolist(),
        "precision": [known(v) for v in (estimate.precision_low, estimate.precision, estimate.precision_high)],
        "recall": [known(v) for v in (estimate.recall_low, estimate.recall, estimate.recall_high)],
    }


def progress_part(snapshot: Snapshot, found: Predictions | None) -> dict[str, Any]:
    """Write how far predictions are, for a script to draw."""
    jobs: Mapping[str, JobView] = {job.kind: job for job in snapshot.jobs}
    job = jobs.get("predict")
    return {"has_models": bool(snapshot.models), "is_found": found is not None, "job": job_part(job) if job else None}


def _judged(curation: Curation) -> tuple[object, ...]:
    """Return what estimates depend on; thresholds are not."""
    marks = tuple(
        (each.name, each.patch_shape, singled_out(each), each.positives, each.negatives) for each in curation.classes
    )
    return (marks, curation.background, curation.patch_shape)
