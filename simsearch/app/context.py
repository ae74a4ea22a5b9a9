"""What a page is given, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Concatenate, ParamSpec

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.models import Model

    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.app.urls import Urls
    from simsearch.curation.actions import Action
    from simsearch.io.pictures.render import ShownChannel


P = ParamSpec("P")


def _at_once(work: Callable[[], object]) -> None:
    work()


def _unknown(_: str) -> None:
    return None


def _none(_: str) -> tuple[ShownChannel, ...]:
    return ()


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
    pixel_size_um: Callable[[str], float | None] = _unknown
    """Size of a pixel of an image, where known. It may read the image: not to be called in the event loop."""
    fitting_channels: Callable[[str], tuple[ShownChannel, ...]] = _none
    """How all channels of an image look best; none where it cannot be read. Not to be called in the event loop."""
    run: Callable[[Callable[[], object]], None] = _at_once
    """Does something that may take a while: outside the event loop, in order, and what fails is shown in the page."""

    def do(self, deed: Callable[Concatenate[LiveStudy, str, P], object], *args: P.args, **options: P.kwargs) -> None:
        """Have the person do what a function does, whose first arguments are the study and who."""
        self.run(partial(deed, self.live, self.user, *args, **options))

    def act(self, action: Action) -> None:
        """Have the person do something to the curation."""
        self.run(partial(self.live.act, self.user, action))


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
