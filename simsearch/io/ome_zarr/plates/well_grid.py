"""What the wells of a plate hold as an array: class x row x column, for xarray."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from simsearch.errors import StoreError
from simsearch.io.ome_zarr.plates.wells import parse_well, plate_size, row_name
from simsearch.io.ome_zarr.stores import zarr_store
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import in_store, remove

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_GRID = ("row", "column")


@dataclass(frozen=True, slots=True)
class WellVariable:
    """A number of each class in each well."""

    values: NDArray[np.floating]
    """(classes, wells) array."""
    long_name: str
    """What it is, for axes of plots."""
    units: str = "1"
    """As UDUNITS writes them; 1 has none."""


def well_grid(
    variables: Mapping[str, WellVariable],
    classes: Sequence[str],
    wells: Sequence[str],
    treatments: Sequence[Mapping[str, Any]],
) -> xr.Dataset:
    """Lay wells out as they are on the plate.

    Parameters
    ----------
    variables : mapping of str to WellVariable
        By the names that they get.
    classes : sequence of str
        Names of the classes.
    wells : sequence of str
        Names of the wells, such as A01; others are left out.
    treatments : sequence of mapping
        The plate map's row of each well.

    Returns
    -------
    xarray.Dataset
        Variables (class, row, column), NaN where there is no well. The rows are letters and the columns numbers from
        1; the name of the well and the plate map's columns are coordinates (row, column): numbers where all are, NaN
        where a well has none, and otherwise text, empty where a well has none. The column ``unit`` is the unit of
        ``dose`` too if it is the same everywhere. What a name of a variable cannot hold becomes ``_``, and a column
        that is named as something else begins with ``plate_map_``.
    """
    places = {i: well for i, name in enumerate(wells) if (well := parse_well(name))}
    rows, columns = [well.row for well in places.values()], [well.column for well in places.values()]
    shape, kept = plate_size(list(places.values())), list(places)
    dataset = xr.Dataset(
        coords={
            "class": ("class", np.array(classes, str)),
            "row": ("row", np.array([row_name(row) for row in range(shape[0])], str)),
            "column": ("column", np.arange(1, shape[1] + 1)),
        }
    )
    for name, variable in variables.items():
        grid = np.full((len(classes), *shape), np.nan)
        grid[:, rows, columns] = variable.values[:, kept]
        attributes = {"long_name": variable.long_name, "units": variable.units}
        dataset[name] = (("class", *_GRID), grid, attributes)
    known: dict[str, Sequence[object]] = {"well": wells}
    for column in dict.fromkeys(name for treatment in treatments for name in treatment):
        known[_free_name(column, {*known, *dataset.variables})] = [treatment.get(column) for treatment in treatments]
    for name, values in known.items():
        column_values = _column([values[i] for i in kept])
        grid = np.full(shape, np.nan if column_values.dtype.kind == "f" else "", column_values.dtype)
        grid[rows, columns] = column_values
        dataset = dataset.assign_coords({name: (_GRID, grid)})
    units = {str(treatment["unit"]) for treatment in treatments if treatment.get("unit")}
    if len(units) == 1 and "dose" in dataset.coords:
        dataset["dose"].attrs["units"] = units.pop()
    return dataset


def write_well_grid(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as Zarr, in place of another, when it is complete.

    It is Zarr of version 2: that of version 3 has no standard for text yet.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    is_moved = in_store(path) is None  # there, nothing is
    partial = path.with_name(f".{path.name}.partial") if is_moved else path
    with store_errors(str(path)):
        remove(partial)
        dataset.to_zarr(**zarr_store(str(partial)), mode="w", zarr_format=2, consolidated=True)
        if is_moved:
            remove(path)
            partial.replace(path)


def open_well_grid(path: Path) -> xr.Dataset:
    """Open lazily what `write_well_grid` has written.

    Raises
    ------
    StoreError
        If there is none, or it cannot be read.
    """
    try:
        grid: xr.Dataset = xr.open_zarr(**zarr_store(str(path)))
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{path}: expected the wells of a plate, got {error}: detect again") from error
    return grid


def _free_name(column: str, taken: Collection[Hashable]) -> str:
    """Name a coordinate: with a space in it, Zarr would not know that it is one."""
    name = re.sub(r"\W+", "_", column).strip("_")
    while name in taken or not name:
        name = f"plate_map_{name}"
    return name


def _column(values: Sequence[object]) -> NDArray[Any]:
    """Make an array of what a column of a plate map says: numbers if there is nothing else, or an empty cell."""
    blank = all(value in (None, "") for value in values)
    values = values if blank else [None if value == "" else value for value in values]
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(["" if value is None else str(value) for value in values], str)
