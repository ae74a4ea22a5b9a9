"""What a search and a network say of places that somebody answered one by one, as CSV."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError
from simsearch.io.tables.cells import written
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.io.tables.rows import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NUMBERS = ("network", "search")
_COLUMNS = ("image", "class", "y", "x", "right", *_NUMBERS)


@dataclass(frozen=True, slots=True)
class AnsweredPlace:
    """A place, and what is said of it by what was not shown its image."""

    image: str
    """Name of its image."""
    class_name: str
    """For which class it was answered."""
    y: float
    """Row of its centre in level-0 pixels."""
    x: float
    """Column of its centre."""
    is_right: bool
    """Whether it is of the class."""
    network: float = math.nan
    """Log odds of the class by the network's stand-in; NaN where it does not know the class."""
    search: float = math.nan
    """Similarity to the class; NaN where it was not asked."""


def write_answered(places: Sequence[AnsweredPlace], path: Path) -> None:
    """Write a row for each place.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    with replacing_text(path) as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for place in places:
            said = written(place.image), written(place.class_name), f"{place.y:.3f}", f"{place.x:.3f}"
            numbers = (getattr(place, column) for column in _NUMBERS)
            cells = ("" if math.isnan(value) else f"{value:.6f}" for value in numbers)
            rows.writerow([*said, "yes" if place.is_right else "no", *cells])


def read_answered(path: Path) -> list[AnsweredPlace]:
    """Read what `write_answered` wrote, in its order.

    Raises
    ------
    SourceError, AnnotationError
        If it is no such file.
    """
    table = read_table(path, _COLUMNS)
    found = []
    for row in table.rows:
        try:
            y, x = row.read_number("y"), row.read_number("x")
            numbers = [row.read_number(column) if row.values[column] else math.nan for column in _NUMBERS]
        except AnnotationError as error:
            raise AnnotationError(f"{table.place(row)}: {error}") from error
        is_right = row.values["right"] == "yes"
        found.append(AnsweredPlace(row.values["image"], row.values["class"], y, x, is_right, *numbers))
    return found
