"""Wells of plates: their names, and the standard plates that hold them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WELL = re.compile(r"([A-Za-z]{1,2})0*([1-9][0-9]?)")
_PLATES = ((2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
"""Rows and columns of plates with 6 to 1536 wells."""


@dataclass(frozen=True, slots=True, order=True)
class Well:
    """A well by its row and column, counted from 0.

    Examples
    --------
    >>> well = parse_well("b3")
    >>> well.name, well.path
    ('B03', 'B/03')
    """

    row: int
    column: int

    @property
    def name(self) -> str:
        """Row and column, such as B03."""
        return row_name(self.row) + column_name(self.column)

    @property
    def path(self) -> str:
        """Path of the group in the plate, such as B/03."""
        return f"{row_name(self.row)}/{column_name(self.column)}"


def parse_well(name: str) -> Well | None:
    """Read the name of a well: A01, A1 or a1, rows up to AF; None if it is none of a standard plate.

    Examples
    --------
    >>> parse_well("AF48"), parse_well("Z1"), parse_well("A49")
    (Well(row=31, column=47), Well(row=25, column=0), None)
    """
    found = _WELL.fullmatch(name.strip())
    return make_well(found[1], found[2]) if found else None


def make_well(row: str, column: str) -> Well | None:
    """Make a well of a row (letters, or a number from 1) and a column; None if no standard plate has it.

    Examples
    --------
    >>> make_well("B", "03") == make_well("02", "3") == Well(1, 2)
    True
    """
    if not column.isdecimal() or not (row.isdecimal() or re.fullmatch("[A-Za-z]{1,2}", row)):
        return None
    well = Well(_row_index(row), int(column) - 1)
    rows, columns = _PLATES[-1]
    return well if 0 <= well.row < rows and 0 <= well.column < columns else None


def plate_size(wells: list[Well]) -> tuple[int, int]:
    """Rows and columns of the smallest standard plate that has all of the wells.

    Examples
    --------
    >>> plate_size([Well(0, 0), Well(6, 11)])
    (8, 12)
    """
    return next(
        (rows, columns) for rows, columns in _PLATES if all(well.row < rows and well.column < columns for well in wells)
    )


def row_name(row: int) -> str:
    """Name a row that is counted from 0.

    Examples
    --------
    >>> row_name(0), row_name(25), row_name(26), row_name(31)
    ('A', 'Z', 'AA', 'AF')
    """
    return chr(ord("A") + row) if row < 26 else "A" + chr(ord("A") + row - 26)


def column_name(column: int) -> str:
    """Name a column that is counted from 0; always two digits, so that names sort."""
    return f"{column + 1:02d}"


def _row_index(row: str) -> int:
    if row.isdecimal():
        return int(row) - 1
    letters = row.upper()
    if len(letters) == 1:
        return ord(letters) - ord("A")
    return 26 + ord(letters[1]) - ord("A") if letters[0] == "A" else -1
