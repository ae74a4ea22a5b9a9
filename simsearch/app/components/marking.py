"""What people draw in the image with the mouse or keys, and what they do to boxes that are there.

The browser knows what is selected; here each of its wishes becomes a deed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.session.boxes import give_box_to_class, move_box, outline, remove_box, resize_box
from simsearch.app.session.judging import DrawnBox, draw_prototype, toggle_negative
from simsearch.app.session.judging_background import draw_background, toggle_background
from simsearch.curation.outlines import RemoveRegion, RenameRegion
from simsearch.curation.state import Patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.state import Curation, RoiClass


class MarkingWire(Wire):
    """What the bar below the image draws."""

    classes = Part()
    sizes = Part()


class Marking(Island):
    """Draws boxes, negatives and background, and changes boxes.

    Parameters
    ----------
    context : PageContext
        Of the page.
    active : callable
        Names the class that boxes and negatives are of; None if there is none yet.
    """

    def __init__(self, context: PageContext, active: Callable[[], str | None]) -> None:
        self._context, self._active = context, active
        self._names = {index: name for name, index in context.urls.indices.items()}
        self._tool = "box"
        super().__init__(
            MarkingWire(),
            {
                "tool": self._take_tool,
                "draw": self._draw_message,
                "toggle": self._toggle,
                "move": lambda message: context.do(move_box, str(message["id"]), *_place(message)),
                "resize": self._resize,
                "give": lambda message: context.do(give_box_to_class, str(message["id"]), str(message["to"])),
                "remove": lambda message: context.do(remove_box, str(message["id"])),
                "rename_region": lambda message: context.act(
                    RenameRegion(self._image(message), str(message["name"]), str(message["new_name"]).strip())
                ),
                "remove_region": lambda message: context.act(RemoveRegion(self._image(message), str(message["name"]))),
                "not_background": lambda message: context.do(toggle_background, str(message["id"])),
            },
        )

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        curation = snapshot.curation
        self.send(
            classes=[_class_part(curation, each) for each in curation.classes],
            sizes={"background": curation.patch_shape, "is_one": curation.has_one_patch},
        )

    def draw(self, image: str, y: float, x: float, height: float, width: float) -> None:
        """Take a box that was drawn with the mouse, for what the tool is about."""
        self._draw(self._tool, DrawnBox(image, y, x, height, width))

    def _draw(self, tool: str, box: DrawnBox) -> None:
        name = self._active()
        if tool == "background":
            self._context.do(draw_background, box.image, box.y, box.x)
        elif tool == "region":
            self._context.do(outline, box)
        elif tool == "box":
            self._context.do(draw_prototype, name, box)
        elif name is not None:
            self._context.do(toggle_negative, name, Patch.at(box.image, box.y, box.x))

    def _image(self, message: Message) -> str:
        return self._names[int(message["image"])]

    def _take_tool(self, message: Message) -> None:
        self._tool = str(message["name"])

    def _draw_message(self, message: Message) -> None:
        sides = (float(message.get(side) or 0) for side in ("height", "width"))
        self._draw(str(message["tool"]), DrawnBox(self._image(message), *_place(message), *sides))

    def _toggle(self, message: Message) -> None:
        at = Patch.at(self._image(message), *_place(message))
        self._context.do(toggle_negative, str(message["name"]), at)

    def _resize(self, message: Message) -> None:
        shape = float(message["height"]), float(message["width"])
        self._context.do(resize_box, str(message["id"]), _place(message), shape)


def _place(message: Message) -> tuple[float, float]:
    return float(message["y"]), float(message["x"])


def _class_part(curation: Curation, roi_class: RoiClass) -> dict[str, Any]:
    return {
        "name": roi_class.name,
        "color": roi_class.color,
        "shape": curation.shape_of(roi_class) if curation.has_one_patch else roi_class.patch_shape,
        "n_boxes": len(roi_class.prototypes),
        "n_patches": sum(1 for _ in roi_class.patches()),
        "is_accepted": roi_class.is_accepted,
    }
