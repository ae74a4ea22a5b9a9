"""Runs over all images: start one, see how it goes, look at what it gave, and download that."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from simsearch.app.components.frame import job_actions, job_part
from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.server.downloads import archive_name, download_key, flat_name
from simsearch.errors import SimSearchError
from simsearch.workflows.run.results import read_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import JobView, Snapshot
    from simsearch.app.urls import Urls
    from simsearch.curation.state import Curation
    from simsearch.workflows.run.results import FoundObject, PlateResult, ResultView

_ROWS = 60  # of the table at a time
_CROP_PX = 96
_N_OVERLAYS = 60  # pictures that are shown; all can be downloaded


class ResultsWire(Wire):
    """What the page draws."""

    about = Part()
    job = Part()
    runs = Part()
    run = Part()
    table = Part()


class ResultBoard(Island):
    """Shows results.

    Parameters
    ----------
    context : PageContext
        Of the page.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context
        self._results: tuple[ResultView, ...] = ()
        self._asked: object = None
        self._current: str | None = None
        super().__init__(
            ResultsWire(),
            {
                "start": self._start,
                **job_actions(context),
                "choose": self._choose,
                "table": self._ask_table,
            },
        )

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        self.send(about=about_part(snapshot), job=run_job_part(snapshot.jobs))
        wanted = (snapshot.n_results, [job.id for job in snapshot.jobs if job.is_over])
        if wanted != self._asked:
            self._asked = wanted
            self._context.doc.add_next_tick_callback(self._read)

    async def _read(self) -> None:
        results = await asyncio.to_thread(self._context.live.results)
        self.show(results)

    def show(self, results: Sequence[ResultView]) -> None:
        """Draw what was read, the newest run unless another was chosen."""
        self._results = tuple(results)
        if results and self._current not in {result.id for result in results}:
            self._current = results[-1].id
        self.send(runs={"list": [summary_part(each) for each in reversed(results)], "current": self._current})
        self._draw_run()

    def _found(self) -> ResultView | None:
        return next((each for each in self._results if each.id == self._current), None)

    def _draw_run(self) -> None:
        result, urls, curation = self._found(), self._context.urls, self._context.live.snapshot.curation
        shown = urls.channels([curation.channel_names.index(name) for name in curation.channels])
        crop = urls.crop_template(None, shown, _CROP_PX)
        self.send(run=None if result is None else {**run_part(result, urls), "crop": crop}, table=None)
        if result is not None and result.kind == "detect":
            self._context.doc.add_next_tick_callback(partial(self._read_table, result, 0, ""))

    def _choose(self, message: Message) -> None:
        self._current = str(message["id"])
        self.show(self._results)

    def _ask_table(self, message: Message) -> None:
        result = self._found()
        if result is not None:
            start, well = max(0, int(message["start"])), str(message.get("well", ""))
            self._context.doc.add_next_tick_callback(partial(self._read_table, result, start, well))

    async def _read_table(self, result: ResultView, start: int, well: str) -> None:
        try:
            rows = await asyncio.to_thread(read_objects, result.folder, start, _ROWS + 1, well=well)
        except SimSearchError as error:
            self.send(table={"problem": str(error)})
            return
        if result.id == self._current:
            self.send(table=table_part(rows, start, well, self._context.urls))

    def _start(self, message: Message) -> None:
        live, user, model = self._context.live, self._context.user, str(message["model"])
        start: Callable[[], str] = partial(live.start_detection, user, model)
        if message["what"] == "segment":
            start = partial(live.start_segmentation, user, model, tissue_mask=bool(message["tissue"]))
        self._context.run(start)


def about_part(snapshot: Snapshot) -> dict[str, Any]:
    """Write what a run would be of, for a script to draw."""
    return {
        "models": [{"id": m.id, "created": m.created, "classes": m.classes} for m in reversed(snapshot.models)],
        "n_images": len(snapshot.study.images),
        "colors": {each.name: each.color for each in snapshot.curation.classes},
        "open": _without_threshold(snapshot),
    }


