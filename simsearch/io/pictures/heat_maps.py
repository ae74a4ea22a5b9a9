"""Plates as pictures: a number a well."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.io.ome_zarr.plates.wells import column_name, parse_well, plate_size, row_name
from simsearch.io.pictures.figures import new_figure, save_figure

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_CELL = 0.34  # inches of a well of 96; plates of more wells have smaller ones
_PER_ROW = 2  # plates beside each other
_MANY_COLUMNS = 12
_CROSS: dict[str, Any] = {"marker": "x", "color": "white", "linewidths": 1.0}


def draw_heat_maps(
    values: Mapping[str, Mapping[str, float]], title: str, path: Path, *, crossed: Collection[str] = ()
) -> None:
    """Draw plates side by side, a colour a well, as PNG; each has a scale of its own, from 0 on.

    Parameters
    ----------
    values : mapping of str to mapping of str to float
        For each plate to draw, by what it shows, a number of each well (A01); NaN and missing wells stay grey.
    title : str
        Above all of them.
    path : Path
        Where to write.
    crossed : collection of str
        Wells that the plate map calls empty: they keep their colours, and get a cross.
    """
    n_rows, n_columns = plate_size([well for wells in values.values() for name in wells if (well := parse_well(name))])
    size = _CELL * min(1.0, 12 / n_columns)
    lines = math.ceil(len(values) / _PER_ROW)
    figure = new_figure((_PER_ROW * (size * n_columns + 1.6), lines * (size * n_rows + 1.0) + 0.4))
    figure.suptitle(title)
    panels = figure.subplots(lines, _PER_ROW, squeeze=False).ravel()
    for axes in panels[len(values) :]:
        axes.set_axis_off()
    for axes, (name, wells) in zip(panels, values.items(), strict=False):
        grid = np.full((n_rows, n_columns), np.nan)
        for well_name, value in wells.items():
            if well := parse_well(well_name):
                grid[well.row, well.column] = value
        _draw_plate(axes, grid)
        axes.set_title(name, fontsize=10)
        places = [well for name in crossed if (well := parse_well(name))]
        axes.scatter([well.column for well in places], [well.row for well in places], s=300 * size**2, **_CROSS)
    if crossed:
        figure.supxlabel("\N{MULTIPLICATION SIGN} empty in the plate map    grey: nothing known", fontsize=8)
    save_figure(figure, path, dpi=120)


def _draw_plate(axes: Axes, grid: NDArray[np.float64]) -> None:
    n_rows, n_columns = grid.shape
    highest = np.nanmax(grid, initial=0.0)
    axes.set_facecolor("#dddddd")
    picture = axes.imshow(
        np.ma.masked_invalid(grid), cmap="viridis", interpolation="nearest", vmin=0.0, vmax=highest or 1.0
    )
    is_small = n_columns > _MANY_COLUMNS
    names = [column_name(c).lstrip("0") for c in range(n_columns)]
    axes.xaxis.tick_top()  # as on the plate
    axes.set_xticks(range(n_columns), names, fontsize=5 if is_small else 7, rotation=90 if is_small else 0)
    axes.set_yticks(range(n_rows), [row_name(r) for r in range(n_rows)], fontsize=5 if is_small else 7)
    axes.set_xticks(np.arange(1, n_columns) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, n_rows) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.4 if is_small else 0.8)
    axes.tick_params(which="both", length=0)
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.9)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
