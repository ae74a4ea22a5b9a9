"""All wells of the plates of a study, coloured by how many places in them look like the active class.

The browser has how many places of each well are at least how similar: colours follow the threshold by themselves.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource

from simsearch.app.components.image_picker import show_images
from simsearch.app.components.island import Island, Part, Wire
from simsearch.workflows.curate.layout import find_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import PlateOverview, Snapshot
    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.workflows.curate.layout import Layout

N_STEPS = 1000
"""Into which similarities from 0 to 1 are sorted: thresholds have three decimals."""

_MOST = np.iinfo(np.uint16).max


class PlateWire(Wire):
    """What the panel draws, apart from the counts."""

    plates = Part()
    state = Part()
    shown = Part()


class PlatePanel(Island):
    """Shows whole plates.

    Parameters
    ----------
    context : PageContext
        Of the page.
    on_visit : callable
        Called with the image, y and x of what the person wants to see.
    """

    def __init__(self, context: PageContext, on_visit: Callable[[str, float, float], None]) -> None:
        self._context, self._on_visit = context, on_visit
        self._names = [image.name for image in context.live.study.images]
        layout = find_layout(context.live.study.images)
        self._wells = _wells_of(layout, len(self._names))
        self._drawn: tuple[int, str | None] | None = None
        self._active: str | None = None
        self._end: Callable[[], None] = lambda: None
        self.counts = ColumnDataSource({"n": np.zeros(0, np.uint16)})
        super().__init__(PlateWire(), {"open": self._open, "index": self._index, "visit": self._visit})
        self.send(plates=_plate_parts(layout))

    def update(self, snapshot: Snapshot, class_name: str | None) -> None:
        """Draw another state, or another class."""
        self._active, overview = class_name, snapshot.overview
        found = overview.by_class.get(class_name) if class_name else None
        if self._drawn != (overview.version, class_name):
            self._drawn = (overview.version, class_name)
            wells = self._wells_in(overview)
            self.counts.data = {"n": counts_above(found, wells, self._n_wells).ravel()}
            n_seen = np.bincount(wells[wells >= 0], minlength=self._n_wells)
            self.send(shown={"name": class_name, "has": found is not None, "n_seen": n_seen, "n_steps": N_STEPS})
        job = next((job for job in snapshot.jobs if job.kind == "index" and not job.is_over), None)
        self.send(
            state={
                "state": overview.state,
                "message": overview.message,
                "n_unseen": overview.n_unseen,
                "unseen_bytes": overview.unseen_bytes,
                "n_images": len(self._names),
                "is_indexing": job is not None,
                "done": job.n_done if job else 0,
                "total": job.n_tasks if job else 0,
            }
        )

    def close(self) -> None:
        """Watch no more."""
        self._end()

    @property
    def _n_wells(self) -> int:
        return int(self._wells.max(initial=-1)) + 1

    def _wells_in(self, overview: PlateOverview) -> NDArray[np.intp]:
        """Return the number of the well of each image of an overview."""
        return self._wells[[self._context.urls.indices[name] for name in overview.images]]

    def _open(self, message: Message) -> None:
        self._end()
        self._end = self._context.live.watch_plates() if message["on"] else lambda: None

    def _index(self, _: Message) -> None:
        self._context.do(_look_at_all)

    def _visit(self, message: Message) -> None:
        """Display the image of a well in which most looks like the active class, and go to the place that does most."""
        overview, well = self._context.live.snapshot.overview, int(message["well"])
        images = [self._names[index] for index in np.flatnonzero(self._wells == well)]
        found = overview.by_class.get(self._active) if self._active else None
        place = best_place(found, overview.images, images, float(message["least"])) if found else None
        if place is None:
            height, width = self._context.live.snapshot.curation.shapes[images[0]]
            place = images[0], height / 2, width / 2
        self._context.do(self._display, *place)

    def _display(self, live: LiveStudy, user: str, image: str, y: float, x: float) -> None:
        show_images(live, user, [image], is_on=True)
        self._context.doc.add_next_tick_callback(partial(self._on_visit, image, y, x))


def counts_above(found: RankedPeaks | None, wells: NDArray[np.intp], n_wells: int) -> NDArray[np.uint16]:
    """Count the places of each well that are at least so similar.

    Parameters
    ----------
    found : RankedPeaks or None
        The places.
    wells : (N,) array
        Number of the well of each image that they refer to; -1 for images in none.
    n_wells : int
        How many wells there are.

    Returns
    -------
    (n_wells, N_STEPS + 1) array
        Column i is of a similarity of at least i thousandths; 65,535 stands for all that is more.

    Examples
    --------
    >>> from simsearch.core.ranked_peaks import ranked_tables
    >>> found = ranked_tables([np.array([[1.0, 1.0, 0.5]]), np.array([[1.0, 1.0, 0.2], [5.0, 5.0, 0.9]])])
    >>> counts_above(found, np.array([0, 1]), 2)[:, [0, 500, 501, 900]].tolist()
    [[1, 1, 0, 0], [2, 1, 1, 1]]
    """
    counts = np.zeros((n_wells, N_STEPS + 1), np.int64)
    if found is not None and len(found):
        well = wells[found.image]
        # Scores are single precision: 0.7 is to be at least 0.7.
        step = np.clip(np.floor(found.score.astype(np.float64) * N_STEPS + 1e-4), 0, N_STEPS).astype(np.intp)
        np.add.at(counts, (well[well >= 0], step[well >= 0]), 1)
    above = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    found_above: NDArray[np.uint16] = np.minimum(above, _MOST).astype(np.uint16)
    return found_above


def best_place(
    found: RankedPeaks, names: Sequence[str], images: Sequence[str], least: float
) -> tuple[str, float, float] | None:
    """Find the most similar place in that one of some images where most places are at least so similar, if any is."""
    counts = {name: 0 for name in images if name in names}
    first: dict[str, tuple[str, float, float]] = {}
    places = [names.index(name) for name in counts]
    for row in np.flatnonzero(np.isin(found.image, places)):  # the best first
        name = names[found.image[row]]
        counts[name] += bool(found.score[row] >= least)
        first.setdefault(name, (name, float(found.y[row]), float(found.x[row])))
    ranked = sorted(first, key=lambda name: -counts[name])
    return first[ranked[0]] if ranked else None


def _look_at_all(live: LiveStudy, user: str) -> None:
    live.look_at_all(user)


def _wells_of(layout: Layout, n_images: int) -> NDArray[np.intp]:
    """Return the number of the well of each image, over all plates; -1 for images in none."""
    wells, known = np.full(n_images, -1, np.intp), dict[tuple[int, str], int]()
    for number, plate in enumerate(layout.plates):
        for field in plate.fields:
            wells[field.image] = known.setdefault((number, field.well.name), len(known))
    return wells


def _plate_parts(layout: Layout) -> list[dict[str, Any]]:
    """Write plates for a script to draw: their wells in the order of `_wells_of`."""
    parts = []
    for plate in layout.plates:
        wells = {field.well.name: field.well for field in plate.fields}
        parts.append(
            {
                "name": plate.name,
                "wells": [{"well": name, "row": well.row, "column": well.column} for name, well in wells.items()],
            }
        )
    return parts
