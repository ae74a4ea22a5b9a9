"""Wells as tables name them: in one cell of any form, or by row and column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simsearch.io.ome_zarr.plates.wells import Well, make_well, parse_well

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LETTERS = re.compile(r"\(?([A-Za-z]{1,2})\s*[-_:;,/. ]\s*(\d{1,3})\)?", re.ASCII)
_NUMBERS = re.compile(r"\(?(\d{1,2})\s*[_:;,]\s*(\d{1,3})\)?", re.ASCII)
_ROW_COLUMN = re.compile(r"r(?:ow)?\s*([A-Za-z]{1,2}|\d{1,3})\s*[-_,]?\s*c(?:ol(?:umn)?)?\s*(\d{1,3})", re.I | re.ASCII)
_WELLS = ("well", "wellid", "wellname", "wellposition", "wellpos", "welllabel", "wells", "wellindex", "position")
_ROWS = ("row", "wellrow", "rowname", "zeile")
_COLUMNS = ("column", "col", "wellcolumn", "wellcol", "columnname", "spalte")
FORMS = "A01, a1, A-01 or 1,1"
"""For messages: forms that are understood."""


def read_well(text: str) -> Well | None:
    """Read a well: A01, a1, A-01, A:1, A/1, "1,1" (row and column), r01c02; None if it is none of a standard plate.

    Examples
    --------
    >>> read_well("A-01") == read_well("1,1") == read_well("Well A1") == read_well("r1c1") == Well(0, 0)
    True
    >>> read_well("11"), read_well("1A")
    (None, None)
    """
    plain = re.sub(r"^well[\s_:]*", "", text.strip(), flags=re.IGNORECASE)
    if well := parse_well(plain):
        return well
    found = _LETTERS.fullmatch(plain) or _NUMBERS.fullmatch(plain) or _ROW_COLUMN.fullmatch(plain)
    return make_well(found[1], found[2]) if found else None


def well_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Find the columns of a table that tell the well: one, or those of row and column; empty if there are none.

    Examples
    --------
    >>> well_columns(["Drug", "Well ID"]), well_columns(["ROW", "Column", "dose"]), well_columns(["dose"])
    (('Well ID',), ('ROW', 'Column'), ())
    """
    plain = {plain_name(column): column for column in reversed(columns)}
    if well := next((plain[name] for name in _WELLS if name in plain), None):
        return (well,)
    row, column = (next((plain[name] for name in names if name in plain), None) for names in (_ROWS, _COLUMNS))
    return (row, column) if row and column else ()


def well_of(values: Mapping[str, str], columns: Sequence[str]) -> Well | None:
    """Read the well of a row from the columns that `well_columns` found."""
    found = [values[column] for column in columns]
    return read_well(found[0]) if len(found) == 1 else make_well(found[0].strip(), found[1].strip())


def plain_name(column: str) -> str:
    """Write the name of a column without what differs from table to table: case, spaces, marks, ``Metadata_``.

    Examples
    --------
    >>> plain_name("Image_Metadata_Well"), plain_name("Well ID")
    ('well', 'wellid')
    """
    return re.sub(r"[\W_]+", "", re.sub("^(image_)?metadata_", "", column.strip().casefold()))
