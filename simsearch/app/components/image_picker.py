"""Choose which images are displayed: on their plates, among thumbnails, at random, or those that differ most."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from simsearch.app.components.island import Island, Part, Wire
from simsearch.curation.actions import ChooseImages
from simsearch.errors import CurationError, SimSearchError
from simsearch.workflows.curate.layout import PlateLayout, find_layout, treatments

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        super().__init__(
            PickerWire(), {"show": self._show, "only": self._only, "random": self._random, "diverse": self._diverse}
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

    async def _read_treatments(self) -> None:
        self.send(treatments=[await asyncio.to_thread(_treatments, plate) for plate in self._layout.plates])


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


def _treatments(plate: PlateLayout) -> dict[str, str]:
    try:
        return treatments(plate)
    except SimSearchError:  # a plate without its map can still be chosen from
        return {}
