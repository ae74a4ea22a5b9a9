"""Where objects really are, as CSV."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError
from simsearch.io.tables.rows import Row, read_table

if TYPE_CHECKING:
    from pathlib import Path

_COLUMNS = ("image", "class", "y", "x")


@dataclass(frozen=True, slots=True)
class TrueObject:
    """An object that a person has marked, in level-0 pixels."""

    image: str
    class_name: str
    y: float
    x: float


def read_truth(path: Path) -> list[TrueObject]:
    """Read the centres of objects.

    Parameters
    ----------
    path : Path
        CSV with the columns image, class, y, x in level-0 pixels; others are ignored, so boxes will do.

    Raises
    ------
    SourceError
        If the file cannot be read as text.
    AnnotationError
        If a column is missing or a row is wrong; the message names the row.
    """
    _, rows = read_table(path, _COLUMNS)
    return [_object(row, f"{path}, row {row.number}") for row in rows]


def _object(row: Row, place: str) -> TrueObject:
    try:
        y, x = float(row.values["y"]), float(row.values["x"])
    except ValueError as error:
        raise AnnotationError(f"{place}: expected numbers in y and x, got {error}: mend the row") from error
    if not (math.isfinite(y) and math.isfinite(x) and row.values["image"] and row.values["class"]):
        raise AnnotationError(f"{place}: expected an image, a class and finite y and x, got {row.values}: mend the row")
    return TrueObject(row.values["image"], row.values["class"], y, x)
