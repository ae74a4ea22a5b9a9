"""The page on which one draws boxes, and judges what is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.class_list import ClassList
from simsearch.app.components.gallery import Gallery
from simsearch.app.components.marking import Marking
from simsearch.app.components.plate_panel import PlatePanel
from simsearch.app.components.viewing.viewer import Viewer
from simsearch.app.context import Page

if TYPE_CHECKING:
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot


def regions_page(context: PageContext) -> Page:
    """Make the page."""
    live = context.live
    marking = Marking(context, lambda: classes.active)

    def show_channels() -> None:
        classes.update(live.snapshot, viewer.channels)
        gallery.update(live.snapshot, classes.active, viewer.channels)

    viewer = Viewer(context, on_box=marking.draw, on_channels=show_channels)
    gallery = Gallery(context, viewer.go_to)
    plate = PlatePanel(context, viewer.go_to)

    def show_active() -> None:
        viewer.activate(classes.active)
        gallery.update(live.snapshot, classes.active, viewer.channels)
        plate.update(live.snapshot, classes.active)

    classes = ClassList(context, show_active, viewer.go_to)

    def update(snapshot: Snapshot) -> None:
        before = classes.active
        viewer.update(snapshot)
        classes.update(snapshot, viewer.channels)
        marking.update(snapshot)
        gallery.update(snapshot, classes.active, viewer.channels)
        plate.update(snapshot, classes.active)
        if classes.active != before:
            viewer.activate(classes.active)

    roots = {
        "viewer": viewer.figure,
        "viewer_bar": viewer.bar,
        "marking": marking.root,
        "classes": classes.root,
        "gallery": gallery.root,
        "gallery_peaks": gallery.peaks,
        "patch_map": gallery.map.figure,
        "plate": plate.root,
        "plate_counts": plate.counts,
    }
    return Page(roots, update, plate.close)
