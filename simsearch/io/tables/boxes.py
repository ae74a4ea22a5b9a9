"""Boxes that a person has drawn, as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.core.boxes import Box, check_box
from simsearch.errors import AnnotationError
from simsearch.io.tables.rows import Row, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_COLUMNS = ("image", "class", "y", "x", "height", "width")


def read_boxes(
    path: Path, shapes: Mapping[str, tuple[int, int]], tell: Callable[[str], object] = lambda note: None
) -> list[Box]:
    """Read boxes and check each against its image.

    Parameters
    ----------
    path : Path
        CSV with the columns image, class, y, x (centre), height, width, in level-0 pixels; as `read_table`
        reads it.
    shapes : mapping of str to (int, int)
        Height and width of each image by its name.
    tell : callable
        Gets notes on how the table was read.

    Returns
    -------
    list of Box
        In the order of the file, at least one.

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
    return [_box(row, table.place(row), shapes) for row in table.rows]


def parse_box(row: Row) -> Box:
    """Take a box from the columns image, class, y, x, height and width of a row.

    Raises
    ------
    AnnotationError
        If one of the last four is no number.
    """
    y, x, height, width = (row.read_number(column) for column in _COLUMNS[2:])
    return Box(row.values["image"], row.values["class"], y, x, height, width)


def _box(row: Row, place: str, shapes: Mapping[str, tuple[int, int]]) -> Box:
    try:
        box = parse_box(row)
        if not box.class_name:
            raise AnnotationError("expected the name of a class, got nothing: name what the box is around")
        check_box(box, shapes)
    except AnnotationError as error:
        raise AnnotationError(f"{place}: {error}") from error
    return box
