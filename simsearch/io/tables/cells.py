"""Text in CSV that spreadsheets keep as text: what begins like a formula gets an apostrophe, which is taken away again.

Only text is treated so: a number below zero stays a number.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute

_LIKE_A_FORMULA = r"'*[=+\-@\t\r]"  # with apostrophes of its own before it: so the way back is unique
_WRITTEN = re.compile(rf"^'({_LIKE_A_FORMULA})")
_TO_WRITE = re.compile(rf"^({_LIKE_A_FORMULA})")


def written(text: str) -> str:
    """Return what stands in a cell for a text.

    Examples
    --------
    >>> written("=1+1"), written("-"), written("'-"), written("it's"), written("")
    ("'=1+1", "'-", "''-", "it's", '')
    """
    return _TO_WRITE.sub(r"'\1", text)


def text_of(cell: str) -> str:
    """Return the text that a cell stands for.

    Examples
    --------
    >>> text_of("'=1+1"), text_of("-1.5"), text_of("it's")
    ('=1+1', '-1.5', "it's")
    """
    return _WRITTEN.sub(r"\1", cell)


def written_table(table: pa.Table) -> pa.Table:
    """Treat all text of a table as `written` does."""
    return _replaced(table, rf"^({_LIKE_A_FORMULA})", r"'\1")


def text_table(table: pa.Table) -> pa.Table:
    """Treat all text of a table as `text_of` does."""
    return _replaced(table, rf"^'({_LIKE_A_FORMULA})", r"\1")


def _replaced(table: pa.Table, pattern: str, replacement: str) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = pyarrow.compute.replace_substring_regex(table[field.name], pattern, replacement)
            table = table.set_column(index, field, column)
    return table
