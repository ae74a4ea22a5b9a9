"""Choose which images are displayed: on plates, among thumbnails, at random, of each kind of well, or of all kinds."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.app.components.island import Island, Part, Wire
from simsearch.curation.actions import ChooseImages
from simsearch.errors import CurationError, SimSearchError
from simsearch.workflows.curate.layout import (
    Layout,
    PlateLayout,
    PlateMap,
    find_layout,
    plate_maps,
    telling_columns,
    treatments,
)
from simsearch.workflows.curate.plate_choice import choose_of_each, images_by_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.state import Curation


class PickerWire(Wire):
    """What the choice of images draws."""

    images = Part()
    displayed = Part()
    treatments = Part()
    columns = Part()


class ImagePicker(Island):
    """Chooses images.

    Parameters
    ----------
    context : PageContext
        Of the page.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context
        study = context.live.study
        self._names = [image.name for image in study.images]
        self._layout = find_layout(study.images)
        self._maps: list[PlateMap] = []
        super().__init__(
            PickerWire(),
            {"show": self._show, "only": self._only, "random": self._random, "diverse": self._diverse, "by": self._by},
        )
        self.send(
            images={
                "names": self._names,
                "thumbnail": context.urls.thumbnail_template(),
                "plates": [plate_part(plate) for plate in self._layout.plates],
                "others": self._layout.others,
            }
        )
        if self._layout.plates:
            context.doc.add_next_tick_callback(self._read_treatments)

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        shown = set(snapshot.curation.displayed)
        choosing = any(job.kind == "diverse" and not job.is_over for job in snapshot.jobs)
        marked = {patch.image for patch in snapshot.curation.patches()}
        self.send(
            displayed={
                "indices": [index for index, name in enumerate(self._names) if name in shown],
                "marked": [index for index, name in enumerate(self._names) if name in marked],
                "is_choosing": choosing,
            }
        )

    def _show(self, message: Message) -> None:
        names = [self._names[int(index)] for index in message["images"]]
        self._context.do(show_images, names, is_on=bool(message["on"]))

    def _only(self, message: Message) -> None:
        chosen = {int(index) for index in message["images"]}
        self._choose([self._names[index] for index in sorted(chosen)])

    def _random(self, message: Message) -> None:
        n = min(max(int(message["n"]), 1), len(self._names))
        self._choose(random.sample(self._names, n))

    def _diverse(self, message: Message) -> None:
        live, user = self._context.live, self._context.user
        n = min(max(int(message["n"]), 1), len(self._names))
        self._context.run(lambda: live.choose_diverse(user, n))

    def _choose(self, names: Iterable[str]) -> None:
        chosen = set(names)
        self._context.act(ChooseImages(tuple(name for name in self._names if name in chosen)))

    def _by(self, message: Message) -> None:
        by_value = images_by_value(self._maps, str(message["column"]))
        chosen = choose_of_each(by_value, max(int(message["n"]), 1), np.random.default_rng())
        if chosen:
            self._choose([self._names[index] for index in chosen])

    async def _read_treatments(self) -> None:
        self._maps = await asyncio.to_thread(_plate_maps, self._layout)
        self.send(treatments=[treatments(each) for each in self._maps], columns=column_parts(self._maps))


def show_images(live: LiveStudy, user: str, names: Iterable[str], *, is_on: bool) -> None:
    """Display some images too, or no longer.

    Raises
    ------
    CurationError
        If none would be left.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    chosen = with_images(curation, names, is_on=is_on)
    if not chosen:
        raise CurationError(
            "expected at least one image to be displayed, got none: choose another before this one goes"
        )
    if chosen != curation.displayed:
        live.act(user, ChooseImages(chosen))


def with_images(curation: Curation, names: Iterable[str], *, is_on: bool) -> tuple[str, ...]:
    """Name the images that are displayed when some are too, or no longer; in their order in the study."""
    changed = set(names)
    shown = set(curation.displayed)
    wanted = shown | changed if is_on else shown - changed
    return tuple(name for name in curation.shapes if name in wanted)


def plate_part(plate: PlateLayout) -> dict[str, Any]:
    """Write a plate for a script to draw."""
    wells: dict[str, dict[str, Any]] = {}
    for field in plate.fields:
        well = wells.setdefault(
            field.well.name, {"name": field.well.name, "row": field.well.row, "column": field.well.column, "images": []}
        )
        well["images"].append(field.image)
    return {"name": plate.name, "rows": plate.n_rows, "columns": plate.n_columns, "wells": list(wells.values())}


def column_parts(maps: Sequence[PlateMap]) -> list[dict[str, Any]]:
    """Write the columns of plate maps that images can be chosen by, for a script to offer."""
    columns = telling_columns([row for each in maps for row in each.rows])
    counts = {name: len(images_by_value(maps, name)) for name in columns}
    return [{"name": name, "n": n} for name, n in counts.items() if n > 1]


def _plate_maps(layout: Layout) -> list[PlateMap]:
    return [_plate_map(plate) for plate in layout.plates]


def _plate_map(plate: PlateLayout) -> PlateMap:
    try:
        return plate_maps(Layout((plate,), ()))[0]
    except SimSearchError:  # a plate without its map can still be chosen from
        return PlateMap(plate, ())
