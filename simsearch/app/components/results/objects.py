"""What a run found, one by one: a table that sorts and filters, and any image of the run with its boxes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.components.judgements import SaidPlaces
from simsearch.app.components.viewing.scene import found_scene
from simsearch.app.words import plainly
from simsearch.curation.state import Patch
from simsearch.errors import SimSearchError
from simsearch.workflows.run.found_objects import ORDERS, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from simsearch.app.components.island import Message
    from simsearch.app.components.viewing.viewer import Viewer
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.state import Curation
    from simsearch.workflows.run.found_objects import FoundObject, FoundObjects
    from simsearch.workflows.run.results import ResultView

N_ROWS = 100
"""Rows of a page of the table."""


class ObjectsWire(Wire):
    """What the table draws."""

    table = Part()


class ResultObjects(Island):
    """Shows what a run found.

    Parameters
    ----------
    context : PageContext
        Of the page.
    viewer : Viewer
        Shows images with it.
    on_chosen : callable
        Called with class, image, y and x of an object that somebody wants to see.
    """

    def __init__(
        self, context: PageContext, viewer: Viewer, on_chosen: Callable[[str, str, float, float], None]
    ) -> None:
        self._context, self._viewer, self._on_chosen = context, viewer, on_chosen
        self._result: ResultView | None = None
        self._compared: ResultView | None = None
        self._found: FoundObjects | None = None
        self._other: FoundObjects | None = None
        self._curation: Curation | None = None
        self._wanted, self._start = Wanted(), 0
        self._rows: tuple[Wanted, NDArray[Any]] | None = None
        self._look: Message | None = None
        super().__init__(ObjectsWire(), {"table": self._ask, "look": self._take_look})

    def show(self, result: ResultView | None, compared: ResultView | None) -> None:
        """Show another run, and what a second one found beside it."""
        if result is not None and result.kind == "detect":
            self._context.doc.add_next_tick_callback(partial(self._read, result, compared))
        self._result, self._compared = result, compared

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        if snapshot.curation is not self._curation:
            self._curation = snapshot.curation
            self._draw_table()
            self._draw_image()

    async def _read(self, result: ResultView, compared: ResultView | None) -> None:
        live = self._context.live
        try:
            found = await asyncio.to_thread(live.found, result.id)
            other = await asyncio.to_thread(live.found, compared.id) if compared else None
        except SimSearchError as error:
            self.send(table={"run": result.id, "problem": plainly(error)})
            return
        if (result, compared) == (self._result, self._compared):
            self.take(found, other)

    def take(self, found: FoundObjects, other: FoundObjects | None = None) -> None:
        """Show what was read."""
        images = tuple(dict.fromkeys((*found.images, *(other.images if other else ()))))
        self._found, self._other = found.over(images), other.over(images) if other else None
        self._rows = None
        self._draw_table()
        self._draw_image()
        if self._look is not None:
            self._go(self._look)

    def _ask(self, message: Message) -> None:
        order = str(message.get("order") or "image")
        self._wanted = Wanted(
            class_name=str(message.get("class") or ""),
            within=str(message.get("within") or ""),
            find=str(message.get("find") or ""),
            least=float(message.get("least") or 0.0),
            most=float(message.get("most") or 1.0),
            order=order if order in ORDERS else "image",
            is_descending=bool(message.get("is_descending")),
            has_nearly=bool(message.get("has_nearly")),
        )
        self._start = max(0, int(message.get("start") or 0))
        self._draw_table()

    def _draw_table(self) -> None:
        if self._found is None or self._result is None:
            return
        if self._rows is None or self._rows[0] != self._wanted:
            self._rows = self._wanted, self._found.rows(self._wanted)
        rows = self._rows[1]
        start = self._start if self._start < len(rows) else 0
        page = self._found.take(rows[start : start + N_ROWS])
        said = SaidPlaces(self._context.live.snapshot.curation)
        self.send(
            table={
                "run": self._result.id,
                "start": start,
                "n": N_ROWS,
                "total": len(rows),
                "shapes": self._found.patch_shapes,
                "rows": [row_part(each, self._context.urls.indices.get(each.image), said) for each in page],
            }
        )

    def _take_look(self, message: Message) -> None:
        self._look = message if message.get("image") in self._context.urls.indices else None
        if self._look is not None:
            self._go(self._look)

    def _go(self, look: Message) -> None:
        """Go to an image or, with y and x, to a place in it."""
        if self._found is None:
            return
        image, class_name = str(look["image"]), str(look.get("class") or "")
        self._draw_image(image)
        if look.get("y") is not None:
            y, x = float(look["y"]), float(look["x"])
            self._viewer.go_to(image, y, x)
            if class_name:
                self._on_chosen(class_name, image, y, x)

    def _draw_image(self, image: str | None = None) -> None:
        """Draw what was found on the image that is looked at, if one is, with its neighbours as tabs."""
        if self._look is None or self._found is None:
            return
        curation = self._context.live.snapshot.curation
        name = image or self._viewer.image
        images = neighbours(name, self._images())
        self._viewer.draw(found_scene(curation, images, self._found, self._other), curation, name)

    def _images(self) -> Sequence[str]:
        of_run = [each.image for each in self._result.images] if self._result else []
        known = self._context.urls.indices
        return [name for name in of_run or (self._found.images if self._found else ()) if name in known]


def neighbours(image: str, images: Sequence[str]) -> tuple[str, ...]:
    """Name the images beside one: of a plate the fields of its well, else all.

    Examples
    --------
    >>> neighbours("P/A/01/1", ["P/A/01/0", "P/A/01/1", "P/A/02/0"])
    ('P/A/01/0', 'P/A/01/1')
    >>> neighbours("b", ["a", "b"])
    ('a', 'b')
    """
    parts = image.split("/")
    well = f"{'/'.join(parts[:3])}/" if len(parts) == 4 else ""
    beside = tuple(name for name in images if name.startswith(well))
    return beside if image in beside else (image, *beside)


def row_part(found: FoundObject, place: int | None, said: SaidPlaces) -> dict[str, Any]:
    """Write an object for a script to draw; `place` is that of its image in the study, if it is of that."""
    return {
        "image": found.image,
        "place": place,
        "well": found.well,
        "class": found.class_name,
        "y": round(found.y, 1),
        "x": round(found.x, 1),
        "confidence": round(found.confidence, 4),
        "is_object": found.is_object,
        **said.said(found.class_name, Patch.at(found.image, found.y, found.x)),
    }
