"""Where objects really are, as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError
from simsearch.io.tables.rows import Row, Table, read_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COLUMNS = ("image", "class", "y", "x")


@dataclass(frozen=True, slots=True)
class TrueObject:
    """An object that a person has marked, in level-0 pixels."""

    image: str
    class_name: str
    y: float
    x: float


def read_truth(path: Path, tell: Callable[[str], object] = lambda note: None) -> list[TrueObject]:
    """Read the centres of objects.

    Parameters
    ----------
    path : Path
        CSV with the columns image, class, y, x in level-0 pixels; others are ignored, so boxes will do.
    tell : callable
        Gets notes on how the table was read.

    Raises
    ------
    SourceError
        If the file cannot be read as text.
    AnnotationError
        If a column is missing or a row is wrong; the message names the row.
    """
    table = read_table(path, _COLUMNS)
    for note in table.notes:
        tell(f"{path.name}: {note}")
    return [_object(table, row) for row in table.rows]


def _object(table: Table, row: Row) -> TrueObject:
    try:
        y, x = (row.read_number(column) for column in _COLUMNS[2:])
    except AnnotationError as error:
        raise AnnotationError(f"{table.place(row)}: {error}") from error
    if not (row.values["image"] and row.values["class"]):
        raise AnnotationError(
            f"{table.place(row)}: expected an image and a class, got {dict(row.values)}: mend the row"
        )
    return TrueObject(row.values["image"], row.values["class"], y, x)
