"""A random sample of what was found, as CSV in which a person says of each place whether it is right."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError
from simsearch.io.tables.cells import written
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.io.tables.rows import Row, Table, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SAMPLE_COLUMNS = (
    "number", "image", "class", "y", "x", "height", "width", "confidence", "chosen_at", "right", "model",
)  # fmt: skip
"""Columns of such a table."""
_NUMBERS = ("y", "x", "height", "width", "confidence", "chosen_at")
_ANSWERS = {
    **dict.fromkeys(("yes", "y", "true", "1", "right", "ja", "oui", "si", "sí", "wahr", "vrai"), True),
    **dict.fromkeys(("no", "n", "false", "0", "wrong", "nein", "non", "falsch", "faux"), False),
    "": None,
}


@dataclass(frozen=True, slots=True)
class SampledPlace:
    """A place of a sample, in level-0 pixels."""

    image: str
    class_name: str
    y: float
    x: float
    height: float
    width: float
    confidence: float
    chosen_at: float
    """Confidence threshold that the halves of the sample lie above and below."""
    is_right: bool | None = None
    """What a person said; None before."""


def write_sample(places: Sequence[SampledPlace], model: str, path: Path) -> None:
    """Write a sample, numbered from 1 on.

    Parameters
    ----------
    places : sequence of SampledPlace
        In the order in which they are asked.
    model : str
        sha256 of the file of the model that found them.
    path : Path
        Where to write.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    words = {True: "yes", False: "no", None: ""}
    with replacing_text(path) as file:
        rows = csv.writer(file)
        rows.writerow(SAMPLE_COLUMNS)
        for number, each in enumerate(places, 1):
            place = (f"{each.y:.2f}", f"{each.x:.2f}", f"{each.height:g}", f"{each.width:g}")
            scores = (f"{each.confidence:.4f}", f"{each.chosen_at:g}")
            names = (written(each.image), written(each.class_name))
            rows.writerow([number, *names, *place, *scores, words[each.is_right], model])


def read_sample(path: Path, model: str, tell: Callable[[str], object] = lambda note: None) -> list[SampledPlace]:
    """Read a sample, however far it is judged.

    Parameters
    ----------
    path : Path
        CSV of `write_sample`, as a spreadsheet may have saved it.
    model : str
        sha256 of the file of the model whose places it must have.
    tell : callable
        Gets notes on how the table was read.

    Raises
    ------
    SourceError
        If the file cannot be read as text.
    AnnotationError
        If a column is missing, a row is wrong or an answer is not understood; the message names the row.
    """
    table = read_table(path, SAMPLE_COLUMNS)
    for note in table.notes:
        tell(f"{path.name}: {note}")
    return [_place(table, row, model) for row in table.rows]


def _place(table: Table, row: Row, model: str) -> SampledPlace:
    if row.values["model"] != model:
        raise AnnotationError(
            f"{table.place(row, 'model')}: expected {model[:12]}…, the model of these results, got "
            f"{row.values['model'][:12] or 'nothing'}: mend the cell, or if the sample is of other results, move "
            "the file elsewhere to draw a new one"
        )
    answer = row.values["right"].casefold()
    if answer not in _ANSWERS:
        raise AnnotationError(
            f"{table.place(row, 'right')}: expected yes or no, or nothing, got {row.values['right']!r}: mend the cell"
        )
    try:
        y, x, height, width, confidence, chosen_at = (row.read_number(column) for column in _NUMBERS)
    except AnnotationError as error:
        raise AnnotationError(f"{table.place(row)}: {error}") from error
    names = (row.values["image"], row.values["class"])
    return SampledPlace(*names, y, x, height, width, confidence, chosen_at, _ANSWERS[answer])
