"""The page on which one runs a model over all images, looks at what it gave, and corrects that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.corrections import Corrections
from simsearch.app.components.results.board import ResultBoard
from simsearch.app.components.results.objects import ResultObjects
from simsearch.app.components.results.sample import ResultSample
from simsearch.app.components.viewing.scene import Scene
from simsearch.app.components.viewing.viewer import Viewer
from simsearch.app.context import Page

if TYPE_CHECKING:
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.workflows.run.results import ResultView


def results_page(context: PageContext) -> Page:
    """Make the page."""
    viewer = Viewer(
        context,
        on_flag=lambda *place: corrections.pick(*place),
        on_place=lambda *place: corrections.add(*place),
        on_channels=lambda: board.show_channels(viewer.channels),
    )
    corrections = Corrections(context, viewer)
    objects, sample = ResultObjects(context, viewer, corrections.choose), ResultSample(context)

    def show(run: ResultView | None, compared: ResultView | None) -> None:
        objects.show(run, compared)
        sample.show(run)
        corrections.update(context.live.snapshot, _learned(run, context.live.snapshot))

    board = ResultBoard(context, show)
    viewer.draw(Scene(()), context.live.snapshot.curation)  # its channels, which pictures of objects are shown in too

    def update(snapshot: Snapshot) -> None:
        board.update(snapshot)
        objects.update(snapshot)
        corrections.update(snapshot, _learned(board.run, snapshot))

    roots = {
        "viewer": viewer.figure,
        "viewer_bar": viewer.bar,
        "results": board.root,
        "objects": objects.root,
        "sample": sample.root,
        "corrections": corrections.root,
    }
    return Page(roots, update)


def _learned(run: ResultView | None, snapshot: Snapshot) -> str | None:
    """Tell by when the model of a run had learned what it knows; if that is gone, when the run ended."""
    if run is None:
        return None
    return next((each.created for each in snapshot.models if each.sha256 == run.model), run.finished)
