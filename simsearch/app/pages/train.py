"""The page on which one trains a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.training import Training
from simsearch.app.context import Page

if TYPE_CHECKING:
    from simsearch.app.context import PageContext


def train_page(context: PageContext) -> Page:
    """Make the page."""
    training = Training(context)
    return Page({"training": training.root}, training.update)
