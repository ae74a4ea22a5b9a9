"""The page on which one chooses the images to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.image_picker import ImagePicker
from simsearch.app.context import Page

if TYPE_CHECKING:
    from simsearch.app.context import PageContext


def images_page(context: PageContext) -> Page:
    """Make the page."""
    picker = ImagePicker(context)
    return Page({"picker": picker.root}, picker.update)
