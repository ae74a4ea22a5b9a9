"""Plate maps: what is in each well."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simsearch.errors import AnnotationError
from simsearch.io.tables.numbers import AmbiguousNumberError, DecimalMark, parse_number
from simsearch.io.tables.plate_maps.treatments import DOSE, ROLE, UNIT, understand_treatments
from simsearch.io.tables.plate_maps.well_cells import FORMS, plain_name, well_columns, well_of
from simsearch.io.tables.rows import Row, Table, name_columns, read_table

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.io.ome_zarr.plates.wells import Well

PlateMap = dict["Well", dict[str, Any]]
_LARGEST = 2**53  # beyond, neither JSON nor a float keeps all digits


@dataclass(frozen=True, slots=True)
class PlateMapFile:
    """A plate map and how it was understood."""

    wells: PlateMap
    """The columns of each well, under ``well`` its name as in A01; numbers as numbers."""
    notes: tuple[str, ...] = ()


def load_plate_map(path: str | Path) -> PlateMapFile:
    """Read a table with a well in each row.

    Parameters
    ----------
    path : str or Path
        A table with a column ``well``, or ``row`` and ``column``, and any others. Those for drug, dose, unit and role
        are known by many names, see `understand_treatments`.

    Raises
    ------
    SourceError
        If the file cannot be read.
    AnnotationError
        If there is no column of wells, a well is none of a standard plate or comes twice, or a dose is not understood.
    """
    table = read_table(path)
    keys = well_columns(table.columns)
    if not keys:
        raise AnnotationError(
            f"{path}: expected a column named well, or row and column, got {name_columns(table.columns)}: rename "
            "the one that is"
        )
    rows = _rows_of_wells(table, keys)
    others = [{name: value for name, value in row.values.items() if len(keys) > 1 or name not in keys}
              for row in rows.values()]  # fmt: skip
    places = [f"row {row.number}" for row in rows.values()]
    try:
        found = understand_treatments(others, places, [well.name for well in rows], table.rows[0].mark)
    except AnnotationError as error:
        raise AnnotationError(f"{path}, {error}") from error
    notes, wells = list(table.notes), {}
    for well, row, treatment in zip(rows, rows.values(), found.rows, strict=True):
        wells[well] = {"well": well.name} | {name: _value(row, name, value, notes)
                                             for name, value in treatment.items() if name != "well"}  # fmt: skip
    return PlateMapFile(wells, tuple(f"{path}: {note}" for note in (*notes, *found.notes)))


def _rows_of_wells(table: Table, keys: tuple[str, ...]) -> dict[Well, Row]:
    rows: dict[Well, Row] = {}
    for row in table.rows:
        got = ", ".join(row.values[key] for key in keys)
        well = well_of(row.values, keys)
        if well is None:
            raise AnnotationError(
                f"{table.place(row, keys[0])}: expected a well from A01 to AF48 as {FORMS}, got {got!r}: mend the name"
            )
        if well in rows:
            _refuse_twice(table, rows[well], row, well)
        rows[well] = row
    return rows


def _refuse_twice(table: Table, first: Row, row: Row, well: Well) -> None:
    plate = next((column for column in table.columns if plain_name(column) in ("plate", "plateid", "barcode")), None)
    if plate and first.values[plate] != row.values[plate]:
        raise AnnotationError(
            f"{table.path}: expected one plate, got {first.values[plate]} in row {first.number} and "
            f"{row.values[plate]} in row {row.number}: make a plate map for each"
        )
    raise AnnotationError(
        f"{table.path}, rows {first.number} and {row.number}: expected each well once, got {well.name} twice: "
        "delete one of the rows"
    )


def _value(row: Row, name: str, value: object, notes: list[str]) -> object:
    """Write what a cell says as a number where it is one, and not a name that looks like one."""
    if not isinstance(value, str) or name in (DOSE, UNIT, ROLE):
        return value
    try:
        return _plain(value, row.mark)
    except AmbiguousNumberError as error:
        notes.append(f"row {row.number}, column {name}: stays text: {error}")
        return value


def _plain(text: str, mark: DecimalMark) -> int | float | str:
    if re.fullmatch(r"[+-]?0\d+|\+.*", text):  # the zeros of a barcode
        return text
    number = parse_number(text, mark)
    return text if number is None or abs(number) > _LARGEST else number
