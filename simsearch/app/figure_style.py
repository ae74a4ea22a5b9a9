"""Figures that look like the page around them: `static/figures.js` gives them its colours, in light and dark."""

from __future__ import annotations

from typing import Any

from bokeh.plotting import figure

PICTURE = "picture"
"""Tag of figures whose surroundings stay dark, as microscopy images want them."""


def plain_figure(*, is_picture: bool = False, **options: Any) -> figure:  # noqa: ANN401  those of Bokeh's figure
    """Make a figure without the looks of a Bokeh demo.

    Parameters
    ----------
    is_picture : bool
        Whether it shows an image.
    **options
        Of `bokeh.plotting.figure`.
    """
    made = figure(**{"toolbar_location": None, "sizing_mode": "stretch_both", "tools": "", **options})
    made.toolbar.logo = None
    made.context_menu = None  # Bokeh's lists tools that the page has its own ways for
    made.outline_line_color = None
    made.min_border = 0
    if is_picture:
        made.tags = [PICTURE]
    return made
