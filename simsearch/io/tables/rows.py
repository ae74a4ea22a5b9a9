"""Tables of users: CSV with commas, semicolons or tabs, and errors that name the row."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table."""

    number: int
    """Line in the file, the header being line 1."""
    values: dict[str, str]


def read_table(path: str | Path, required: Sequence[str] = ()) -> tuple[list[str], list[Row]]:
    """Read a CSV file with a header.

    Parameters
    ----------
    path : str or Path
        With commas, semicolons or tabs.
    required : sequence of str
        Columns that it must have; others may follow.

    Returns
    -------
    (list of str, list of Row)
        Names of the columns, and the rows that are not empty.

    Raises
    ------
    SourceError
        If it cannot be read as text.
    AnnotationError
        If it has no rows, a required column is missing, a column has no name or the name of another, or a row has more
        values than the header.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: expected a CSV file in UTF-8, got {error}: check the path, save it anew") from error
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.reader(lines, delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    _check_header(header, path)
    missing = [column for column in required if column not in header]
    if missing:
        raise AnnotationError(
            f"{path}: expected the columns {', '.join(required)}, got {', '.join(header)}: add {', '.join(missing)}"
        )
    rows = []
    for values in reader:
        if not any(value.strip() for value in values):
            continue
        if len(values) > len(header):
            raise AnnotationError(
                f"{path}, row {reader.line_num}: expected {len(header)} values, got {len(values)}: quote values that "
                f"contain {delimiter!r}"
            )
        values += [""] * (len(header) - len(values))
        rows.append(Row(reader.line_num, dict(zip(header, map(str.strip, values), strict=True))))
    if not rows:
        raise AnnotationError(f"{path}: expected rows below a header, got none: save the table again")
    return header, rows


def number(text: str) -> int | float | str:
    """Read a number where there is one.

    Examples
    --------
    >>> number("3"), number("0.5"), number("DMSO"), number("nan")
    (3, 0.5, 'DMSO', 'nan')
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    # JSON has no NaN and no infinity.
    return value if abs(value) < float("inf") else text


def _check_header(header: list[str], path: str | Path) -> None:
    doubled = {name for name in header if header.count(name) > 1}
    if not header or "" in header or doubled:
        got = f"{sorted(doubled)} twice" if doubled - {""} else f"{header}"
        raise AnnotationError(f"{path}: expected a header with a name for each column, got {got}: mend its first line")
