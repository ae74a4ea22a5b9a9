"""Plates as pictures: a number a well."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simsearch.io.wells import column_name, parse_well, plate_size, row_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CELL = 0.34  # inches of a well of 96; plates of more wells have smaller ones
_PER_ROW = 2  # plates beside each other


def draw_heat_maps(values: Mapping[str, Mapping[str, float]], title: str, path: Path) -> None:
    """Draw plates side by side, a colour a well, as PNG.

    Parameters
    ----------
    values : mapping of str to mapping of str to float
        For each plate to draw, by what it shows, a number of each well (A01); NaN and missing wells stay grey.
    title : str
        Above all of them.
    path : Path
        Where to write.
    """
    n_rows, n_columns = plate_size([well for wells in values.values() for name in wells if (well := parse_well(name))])
    size = _CELL * min(1.0, 12 / n_columns)
    lines = math.ceil(len(values) / _PER_ROW)
    figure = Figure(
        figsize=(_PER_ROW * (size * n_columns + 1.6), lines * (size * n_rows + 1.0) + 0.4), layout="constrained"
    )
    FigureCanvasAgg(figure)  # no window, no global state
    figure.suptitle(title)
    panels = figure.subplots(lines, _PER_ROW, squeeze=False).ravel()
    for axes in panels[len(values) :]:
        axes.set_axis_off()
    for axes, (name, wells) in zip(panels, values.items(), strict=False):
        grid = np.full((n_rows, n_columns), np.nan)
        for well_name, value in wells.items():
            if well := parse_well(well_name):
                grid[well.row, well.column] = value
        axes.set_facecolor("#dddddd")
        picture = axes.imshow(np.ma.masked_invalid(grid), cmap="viridis", interpolation="nearest")
        axes.set_title(name)
        axes.set_xticks(range(n_columns), [column_name(c) for c in range(n_columns)], fontsize=7, rotation=90)
        axes.set_yticks(range(n_rows), [row_name(r) for r in range(n_rows)], fontsize=7)
        axes.tick_params(length=0)
        figure.colorbar(picture, ax=axes, shrink=0.9)
    figure.savefig(path, dpi=120)
