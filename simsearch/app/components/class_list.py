"""The classes of regions: add, name, colour, remove, and the prototypes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.session.judging import PALETTE, new_class
from simsearch.curation.actions import RecolorClass, RemoveClass, RenameClass
from simsearch.curation.marks import RemovePrototype

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.app.urls import Urls
    from simsearch.curation.state import Curation, Patch, RoiClass
    from simsearch.io.pictures.render import ShownChannel

_CROP_PX = 96


class ClassesWire(Wire):
    """What the list of classes draws."""

    classes = Part()
    active = Part()
    prototypes = Part()


class ClassList(Island):
    """Lists classes, one of which is active: boxes, flags and the gallery are about it.

    Parameters
    ----------
    context : PageContext
        Of the page.
    on_active : callable
        Called when another class is active.
    on_visit : callable
        Called with the image, y and x of a prototype that the person wants to see.
    """

    def __init__(
        self, context: PageContext, on_active: Callable[[], None], on_visit: Callable[[str, float, float], None]
    ) -> None:
        self._context, self._on_active, self._on_visit = context, on_active, on_visit
        self._names: tuple[str, ...] = ()
        self._active: str | None = None
        self._wanted: str | None = None
        super().__init__(
            ClassesWire(),
            {
                "activate": lambda message: self.activate(str(message["name"])),
                "add": lambda _: context.run(self._add),
                "rename": self._rename,
                "recolor": lambda message: context.act(RecolorClass(str(message["name"]), str(message["color"]))),
                "remove": lambda message: context.act(RemoveClass(str(message["name"]))),
                "remove_prototype": lambda message: context.act(
                    RemovePrototype(str(message["name"]), str(message["id"]))
                ),
                "visit": self._visit,
            },
        )

    @property
    def active(self) -> str | None:
        """Name of the active class; None if there is no class."""
        return self._active

    def activate(self, name: str) -> None:
        """Make a class active, as soon as there is one of that name."""
        self._wanted = name
        if name in self._names:
            self._choose(self._names)
            self._on_active()

    def update(self, snapshot: Snapshot, shown: Sequence[ShownChannel] = ()) -> None:
        """Draw another state, with pictures in which channels are shown as in a viewer."""
        curation, urls = snapshot.curation, self._context.urls
        shapes = {each.name: curation.shape_of(each) for each in curation.classes}
        self._choose(tuple(each.name for each in curation.classes))
        self.send(
            classes={"list": [class_part(curation, each) for each in curation.classes], "palette": PALETTE},
            prototypes={
                "crops": {name: crop_part(curation, shape, urls, _CROP_PX, shown) for name, shape in shapes.items()},
                "of": {each.name: patch_parts(each.prototypes, urls.indices) for each in curation.classes},
            },
        )

    def _choose(self, names: tuple[str, ...]) -> None:
        """Keep the active class over changes: a renamed one stays active, after a removed one comes its neighbour."""
        before = self._active
        if self._wanted in names:
            self._active, self._wanted = self._wanted, None
        elif before not in names:
            place = self._names.index(before) if before in self._names else 0
            self._active = names[min(place, len(names) - 1)] if names else None
        self._names = names
        self.send(active=self._active)

    def _add(self) -> None:
        action = new_class(self._context.live.snapshot.curation)
        self._wanted = action.class_name
        self._context.live.act(self._context.user, action)

    def _rename(self, message: Message) -> None:
        name, new_name = str(message["name"]), str(message["new_name"]).strip()
        if name != new_name:
            self._context.act(RenameClass(name, new_name))

    def _visit(self, message: Message) -> None:
        for each in self._context.live.snapshot.curation.classes:
            for patch in each.prototypes:
                if patch.id == message["id"]:
                    self._on_visit(patch.image, patch.y, patch.x)


def class_part(curation: Curation, roi_class: RoiClass) -> dict[str, Any]:
    """Write a class for a script to draw."""
    return {
        "shape": curation.shape_of(roi_class) if roi_class.prototypes else None,
        "name": roi_class.name,
        "color": roi_class.color,
        "n_prototypes": len(roi_class.prototypes),
        "n_positives": len(roi_class.positives),
        "n_confirmed": len(roi_class.confirmed),
        "n_negatives": len(roi_class.negatives),
        "is_accepted": roi_class.is_accepted,
        "n_changes": roi_class.n_changes,
    }


def patch_parts(patches: Sequence[Patch], indices: Mapping[str, int]) -> list[dict[str, Any]]:
    """Write patches for a script to draw; images by their place in the study."""
    return [{"id": patch.id, "image": indices[patch.image], "y": patch.y, "x": patch.x} for patch in patches]


def crop_part(
    curation: Curation, shape: tuple[float, float] | None, urls: Urls, side_px: int, shown: Sequence[ShownChannel] = ()
) -> str | None:
    """Write where pictures of patches of a shape are; None before there is one.

    They show channels as a viewer does, or without one those that are looked at.
    """
    if shape is None:
        return None
    usual = urls.channels([curation.channel_names.index(name) for name in curation.channels])
    return urls.crop_template(shape, shown or usual, side_px)
