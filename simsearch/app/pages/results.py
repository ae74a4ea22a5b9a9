"""The page on which one runs a model over all images, and looks at what it gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.result_board import ResultBoard
from simsearch.app.context import Page

if TYPE_CHECKING:
    from simsearch.app.context import PageContext


def results_page(context: PageContext) -> Page:
    """Make the page."""
    board = ResultBoard(context)
    return Page({"results": board.root}, board.update)