def run_job_part(jobs: Sequence[JobView]) -> dict[str, Any] | None:
    """Write the run that goes on, or else the last one, for a script to draw."""
    runs = [job for job in jobs if job.kind in ("detect", "segment")]
    running = next((job for job in reversed(runs) if not job.is_over), None)
    if running is not None or runs:
        return job_part(running or runs[-1])
    return None


def summary_part(result: ResultView) -> dict[str, Any]:
    """Write a run in short, for a script to draw."""
    return {
        "id": result.id,
        "kind": result.kind,
        "finished": result.finished,
        "n_images": result.n_images,
        "n_objects": sum(result.n_objects.values()),
        "n_failed": len(result.failures),
    }


def run_part(result: ResultView, urls: Urls) -> dict[str, Any]:
    """Write what a run gave, for a script to draw."""
    thresholds = result.confidence_thresholds
    return {
        **summary_part(result),
        "model": result.model[:12],
        "classes": result.classes,
        "counts": result.n_objects,
        "thresholds": thresholds,
        "images": [{"image": each.image, "counts": each.counts} for each in result.images],
        "plates": [plate_part(plate, urls) for plate in result.plates],
        "areas": [
            {"image": a.image, "class": a.class_name, "mm2": a.mm2, "tissue": a.of_tissue, "share": a.of_image}
            for a in result.areas
        ],
        "overlays": [_file_part(path, urls) for path in result.overlays[:_N_OVERLAYS]],
        "labels": result.labels,
        "failures": [{"image": name, "message": message} for name, message in result.failures],
        "files": [
            {**_file_part(path, urls, result.folder), "saved": flat_name(path, result.folder)} for path in result.files
        ],
        "archive": {"name": archive_name(result), "url": urls.download(download_key(result.folder))},
        "folder": str(result.folder),
    }


def plate_part(plate: PlateResult, urls: Urls) -> dict[str, Any]:
    """Write a plate for a script to draw."""
    return {
        "name": plate.name,
        "wells": [
            {
                "well": each.well,
                "row": each.row,
                "column": each.column,
                "treatment": each.treatment,
                "counts": each.counts,
                "fractions": each.fractions,
            }
            for each in plate.wells
        ],
        "doses": [
            {
                "drug": dose.drug,
                "class": dose.class_name,
                "ec50": dose.ec50,
                "interval": dose.interval,
                "unit": dose.unit,
                "z": dose.z_prime,
            }
            for dose in plate.doses
        ],
        "curves": None if plate.curves is None else _file_part(plate.curves, urls),
    }


def table_part(rows: Sequence[FoundObject], start: int, well: str, urls: Urls) -> dict[str, Any]:
    """Write rows of the table, one more than is shown where there are further ones, for a script to draw."""
    return {
        "start": start,
        "well": well,
        "has_more": len(rows) > _ROWS,
        "rows": [
            {
                "image": each.image,
                "place": urls.indices.get(each.image),
                "well": each.well,
                "class": each.class_name,
                "y": round(each.y, 1),
                "x": round(each.x, 1),
                "shape": each.patch_shape,
                "confidence": round(each.confidence, 3),
            }
            for each in rows[:_ROWS]
        ],
        "n": _ROWS,
    }


def _file_part(path: Path, urls: Urls, folder: Path | None = None) -> dict[str, str]:
    name = str(path.relative_to(folder)) if folder else path.name
    return {"name": name, "url": urls.download(download_key(path))}


def _without_threshold(snapshot: Snapshot) -> list[str]:
    """Name the classes of the newest model whose confidence threshold nobody has chosen."""
    curation: Curation = snapshot.curation
    known = {each.name for each in curation.classes if each.confidence_threshold is not None}
    return [name for name in snapshot.models[-1].classes if name not in known] if snapshot.models else []
