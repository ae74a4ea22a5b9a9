"""A map of suggestions for the active class: those that look alike lie near each other, and are picked with a lasso."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LassoSelectTool, WheelZoomTool

from simsearch.app.figure_style import plain_figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.app.context import PageContext
    from simsearch.workflows.curate.patch_map import PatchMap

_COLUMNS = ("across", "up", "image", "y", "x", "score", "color")
_TOOLTIP = '<img src="@crop" width="96" alt=""><div>@score{0.00}</div>'


class PatchMapFigure:
    """The map, which is empty until somebody asks for it.

    Parameters
    ----------
    context : PageContext
        Of the page.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context
        self._source = ColumnDataSource({name: [] for name in (*_COLUMNS, "crop")}, name="patch_map_points")
        self.figure = plain_figure(name="patch_map")
        self.figure.axis.visible = False
        self.figure.grid.visible = False
        points = self.figure.scatter(
            "across", "up", source=self._source, size=8, fill_color="color", line_color="white", line_width=0.5,
            fill_alpha=0.85, nonselection_fill_alpha=0.2, nonselection_line_alpha=0.2,
        )  # fmt: skip
        lasso, wheel = LassoSelectTool(renderers=[points], continuous=False), WheelZoomTool()
        self.figure.add_tools(lasso, wheel, HoverTool(renderers=[points], tooltips=_TOOLTIP, attachment="vertical"))
        self.figure.toolbar.active_drag = lasso
        self.figure.toolbar.active_scroll = wheel

    def show(self, class_name: str, crop: str, done: Callable[[], None]) -> None:
        """Lay out what is suggested for a class, in a moment.

        Parameters
        ----------
        class_name : str
            The class.
        crop : str
            Address of pictures, with ``{I}``, ``{Y}`` and ``{X}``.
        done : callable
            Called when the browser has been sent it.
        """
        self._source.data = map_columns(None, [], crop)  # that of before is of something else
        self._context.run(lambda: self._make(class_name, crop, done))

    def _make(self, class_name: str, crop: str, done: Callable[[], None]) -> None:
        snapshot = self._context.live.snapshot
        made = self._context.live.patch_map(class_name)
        places = [self._context.urls.indices[name] for name in snapshot.suggestions.images]
        columns = map_columns(made, places, crop)

        def tell() -> None:
            self._source.data = columns
            done()

        self._context.doc.add_next_tick_callback(tell)


def map_columns(made: PatchMap | None, places: list[int], crop: str) -> dict[str, Any]:
    """Return a map as columns of a Bokeh source.

    Parameters
    ----------
    made : PatchMap or None
        The map; there is none where nothing is suggested.
    places : list of int
        Place in the study of each image that its peaks refer to.
    crop : str
        Address of pictures, with ``{I}``, ``{Y}`` and ``{X}``.
    """
    if made is None:
        return {name: [] for name in (*_COLUMNS, "crop")}
    peaks, image = made.peaks, np.asarray(places, np.int32)[made.peaks.image]
    return {
        "across": made.places[:, 0],
        "up": made.places[:, 1],
        "image": image,
        "y": peaks.y.astype(np.float32),
        "x": peaks.x.astype(np.float32),
        "score": peaks.score,
        "color": ["#9aa0a6"] * len(peaks),  # the browser knows what was said of each
        "crop": [
            crop.replace("{I}", str(i)).replace("{Y}", f"{y:.2f}").replace("{X}", f"{x:.2f}")
            for i, y, x in zip(image, peaks.y, peaks.x, strict=True)
        ],
    }
