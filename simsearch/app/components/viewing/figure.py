"""The figure of a viewer: tiles of an image, and on them boxes and a heat map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from bokeh.models import (
    BoxSelectTool,
    CDSView,
    ColumnDataSource,
    CustomJS,
    CustomJSFilter,
    HoverTool,
    LinearColorMapper,
    PanTool,
    Range1d,
    WheelZoomTool,
    WMTSTileSource,
)
from bokeh.palettes import Inferno256

from simsearch.app.figure_style import plain_figure
from simsearch.app.urls import ASSETS, FULL_ZOOM
from simsearch.io.pictures.render import TILE_PX

if TYPE_CHECKING:
    from bokeh.models import GlyphRenderer
    from bokeh.plotting import figure

_NO_CHANGE = {"nonselection_fill_alpha": 0.0, "nonselection_line_alpha": 1.0}
_MARKS = ("x", "y", "height", "width", "color", "kind", "id", "class", "what", "dash", "line", "inside")
_SMALLEST_VIEW_PX = 8.0  # of level 0, along each side


@dataclass(frozen=True, slots=True)
class ViewerFigure:
    """The parts of the figure that change."""

    plot: figure
    tiles: WMTSTileSource
    marks: ColumnDataSource
    boxes_of_marks: GlyphRenderer
    heat: ColumnDataSource
    regions: ColumnDataSource


@dataclass(frozen=True, slots=True)
class LayerModels:
    """The models that show one class."""

    source: ColumnDataSource
    limit: ColumnDataSource
    renderer: GlyphRenderer


def make_figure(tile_url: str, *, is_drawn_on: bool) -> ViewerFigure:
    """Make the figure.

    Parameters
    ----------
    tile_url : str
        Address of tiles with ``{Z}``, ``{X}`` and ``{Y}``.
    is_drawn_on : bool
        Whether a drag draws a box; otherwise it moves the image.
    """
    plot = plain_figure(is_picture=True, x_range=_range(0, 1), y_range=_range(-1, 0), lod_threshold=None)
    plot.axis.visible = False
    plot.grid.visible = False
    wheel, pan = WheelZoomTool(), PanTool()
    plot.add_tools(wheel, pan)
    plot.toolbar.active_scroll = wheel
    plot.toolbar.active_drag = pan
    if is_drawn_on:
        draw = BoxSelectTool(renderers=[], persistent=False, continuous=False)
        draw.overlay.update(fill_alpha=0.15, line_color="white", line_width=2, line_dash="solid")
        plot.add_tools(draw)
        plot.toolbar.active_drag = draw
    # All images begin at one corner of one square of tiles, so that none of this changes with the image.
    full = float(TILE_PX << FULL_ZOOM)
    tiles = WMTSTileSource(
        url=tile_url, tile_size=TILE_PX, min_zoom=0, max_zoom=FULL_ZOOM, initial_resolution=full / TILE_PX,
        x_origin_offset=0.0, y_origin_offset=full, wrap_around=False, snap_to_zoom=False, attribution="",
    )  # fmt: skip
    plot.add_tile(tiles)
    heat = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []}, name="heat")
    plot.image(
        "image", "x", "y", "dw", "dh", source=heat,
        color_mapper=LinearColorMapper(_see_through(), low=0.0, high=1.0, nan_color="#00000000"),
    )  # fmt: skip
    regions = add_regions(plot)
    marks = ColumnDataSource({name: [] for name in _MARKS}, name="marks")
    shown = CDSView(filter=CustomJSFilter(code="return window.simsearch.viewer.marksShown(source.data)"))
    boxes_of_marks = plot.rect(
        "x", "y", "width", "height", source=marks, view=shown, fill_color="black", fill_alpha="inside",
        line_color="color", line_width="line", line_dash="dash",
    )  # fmt: skip
    plot.add_tools(HoverTool(renderers=[boxes_of_marks], tooltips="@what", attachment="horizontal"))
    return ViewerFigure(plot, tiles, marks, boxes_of_marks, heat, regions)


def add_regions(plot: figure) -> ColumnDataSource:
    """Add outlines of named regions, and their names at their upper left corners."""
    source = ColumnDataSource({"xs": [], "ys": [], "x": [], "y": [], "name": []}, name="regions")
    for color, width in (("black", 3.5), ("white", 1.5)):  # seen on any ground
        plot.multi_line("xs", "ys", source=source, line_color=color, line_width=width, line_alpha=0.9)
    plot.text(
        "x", "y", "name", source=source, x_offset=3, y_offset=3, anchor="top_left", padding=3, text_color="white",
        text_font_size="12px", background_fill_color="black", background_fill_alpha=0.65,
    )  # fmt: skip
    return source


def add_layer(parts: ViewerFigure, name: str, color: str, dash: str = "solid") -> LayerModels:
    """Add boxes.

    Parameters
    ----------
    parts : ViewerFigure
        What they are added to.
    name : str
        By which scripts find their source, ``peaks:CLASS`` for those that are judged; that of the limit of their scores
        is ``limit of NAME``.
    color, dash : str
        Of their lines.
    """
    source = ColumnDataSource({"x": [], "y": [], "score": [], "is_flagged": [], "is_own": []}, name=name)
    limit = ColumnDataSource({"threshold": [1.0]}, name=f"limit of {name}")
    limit.js_on_change("data", CustomJS(args={"source": source}, code="source.change.emit()"))  # filters anew
    view = CDSView(filter=CustomJSFilter(args={"limit": limit}, code=_script("viewer_filter.js")))
    renderer = parts.plot.rect(
        "x", "y", 1.0, 1.0, source=source, view=view, line_color=color, line_width=1.75, line_dash=dash,
        fill_color=color, fill_alpha=0.0, **_NO_CHANGE,
    )  # fmt: skip
    # Marks stay on top of what is only found.
    others = [each for each in parts.plot.renderers if each is not parts.boxes_of_marks]
    parts.plot.renderers = [*others, parts.boxes_of_marks]
    return LayerModels(source, limit, renderer)


def _range(start: float, end: float) -> Range1d:
    return Range1d(start, end, min_interval=_SMALLEST_VIEW_PX)


@cache
def _script(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _see_through() -> tuple[str, ...]:
    """Colours of a heat map that let the image be seen where there is little heat."""
    opacity = np.linspace(0, 200, len(Inferno256)).astype(int)
    return tuple(f"{color}{alpha:02x}" for color, alpha in zip(Inferno256, opacity, strict=True))
