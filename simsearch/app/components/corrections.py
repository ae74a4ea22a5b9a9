"""The bar below a viewer of what a model found: what is right, wrong, of another class, or was missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.components.judgements import SaidPlaces, judged_since, judging_messages
from simsearch.app.components.viewing.scene import chosen_mark
from simsearch.app.session.judging import add_missed
from simsearch.curation.state import Patch

if TYPE_CHECKING:
    from simsearch.app.components.island import Message
    from simsearch.app.components.viewing.viewer import Viewer
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.state import Curation


class CorrectionsWire(Wire):
    """What the bar draws."""

    classes = Part()
    chosen = Part()
    judged = Part()


class Corrections(Island):
    """Says of what a model found whether it is right.

    Parameters
    ----------
    context : PageContext
        Of the page.
    viewer : Viewer
        Shows what was found.
    """

    def __init__(self, context: PageContext, viewer: Viewer) -> None:
        self._context, self._viewer = context, viewer
        self._curation: Curation | None = None
        self._chosen: tuple[str, Patch] | None = None
        self._missing: str | None = None
        super().__init__(
            CorrectionsWire(),
            {**judging_messages(context), "leave": lambda _: self.leave(), "missing": self._take_missing},
        )

    def update(self, snapshot: Snapshot, since: str | None) -> None:
        """Draw another state, where what is shown was learned by a time in ISO 8601 with UTC, if anything is shown."""
        curation = snapshot.curation
        self.send(
            classes=[
                {"name": each.name, "color": each.color, "shape": curation.shape_of(each)} for each in curation.classes
            ],
            judged=None if since is None else judged_since(snapshot.history, since),
        )
        if curation is not self._curation:
            self._curation = curation
            self._draw_chosen()

    def choose(self, class_name: str, image: str, y: float, x: float) -> None:
        """Point out an object, which is then judged."""
        self._chosen = class_name, Patch.at(image, y, x)
        self._draw_chosen()

    def pick(self, class_name: str, image: str, y: float, x: float) -> None:
        """Take a click on an object."""
        if self._missing is None:
            self.choose(class_name, image, y, x)

    def add(self, image: str, y: float, x: float) -> None:
        """Take a click on any place: where somebody adds what was missed, there is one."""
        if self._missing is not None:
            self._context.do(add_missed, self._missing, Patch.at(image, y, x))

    def leave(self) -> None:
        """Point out no object any more."""
        self._chosen = None
        self._draw_chosen()

    def _take_missing(self, message: Message) -> None:
        self._missing = str(message["name"]) if message["name"] else None

    def _draw_chosen(self) -> None:
        if self._chosen is None:
            self._viewer.point_out(None)
            self.send(chosen=None)
            return
        class_name, at = self._chosen
        layer = self._viewer.layer(class_name)
        self._viewer.point_out(chosen_mark(at, layer.patch_shape) if layer else None)
        self.send(chosen=self._part(class_name, at))

    def _part(self, class_name: str, at: Patch) -> dict[str, Any]:
        curation = self._context.live.snapshot.curation
        place = {"image": self._context.urls.indices[at.image], "y": at.y, "x": at.x}
        score = self._viewer.score(class_name, at)
        return {"class": class_name, "place": place, "score": score, **SaidPlaces(curation).said(class_name, at)}
