"""The page on which one chooses the channels that matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.channel_choice import ChannelChoice
from simsearch.app.context import Page

if TYPE_CHECKING:
    from simsearch.app.context import PageContext


def channels_page(context: PageContext) -> Page:
    """Make the page."""
    choice = ChannelChoice(context)
    return Page({"channels": choice.root}, choice.update)
