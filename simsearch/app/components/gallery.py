"""The gallery of what is suggested for the active class, by similarity, with the threshold that filters it.

The browser filters and counts: the server hears of a threshold when the drag ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource

from simsearch.app.components.class_list import crop_part, patch_parts
from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.components.judgements import judging_messages
from simsearch.app.components.patch_map import PatchMapFigure
from simsearch.app.session.judging import accept_class, toggle_negative
from simsearch.curation.actions import SetSimilarityThreshold
from simsearch.curation.checks import common_shape
from simsearch.curation.questions import open_questions
from simsearch.curation.state import NEAR, Patch, singled_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.state import Curation, RoiClass
    from simsearch.io.pictures.render import ShownChannel

_CROP_PX = 128
_COLUMNS = ("image", "y", "x", "score")


class GalleryWire(Wire):
    """What the gallery draws, apart from the peaks."""

    about = Part()
    classes = Part()
    marks = Part()
    questions = Part()
    progress = Part()
    map = Part()


class Gallery(Island):
    """Shows suggestions for one class.

    Parameters
    ----------
    context : PageContext
        Of the page.
    on_visit : callable
        Called with the image, y and x of a suggestion that the person wants to see.
    """

    def __init__(self, context: PageContext, on_visit: Callable[[str, float, float], None]) -> None:
        self._context, self._on_visit = context, on_visit
        self._names = {index: name for name, index in context.urls.indices.items()}
        self._drawn: tuple[int, str | None] | None = None
        self._active: str | None = None
        self._shown: Sequence[ShownChannel] = ()
        self._n_maps = 0
        self.peaks = ColumnDataSource(peak_columns(None, ()))
        self.map = PatchMapFigure(context)
        super().__init__(
            GalleryWire(),
            {
                "flag": self._flag,
                **judging_messages(context),
                "threshold": self._threshold,
                "accept": self._accept,
                "map": self._lay_out,
                "visit": self._visit,
            },
        )

    def update(self, snapshot: Snapshot, class_name: str | None, shown: Sequence[ShownChannel] = ()) -> None:
        """Draw another state, or another class, with pictures in which channels are shown as in a viewer."""
        self._active, self._shown = class_name, shown
        curation, suggestions = snapshot.curation, snapshot.suggestions
        roi_class = next((each for each in curation.classes if each.name == class_name), None)
        found = suggestions.by_class.get(roi_class.name) if roi_class else None
        if self._drawn != (suggestions.version, class_name):
            self._drawn = (suggestions.version, class_name)
            places = [self._context.urls.indices[name] for name in suggestions.images]
            self.peaks.data = peak_columns(found, places)
        self.send(
            about=None if roi_class is None else self._about(snapshot, roi_class, shown),
            classes=[{"name": each.name, "color": each.color} for each in curation.classes],
            marks=self._marks(curation, roi_class),
            questions=self._questions(snapshot, class_name),
            progress={"state": suggestions.state, "message": suggestions.message, "note": suggestions.note},
        )

    def flag(self, class_name: str, image: str, y: float, x: float) -> None:
        """Flag a suggestion as negative, or take that back."""
        place = Patch.at(image, y, x)
        self._context.do(toggle_negative, class_name, place)

    def _about(self, snapshot: Snapshot, roi_class: RoiClass, shown: Sequence[ShownChannel]) -> dict[str, Any]:
        curation, urls = snapshot.curation, self._context.urls
        shape = curation.shape_of(roi_class)
        return {
            "name": roi_class.name,
            "color": roi_class.color,
            "n_prototypes": len(roi_class.prototypes),
            "is_accepted": roi_class.is_accepted,
            "n_accepted": len(roi_class.positives),
            "n_changes": roi_class.n_changes,
            "threshold": roi_class.similarity_threshold,
            "suggested": snapshot.suggestions.suggested_thresholds.get(roi_class.name),
            "shape": shape,
            "radius": NEAR * min(shape) if shape else 0,
            "crop": crop_part(curation, shape, urls, _CROP_PX, shown),
        }

    def _marks(self, curation: Curation, roi_class: RoiClass | None) -> dict[str, Any]:
        if roi_class is None or curation.patch_shape is None:
            return {"negatives": [], "prototypes": [], "confirmed": [], "others": []}
        indices, others = self._context.urls.indices, [each for each in curation.classes if each is not roi_class]
        return {
            "negatives": patch_parts(roi_class.negatives, indices),
            "prototypes": patch_parts(roi_class.prototypes, indices),
            "confirmed": patch_parts(roi_class.confirmed, indices),
            "others": [
                {
                    "name": each.name,
                    "color": each.color,
                    "radius": NEAR * min(common_shape(curation, roi_class, each)),
                    "patches": patch_parts(singled_out(each), indices),
                }
                for each in others
            ],
        }

    def _questions(self, snapshot: Snapshot, class_name: str | None) -> list[dict[str, Any]]:
        curation, suggestions = snapshot.curation, snapshot.suggestions
        found = suggestions.by_class.get(class_name) if class_name else None
        if class_name is None or found is None:
            return []
        least = curation.roi_class(class_name).similarity_threshold
        if least is None:
            least = suggestions.suggested_thresholds.get(class_name, 1.0)
        rows = open_questions(curation, class_name, suggestions.images, found, least)
        indices = self._context.urls.indices
        return [
            {
                "image": indices[suggestions.images[found.image[row]]],
                "y": float(found.y[row]),
                "x": float(found.x[row]),
                "score": float(found.score[row]),
            }
            for row in rows
        ]

    def _flag(self, message: Message) -> None:
        self.flag(str(message["name"]), self._names[int(message["image"])], float(message["y"]), float(message["x"]))

    def _threshold(self, message: Message) -> None:
        self._context.act(SetSimilarityThreshold(str(message["name"]), float(message["value"])))

    def _accept(self, message: Message) -> None:
        self._context.do(accept_class, str(message["name"]))

    def _lay_out(self, message: Message) -> None:
        curation = self._context.live.snapshot.curation
        name = str(message["name"])
        crop = crop_part(
            curation, curation.shape_of(curation.roi_class(name)), self._context.urls, _CROP_PX, self._shown
        )
        self.map.show(name, crop or "", self._laid_out)

    def _laid_out(self) -> None:
        self._n_maps += 1
        self.send(map=self._n_maps)

    def _visit(self, message: Message) -> None:
        self._on_visit(self._names[int(message["image"])], float(message["y"]), float(message["x"]))


def peak_columns(found: RankedPeaks | None, places: tuple[int, ...] | list[int]) -> dict[str, Any]:
    """Return peaks as columns of a Bokeh source, the best first.

    Parameters
    ----------
    found : RankedPeaks or None
        The peaks.
    places : sequence of int
        Place in the study of each image that the peaks refer to.

    Returns
    -------
    dict
        ``image`` (place in the study), ``y`` and ``x`` in level-0 pixels, ``score``. Scores stay exactly what they are:
        the browser must count as the server does.
    """
    if found is None:
        return {name: np.zeros(0, np.float32) for name in _COLUMNS}
    return {
        "image": np.asarray(places, np.int32)[found.image],
        "y": found.y.astype(np.float32),
        "x": found.x.astype(np.float32),
        "score": found.score,
    }
