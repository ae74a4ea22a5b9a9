"""Tables of users as programs and spreadsheets of any country write them; errors name file, row and column."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError, SourceError
from simsearch.io.places import input_place, read_at_most
from simsearch.io.tables.cells import text_of
from simsearch.io.tables.numbers import AmbiguousNumberError, DecimalMark, find_decimal_mark, parse_number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LARGEST_BYTES = 2**28  # a table of ten million rows; what is larger is none
_BINARY = {b"PK": "an Excel workbook", b"\xd0\xcf\x11\xe0": "an old Excel workbook", b"PAR1": "a Parquet file"}
_WIDE = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_DELIMITERS = {"\t": r"\t", ";": ";", ",": r"(?<!\d),|,(?!\d)", "|": r"\|"}  # between digits, a comma may be a decimal
_N_NAMED, _MOST_LETTERS = 20, 80
_N_LOOKED_AT = 10  # lines in which a delimiter shows

_Record = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table."""

    number: int
    """Line in the file, the first being line 1."""
    values: dict[str, str]
    """By column, without spaces around them."""
    mark: DecimalMark = ""
    """Which decimal mark the cells of the table prove."""

    def read_number(self, column: str) -> float:
        """Read a number that must be there.

        Raises
        ------
        AnnotationError
            If it is none, or could be two; the message names the column and leaves the row to who knows the file.
        """
        text = self.values[column]
        try:
            value = parse_number(text, self.mark)
        except AmbiguousNumberError as error:
            raise AnnotationError(f"column {column}: expected a number, got {error}") from error
        if value is None:
            raise AnnotationError(f"column {column}: expected a number, got {text!r}: mend the cell")
        return float(value)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a header."""

    path: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    """Those that are not empty; at least one."""
    notes: tuple[str, ...] = ()
    """What a user should know: what was guessed or left out."""

    def place(self, row: Row, column: str = "") -> str:
        """Name a row or a cell for messages."""
        return f"{self.path}, row {row.number}" + (f", column {column}" if column else "")


def read_table(path: str | Path, required: Sequence[str] = ()) -> Table:
    """Read a CSV file with a header.

    Parameters
    ----------
    path : str or Path
        With commas, semicolons, tabs or bars; in UTF-8, UTF-16 or Windows-1252. Lines that begin with ``#``, a line
        above the header that is a title, and columns and rows without any value are left out.
    required : sequence of str
        Columns that it must have, in upper or lower case; they are named as here. Others may follow.

    Raises
    ------
    SourceError
        If it cannot be read as text.
    AnnotationError
        If it has no rows, a required column is missing, a column with values has no name or the name of another, a row
        has more values than the header, or a quote is not closed.
    """
    text, notes = _decoded(path)
    records = _records(text, path)
    if not records:
        raise AnnotationError(f"{path}: expected a header with a name for each column, got an empty table")
    (_, header), *body = _without_title(records)
    names = _renamed([name.strip() for name in header], required)
    _check_lengths(body, len(names), path)
    kept = _kept_columns(names, body, path)
    missing = [column for column in required if column not in kept.values()]
    if missing:
        raise AnnotationError(
            f"{path}: expected the columns {', '.join(required)}, got {name_columns(list(kept.values()))}: add "
            f"{', '.join(missing)}"
        )
    if not body:
        raise AnnotationError(f"{path}: expected rows below a header, got none: save the table again")
    mark = find_decimal_mark(value for _, values in body for value in values)
    rows = tuple(
        Row(line, {name: text_of(values[i].strip()) if i < len(values) else "" for i, name in kept.items()}, mark)
        for line, values in body
    )
    return Table(str(path), tuple(kept.values()), rows, notes + _comment_note(text, body))


def name_columns(columns: Sequence[str]) -> str:
    """Name columns in a message, the first of many.

    Examples
    --------
    >>> name_columns(["a", "b"])
    'a, b'
    """
    more = f" and {len(columns) - _N_NAMED} more" if len(columns) > _N_NAMED else ""
    return ", ".join(column[:_MOST_LETTERS] for column in columns[:_N_NAMED]) + more


def _decoded(path: str | Path) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file, and a note where its encoding is a guess."""
    try:
        content = read_at_most(input_place(path), _LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise SourceError(f"{path}: expected a table of at most {_LARGEST_BYTES >> 20} MiB, got a larger file")
        for start, what in _BINARY.items():
            if content.startswith(start):
                raise SourceError(f"{path}: expected a CSV file, got {what}: save it as CSV")
        return _text_of(content)
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path}: expected a CSV file in UTF-8, got {error}: check the path, save it anew") from error


