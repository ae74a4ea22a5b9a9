"""The page on which one draws boxes, and judges what is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.class_list import ClassList
from simsearch.app.components.gallery import Gallery
from simsearch.app.components.plate_panel import PlatePanel
from simsearch.app.components.viewer import Viewer
from simsearch.app.context import Page
from simsearch.app.session.judging import DrawnBox, draw_prototype

if TYPE_CHECKING:
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot


def regions_page(context: PageContext) -> Page:
    """Make the page."""
    live = context.live

    def take_box(image: str, y: float, x: float, height: float, width: float) -> None:
        box, class_name = DrawnBox(image, y, x, height, width), classes.active
        context.do(draw_prototype, class_name, box)

    viewer = Viewer(context, on_box=take_box, on_flag=lambda *place: gallery.flag(*place))
    gallery = Gallery(context, viewer.go_to)
    plate = PlatePanel(context, viewer.go_to)

    def show_active() -> None:
        viewer.activate(classes.active)
        gallery.update(live.snapshot, classes.active)
        plate.update(live.snapshot, classes.active)

    classes = ClassList(context, show_active, viewer.go_to)

    def update(snapshot: Snapshot) -> None:
        before = classes.active
        classes.update(snapshot)
        viewer.update(snapshot)
        gallery.update(snapshot, classes.active)
        plate.update(snapshot, classes.active)
        if classes.active != before:
            viewer.activate(classes.active)

    roots = {
        "viewer": viewer.figure,
        "viewer_bar": viewer.bar,
        "classes": classes.root,
        "gallery": gallery.root,
        "gallery_peaks": gallery.peaks,
        "plate": plate.root,
        "plate_counts": plate.counts,
    }
    return Page(roots, update, plate.close)
