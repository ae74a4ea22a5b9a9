"""The page on which one chooses how sure a model must be, and corrects what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.components.confidence_choice import ConfidenceChoice
from simsearch.app.components.corrections import Corrections
from simsearch.app.components.viewing.scene import Scene
from simsearch.app.components.viewing.viewer import Viewer
from simsearch.app.context import Page

if TYPE_CHECKING:
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot


def confidence_page(context: PageContext) -> Page:
    """Make the page."""
    viewer = Viewer(
        context, on_flag=lambda *place: corrections.pick(*place), on_place=lambda *place: corrections.add(*place)
    )
    corrections = Corrections(context, viewer)
    choice = ConfidenceChoice(context, viewer.draw)

    def update(snapshot: Snapshot) -> None:
        if not viewer.image:  # the images can be seen before anything is found on them
            viewer.draw(Scene(snapshot.curation.displayed), snapshot.curation)
        choice.update(snapshot)
        model = choice.model(snapshot)
        corrections.update(snapshot, model.created if model else None)

    roots = {
        "viewer": viewer.figure,
        "viewer_bar": viewer.bar,
        "corrections": corrections.root,
        "confidence": choice.root,
        "confidence_peaks": choice.peaks,
    }
    return Page(roots, update)
