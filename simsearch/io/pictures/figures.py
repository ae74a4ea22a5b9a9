"""Figures without a window, in which names are drawn as they are."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from simsearch.core.checks.names import in_one_line
from simsearch.io.pictures.drawing import vector_of
from simsearch.io.places import replacing

if TYPE_CHECKING:
    from pathlib import Path


_HEAD, _TAIL = 40, 12  # characters of a line; beside a whole name of 200 there is no room for what it explains


def new_figure(size: tuple[float, float]) -> Figure:
    """Make a figure of a width and height in inches, without global state."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure as PNG, and as SVG beside it.

    What stands between two $ is a name, and no formula; long names are cut in the middle.

    Parameters
    ----------
    figure : Figure
        What is drawn.
    path : Path
        Of the PNG; the SVG is its `vector_of`.
    dpi : int
        Pixels of an inch.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text("\n".join(map(_cut, text.get_text().split("\n"))))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)  # a box stands for it
        with replacing(path) as complete:
            figure.savefig(complete, dpi=dpi, format="png")
        # Letters stay letters, and the same figure is the same file.
        looks = rc_context({"svg.fonttype": "none", "svg.hashsalt": "simsearch"})
        with replacing(vector_of(path)) as complete, looks:
            figure.savefig(complete, dpi=dpi, format="svg", metadata={"Date": None})


def _cut(line: str) -> str:
    line = in_one_line(line)
    is_short = len(line) <= _HEAD + _TAIL
    return line if is_short else f"{line[:_HEAD]}\N{HORIZONTAL ELLIPSIS}{line[-_TAIL:]}"
