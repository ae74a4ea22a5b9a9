"""What every page shares: its frame, its template, how it hears of changes and how it lets go."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bokeh.models import ImportedStyleSheet
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Widget
from jinja2 import Environment, FileSystemLoader

from simsearch.app.components.frame import Frame
from simsearch.app.session.deeds import Deeds
from simsearch.app.steps import STEPS
from simsearch.app.urls import scripts_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document
    from bokeh.models import Model
    from jinja2 import Template

    from simsearch.app.context import Page, PageContext, PageFunction
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot

_TEMPLATES = Path(__file__).parent / "templates"


def mount_page(context: PageContext, name: str, make_page: PageFunction) -> None:
    """Put a page into its document, and draw what changes for as long as the browser is there.

    Parameters
    ----------
    context : PageContext
        The page's document, and what the page is made from.
    name : str
        Of the page: its template is ``templates/NAME.html``, or the plain one.
    make_page : callable
        Makes the page.
    """
    doc = context.doc
    frames: list[Frame] = []

    def report(n_waiting: int, error: str) -> None:
        doc.add_next_tick_callback(lambda: frames[0].report(n_waiting, error))

    deeds = Deeds(report)
    context = replace(context, run=deeds)
    frames.append(Frame(context))
    page = make_page(context)
    roots: dict[str, Model] = {"frame": frames[0].root, **page.roots}
    _dress(doc, context, name, roots)

    def draw(snapshot: Snapshot) -> None:
        frames[0].update(snapshot)
        page.update(snapshot)

    unfollow = follow(doc, context.live, draw)
    doc.on_session_destroyed(lambda _: _let_go(unfollow, deeds, page))


def follow(doc: Document, live: LiveStudy, draw: Callable[[Snapshot], None]) -> Callable[[], None]:
    """Draw what there is now, and then each newer state, in the document's own turn.

    While one waits to be drawn, further ones only take its place: a page that is slow does not fall behind.

    Returns
    -------
    callable
        Ends it.
    """
    waiting: list[bool] = []

    def draw_newest() -> None:
        waiting.clear()
        draw(live.snapshot)

    def hear(_: Snapshot) -> None:
        if not waiting:
            waiting.append(True)
            doc.add_next_tick_callback(draw_newest)

    unsubscribe = live.subscribe(hear)
    draw(live.snapshot)
    return unsubscribe


def _let_go(unfollow: Callable[[], None], deeds: Deeds, page: Page) -> None:
    unfollow()
    deeds.close()
    page.close()


def _dress(doc: Document, context: PageContext, name: str, roots: dict[str, Model]) -> None:
    sheet = ImportedStyleSheet(url=context.urls.asset("widgets.css"))
    with doc.models.freeze():  # else Bokeh goes through all of them after each
        for key, root in roots.items():
            root.name = key
            for widget in root.select({"type": Widget}):
                if isinstance(widget, Widget):
                    widget.stylesheets = [*widget.stylesheets, sheet]
            doc.add_root(root)
    title = next((step.title for step in STEPS if step.name == name), name.capitalize())
    study = context.live.study
    doc.title = f"{title} · {study.folder.resolve().name}"
    doc.config.notify_connection_status = False  # the page says so itself
    doc.config.reconnect_session = False  # it loads itself again: a server that was restarted knows no old session
    doc.template = _template(name)
    doc.template_variables.update(
        page=name,
        steps=STEPS,
        study=study.folder.resolve().name,
        user=context.user,
        wires=[key for key, root in roots.items() if not isinstance(root, UIElement)],
        views=[key for key, root in roots.items() if isinstance(root, UIElement)],
        asset=context.urls.asset,
        address=context.urls.page,
        scripts=scripts_version(),
    )


@cache
def _templates() -> Environment:
    return Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True)


def _template(name: str) -> Template:
    return _templates().select_template([f"{name}.html", "page.html"])