def _text_of(content: bytes) -> tuple[str, tuple[str, ...]]:
    for start, encoding in _WIDE.items():
        if content.startswith(start):
            return content.decode(encoding), ()
    if content[1:400:2].count(0) > len(content[1:400:2]) // 2:  # UTF-16 without a mark: every other byte is zero
        return content.decode("utf-16-le"), ()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in content:
            raise
        return content.decode("cp1252"), ("the table is not in UTF-8 and was read as Windows-1252: check names in it",)
    if "\0" in text:
        raise UnicodeDecodeError("utf-8", content[:1], 0, 1, "zeros in the text")
    return text, ()


def _records(text: str, path: str | Path) -> list[_Record]:
    """Divide text into lines of cells; without comments and empty lines."""
    lines = ["\n" if _is_comment(line) else line for line in io.StringIO(text, newline="")]
    told = re.fullmatch(r"sep=(.)\s*", lines[0]) if lines else None
    delimiter = told[1] if told else _delimiter(lines)
    reader = csv.reader(["\n", *lines[1:]] if told else lines, delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, values) for values in reader if any(map(str.strip, values))]
    except csv.Error as error:
        raise AnnotationError(
            f"{path}, row {reader.line_num}: expected cells between {delimiter!r}, got {error}: mend the quotes"
        ) from error


def _delimiter(lines: Sequence[str]) -> str:
    looked_at = [re.sub('"[^"]*"', "", line) for line in lines if line.strip()][:_N_LOOKED_AT]
    most = {each: max((len(re.findall(mark, line)) for line in looked_at), default=0)
            for each, mark in _DELIMITERS.items()}  # fmt: skip
    return max(most, key=lambda each: most[each]) if any(most.values()) else ","


def _is_comment(line: str) -> bool:
    return line.startswith("#")


def _comment_note(text: str, body: Sequence[_Record]) -> tuple[str, ...]:
    first = body[0][0] if body else 0
    lines = [i for i, line in enumerate(io.StringIO(text, newline=""), 1) if i > first and _is_comment(line)]
    return (f"{len(lines)} lines that begin with # are left out, such as line {lines[0]}",) if lines else ()


def _without_title(records: list[_Record]) -> list[_Record]:
    counts = [sum(bool(value.strip()) for value in values) for _, values in records]
    first = next((i for i, n in enumerate(counts) if n > 1), 0)
    return records[first:] if all(n == 1 for n in counts[:first]) else records


def _renamed(header: Sequence[str], required: Sequence[str]) -> list[str]:
    """Write the names of required columns as they are asked for."""
    wanted = {name.casefold(): name for name in required}
    return [name if name in required else wanted.get(name.casefold(), name) for name in header]


def _check_lengths(body: Sequence[_Record], n_columns: int, path: str | Path) -> None:
    for line, values in body:
        if any(value.strip() for value in values[n_columns:]):
            raise AnnotationError(
                f"{path}, row {line}: expected {n_columns} values, got {len(values)}: quote values that contain the "
                "mark between cells, as a decimal comma may be"
            )


def _kept_columns(names: Sequence[str], body: Sequence[_Record], path: str | Path) -> dict[int, str]:
    """Name columns by their position; those without a name or any value are no columns."""
    kept: dict[int, str] = {}
    seen: set[str] = set()
    for i, name in enumerate(names):
        line, value = next(((n, row[i].strip()) for n, row in body if i < len(row) and row[i].strip()), (0, ""))
        if not (name or value) or (name in seen and not value):
            continue
        if not name:
            raise AnnotationError(
                f"{path}, row {line}: expected a header with a name for each column, got {value!r} in column {i + 1}, "
                "which has none: name it or delete it"
            )
        if name in seen:
            raise AnnotationError(
                f"{path}: expected a header with a name for each column, got {name!r} twice: mend its first line"
            )
        kept[i] = name
        seen.add(name)
    return kept
