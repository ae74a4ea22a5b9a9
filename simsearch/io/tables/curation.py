"""What people have said about places in images, as CSV: one row a patch, with its class and its role."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from simsearch.errors import AnnotationError
from simsearch.io.tables.boxes import parse_box
from simsearch.io.tables.cells import written
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.io.tables.rows import Row, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from simsearch.core.boxes import Box

Role = Literal["prototype", "confirmed", "positive", "negative", "background"]
ROLES: tuple[Role, ...] = ("prototype", "confirmed", "positive", "negative", "background")
Item = TypeVar("Item")
Value = TypeVar("Value")
BACKGROUND = "background"
"""Where the name of a class stands, it means none of them."""

ANNOTATION_COLUMNS = ("image", "class", "role", "y", "x", "height", "width")
"""Of a table of annotations."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A patch and what was said about it."""

    box: Box
    """Where it is; its class is ``background`` where the role is."""
    role: Role
    """What it is for its class."""
    color: str | None = None
    """Of the class, ``#`` and 6 lower-case hex digits, where known."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a file says that is nothing to add to a curation."""

    reason: str
    """What such things are, in words that go with one and many."""
    y: float | None = None
    """Row of the centre, where it has one."""
    x: float | None = None
    """Column of the centre."""


Reading = list[tuple[str, Annotation | LeftOut | AnnotationError]]
"""What was found in a file, in its order: the place of each (``row 3``), and it or why it cannot be understood."""


def read_annotations(path: Path) -> tuple[Reading, tuple[str, ...]]:
    """Read annotations; the errors of rows that make no sense are among them, and notes about the table beside them.

    Parameters
    ----------
    path : Path
        CSV with the columns image, class, role, y, x (centre), height, width, in level-0 pixels. The class of
        background is empty or ``background``.

    Raises
    ------
    SourceError
        If the file cannot be read as text.
    AnnotationError
        If it is no table, or lacks a column.
    """
    table = read_table(path, ANNOTATION_COLUMNS)
    return [*read_each(((f"row {row.number}", row) for row in table.rows), _annotation)], table.notes


def read_each(
    items: Iterable[tuple[str, Item]], read: Callable[[Item], Value]
) -> list[tuple[str, Value | AnnotationError]]:
    """Read items, each with its place in a file; where one makes no sense, the error takes its place."""

    def attempt(item: Item) -> Value | AnnotationError:
        try:
            return read(item)
        except AnnotationError as error:
            return error

    return [(place, attempt(item)) for place, item in items]


def write_annotations(annotations: Iterable[Annotation], path: Path) -> int:
    """Write annotations one after the other, and put the file in its place when it is complete.

    Returns
    -------
    int
        How many.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    n_rows = 0
    with replacing_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ANNOTATION_COLUMNS)
        for each in annotations:
            box = each.box
            numbers = (plain_number(value) for value in (box.y, box.x, box.height, box.width))
            writer.writerow((written(box.image), written(box.class_name), each.role, *numbers))
            n_rows += 1
    return n_rows


def plain_number(value: float) -> int | float:
    """Write whole numbers without a point.

    Examples
    --------
    >>> plain_number(48.0), plain_number(10.5)
    (48, 10.5)
    """
    return int(value) if float(value).is_integer() else float(value)


def make_annotation(box: Box, role: str, color: str | None = None) -> Annotation:
    """Check what was read of an annotation, as far as that needs no images.

    Raises
    ------
    AnnotationError
        If there is no such role, or the class and the role do not go together.
    """
    if role not in ROLES:
        raise AnnotationError(f"expected a role out of {', '.join(ROLES)}, got {role!r}")
    if (role == BACKGROUND) != (box.class_name.casefold() in {"", BACKGROUND}):
        raise AnnotationError(
            f"expected a class and a role that go together, got class {box.class_name!r} and role {role!r}: name the "
            "class of all but background, which has none"
        )
    return Annotation(replace(box, class_name=BACKGROUND) if role == BACKGROUND else box, role, color)


def _annotation(row: Row) -> Annotation:
    box = parse_box(row)
    numbers = (box.y, box.x, box.height, box.width)
    if not all(map(math.isfinite, numbers)) or box.height <= 0 or box.width <= 0:
        raise AnnotationError(
            f"expected y, x and a height and width above 0, got {', '.join(f'{value:g}' for value in numbers)}"
        )
    return make_annotation(box, row.values["role"].casefold())
