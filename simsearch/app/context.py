"""What a page is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.models import Model

    from simsearch.app.live import LiveStudy
    from simsearch.app.snapshot import Snapshot
    from simsearch.app.urls import Urls


@dataclass(frozen=True, slots=True)
class PageContext:
    """What a page is made from."""

    live: LiveStudy
    """The study, shared by all who have it open."""
    user: str
    """Who looks at the page."""
    doc: Document
    """The page's own document."""
    urls: Urls
    """Addresses of pictures, pages and downloads."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as one person sees it."""

    roots: Mapping[str, Model]
    """What it is made of, by the name of its place in the template."""
    update: Callable[[Snapshot], None]
    """Draws another state."""
    close: Callable[[], None] = field(default=lambda: None)
    """Called when the browser has gone."""


PageFunction = Callable[[PageContext], Page]
