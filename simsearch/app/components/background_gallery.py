"""The gallery of patches that may be background (paper algorithm 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsearch.app.components.class_list import crop_part, patch_parts
from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.session.judging_background import (
    accept_background,
    answer,
    draw_background,
    free_background,
    more_background,
    toggle_background,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.io.pictures.render import ShownChannel

_CROP_PX = 160


class BackgroundWire(Wire):
    """What the gallery draws."""

    patches = Part()
    about = Part()


class BackgroundGallery(Island):
    """Shows what is suggested as background.

    Parameters
    ----------
    context : PageContext
        Of the page.
    on_visit : callable
        Called with the image, y and x of a patch that the person wants to see.
    """

    def __init__(self, context: PageContext, on_visit: Callable[[str, float, float], None]) -> None:
        self._context, self._on_visit = context, on_visit
        self._names = {index: name for name, index in context.urls.indices.items()}
        super().__init__(
            BackgroundWire(),
            {
                "toggle": self._toggle,
                "answer": self._answer,
                "accept": lambda _: context.do(accept_background),
                "more": lambda _: context.do(more_background),
                "draw": self._draw,
                "visit": self._visit,
            },
        )

    def update(self, snapshot: Snapshot, shown: Sequence[ShownChannel] = ()) -> None:
        """Draw another state, with pictures in which channels are shown as in a viewer."""
        self.send(patches=self._patches(snapshot, shown), about=background_part(snapshot))

    def draw(self, image: str, y: float, x: float) -> None:
        """Add the patch around a place to the background."""
        self._context.do(draw_background, image, y, x)

    def _patches(self, snapshot: Snapshot, shown: Sequence[ShownChannel]) -> dict[str, Any]:
        curation, suggestions, urls = snapshot.curation, snapshot.suggestions, self._context.urls
        return {
            "crop": crop_part(curation, curation.patch_shape, urls, _CROP_PX, shown),
            "shape": curation.patch_shape,
            **{
                kind: patch_parts(getattr(suggestions, kind), urls.indices)
                for kind in ("difficult", "beside", "easy", "kept")
            },
            "flagged": patch_parts(curation.not_background, urls.indices),
            "asked": self._asked(snapshot, shown),
            "images": list(urls.indices),
        }

    def _asked(self, snapshot: Snapshot, shown: Sequence[ShownChannel]) -> list[dict[str, Any]]:
        curation, asked, urls = snapshot.curation, snapshot.suggestions.asked, self._context.urls
        looks = {
            each.name: {
                "color": each.color,
                "crop": crop_part(curation, curation.shape_of(each), urls, _CROP_PX, shown),
            }
            for each in curation.classes
        }
        parts = patch_parts([each.patch for each in asked], urls.indices)
        return [
            {**part, "class": each.class_name, **looks[each.class_name]}
            for each, part in zip(asked, parts, strict=True)
            if each.class_name in looks  # else it was removed just now
        ]

    def _answer(self, message: Message) -> None:
        self._context.do(answer, str(message["id"]), is_one=bool(message["is_one"]))

    def _toggle(self, message: Message) -> None:
        self._context.do(toggle_background, str(message["id"]))

    def _draw(self, message: Message) -> None:
        self.draw(*self._place(message))

    def _visit(self, message: Message) -> None:
        self._on_visit(*self._place(message))

    def _place(self, message: Message) -> tuple[str, float, float]:
        return self._names[int(message["image"])], float(message["y"]), float(message["x"])


def background_part(snapshot: Snapshot) -> dict[str, Any]:
    """Write how far the background is, for a script to draw."""
    curation, suggestions = snapshot.curation, snapshot.suggestions
    accepted = {(patch.image, patch.y, patch.x) for patch in curation.background}
    return {
        "has_prototypes": any(each.prototypes for each in curation.classes),
        "open_classes": [each.name for each in curation.classes if not each.is_accepted],
        "n_free": len(free_background(snapshot)),
        "n_accepted": len(accepted),
        "is_accepted": curation.is_background_accepted,
        "state": suggestions.state,
        "message": suggestions.message,
        "rounds": suggestions.background_rounds,
    }
