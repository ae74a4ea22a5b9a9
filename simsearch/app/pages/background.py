"""The page on which one checks what is taken for background, and draws what else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.background_gallery import BackgroundGallery
from simsearch.app.components.viewing.scene import background_scene
from simsearch.app.components.viewing.viewer import Viewer
from simsearch.app.context import Page

if TYPE_CHECKING:
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot


def background_page(context: PageContext) -> Page:
    """Make the page."""
    viewer = Viewer(
        context,
        on_box=lambda *box: gallery.draw(*box[:3]),
        on_place=lambda *place: gallery.draw(*place),
        on_channels=lambda: gallery.update(context.live.snapshot, viewer.channels),
    )
    gallery = BackgroundGallery(context, viewer.go_to)

    def update(snapshot: Snapshot) -> None:
        viewer.draw(background_scene(snapshot), snapshot.curation)
        gallery.update(snapshot, viewer.channels)

    return Page({"viewer": viewer.figure, "viewer_bar": viewer.bar, "background": gallery.root}, update)
