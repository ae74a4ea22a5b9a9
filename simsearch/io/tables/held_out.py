"""What cross-validation says of the patches that a model is trained on, as CSV."""

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

_COLUMNS = ("image", "class", "y", "x", "doubtful")
_CONFIDENCE = "confidence "


@dataclass(frozen=True, slots=True)
class HeldOutPatch:
    """A patch, and what a classifier says of it that was fitted to other images."""

    image: str
    """Name of its image."""
    class_name: str
    """What it was said to be."""
    y: float
    """Row of its centre in level-0 pixels."""
    x: float
    """Column of its centre."""
    confidences: tuple[float, ...]
    """How probable each class is, background among them; NaN where no other image has any of its class."""
    is_doubtful: bool
    """Whether the classifier is sure that it is something else."""


def write_held_out(patches: Sequence[HeldOutPatch], classes: Sequence[str], path: Path) -> None:
    """Write a row for each patch, those that are least like their class first.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    of_own = [patch.confidences[classes.index(patch.class_name)] for patch in patches]
    order = sorted(range(len(patches)), key=lambda row: (math.isnan(of_own[row]), of_own[row]))
    with replacing_text(path) as file:
        rows = csv.writer(file)
        rows.writerow([*_COLUMNS, *(f"{_CONFIDENCE}{name}" for name in classes)])
        for patch in (patches[row] for row in order):
            said = written(patch.image), written(patch.class_name), f"{patch.y:.3f}", f"{patch.x:.3f}"
            confidences = ("" if math.isnan(value) else f"{value:.4f}" for value in patch.confidences)
            rows.writerow([*said, "yes" if patch.is_doubtful else "no", *confidences])


def read_held_out(path: Path, classes: Sequence[str]) -> list[HeldOutPatch]:
    """Read what `write_held_out` wrote, in its order.

    Raises
    ------
    SourceError, AnnotationError
        If it is no such file.
    """
    table = read_table(path, (*_COLUMNS, *(f"{_CONFIDENCE}{name}" for name in classes)))
    found = []
    for row in table.rows:
        try:
            y, x = row.read_number("y"), row.read_number("x")
            confidences = tuple(
                row.read_number(column) if row.values[column] else math.nan
                for column in (f"{_CONFIDENCE}{name}" for name in classes)
            )
        except AnnotationError as error:
            raise AnnotationError(f"{table.place(row)}: {error}") from error
        is_doubtful = row.values["doubtful"] == "yes"
        found.append(HeldOutPatch(row.values["image"], row.values["class"], y, x, confidences, is_doubtful))
    return found
