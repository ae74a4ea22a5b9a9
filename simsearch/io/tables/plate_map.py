"""Plate maps: what is in each well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsearch.errors import AnnotationError
from simsearch.io.ome_zarr.wells import Well, parse_well
from simsearch.io.tables.rows import number, read_table

if TYPE_CHECKING:
    from pathlib import Path

PlateMap = dict[Well, dict[str, Any]]


def load_plate_map(path: str | Path) -> PlateMap:
    """Read a CSV file with a column ``well`` and any others, such as drug, dose, unit and role.

    Returns
    -------
    dict of Well to dict
        The other columns of each well, under ``well`` its name as in A01; numbers as numbers.

    Raises
    ------
    SourceError
        If the file cannot be read.
    AnnotationError
        If there is no column ``well``, or a well is none of a standard plate, or comes twice.
    """
    header, rows = read_table(path)
    key = next((name for name in header if name.lower() == "well"), None)
    if key is None:
        raise AnnotationError(f"{path}: expected a column named well, got {', '.join(header)}: rename the one that is")
    plate_map: PlateMap = {}
    numbers: dict[Well, int] = {}
    for row in rows:
        well = parse_well(row.values[key])
        if well is None:
            raise AnnotationError(
                f"{path}, row {row.number}: expected a well from A01 to AF48, got {row.values[key]!r}: mend the name"
            )
        if well in plate_map:
            raise AnnotationError(
                f"{path}, rows {numbers[well]} and {row.number}: expected each well once, got {well.name} twice: "
                "delete one of the rows"
            )
        numbers[well] = row.number
        others = {name: number(value) for name, value in row.values.items() if name != key}
        plate_map[well] = {"well": well.name, **others}
    return plate_map
