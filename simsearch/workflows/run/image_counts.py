"""How many objects of each class each image has: a table, written and read."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.io.tables.cells import text_of, written
from simsearch.io.tables.records.replacing import replacing_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

IMAGE_COUNTS_NAME = "images.csv"
_COUNT, _FRACTION = "count ", "fraction "


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """What an image has."""

    image: str
    counts: Mapping[str, int]
    """Objects by the name of the class."""

    @property
    def total(self) -> int:
        """Objects of all classes."""
        return sum(self.counts.values())


def write_image_counts(images: Iterable[ImageCounts], classes: Sequence[str], path: Path) -> None:
    """Write a CSV file with a row for each image: objects of each class, and its share in all objects of the image.

    Parameters
    ----------
    images : iterable of ImageCounts
        In the order in which they are written; those without objects, too.
    classes : sequence of str
        Names of all classes.
    path : Path
        Where to write. The share is empty where there is no object.

    Raises
    ------
    StoreError
        If the file cannot be written.

    Examples
    --------
    >>> write_image_counts([ImageCounts("slide", {"nucleus": 3})], ["nucleus"], Path("images.csv"))  # doctest: +SKIP
    """
    with replacing_text(path) as file:
        rows = csv.writer(file)
        rows.writerow(["image", *(f"{kind}{name}" for name in classes for kind in (_COUNT, _FRACTION))])
        for image in images:
            total, row = image.total, [written(image.image)]
            for n in (image.counts.get(name, 0) for name in classes):
                row += [str(n), f"{n / total:.6f}" if total else ""]
            rows.writerow(row)


def read_image_counts(path: Path, classes: Sequence[str]) -> list[ImageCounts]:
    """Read such a file; of a run by a simsearch that wrote none, there are none.

    Raises
    ------
    ValueError, KeyError
        If it is no such table.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            ImageCounts(text_of(row["image"]), {name: int(row[f"{_COUNT}{name}"]) for name in classes})
            for row in csv.DictReader(file)
        ]
