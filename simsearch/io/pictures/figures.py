"""Figures without a window, in which names are drawn as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from simsearch.io.places import replacing

if TYPE_CHECKING:
    from pathlib import Path


def new_figure(size: tuple[float, float]) -> Figure:
    """Make a figure of a width and height in inches, without global state."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure as PNG. What stands between two $ is a name like others, and no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with replacing(path) as complete:
        figure.savefig(complete, dpi=dpi, format="png")
