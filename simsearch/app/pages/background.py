"""The page on which one checks what is taken for background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.background_gallery import BackgroundGallery
from simsearch.app.context import Page

if TYPE_CHECKING:
    from simsearch.app.context import PageContext


def background_page(context: PageContext) -> Page:
    """Make the page."""
    gallery = BackgroundGallery(context)
    return Page({"background": gallery.root}, gallery.update)
