"""How many objects of each class each image has: a table, written and read."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from simsearch.io.tables.cells import text_of, written
from simsearch.io.tables.records.replacing import replacing_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from simsearch.core.peaks import PeakColumns

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


def share_in(counts: Mapping[str, int], class_name: str, aside: Collection[str] = ()) -> float:
    """Compute the share of a class in all objects.

    Parameters
    ----------
    counts : mapping of str to int
        Objects by the name of the class.
    class_name : str
        One of them.
    aside : collection of str
        Classes whose objects do not count in the shares of others: cells that cannot respond say nothing of how many of
        those that can do. The share of such a class is still one in all objects.

    Returns
    -------
    float
        From 0 to 1; NaN where nothing counts.

    Examples
    --------
    >>> counts = {"nucleus": 3, "cytoplasm": 1, "no GFP": 4}
    >>> share_in(counts, "nucleus"), share_in(counts, "nucleus", ["no GFP"]), share_in(counts, "no GFP", ["no GFP"])
    (0.375, 0.75, 0.5)
    """
    left_out = () if class_name in aside else aside
    total = sum(n for name, n in counts.items() if name not in left_out)
    return counts.get(class_name, 0) / total if total else math.nan


def counted_in(objects: PeakColumns) -> dict[str, int]:
    """Count objects by the name of their class."""
    return {name: int((objects.class_index == index).sum()) for index, name in enumerate(objects.classes)}


def counted_titles(classes: Sequence[str]) -> list[str]:
    """Title what `counted` gives."""
    return [f"{kind}{name}" for name in classes for kind in (_COUNT, _FRACTION)]


def counted(counts: Mapping[str, int], classes: Sequence[str], aside: Collection[str] = ()) -> list[str]:
    """Write for each class how many objects there are, and their share, which is empty where there is none at all."""
    cells = []
    for name in classes:
        share = share_in(counts, name, aside)
        cells += [str(counts.get(name, 0)), "" if math.isnan(share) else f"{share:.6f}"]
    return cells


def write_image_counts(
    images: Iterable[ImageCounts], classes: Sequence[str], path: Path, aside: Collection[str] = ()
) -> None:
    """Write a CSV file with a row for each image: objects of each class, and its share in all objects of the image.

    Parameters
    ----------
    images : iterable of ImageCounts
        In the order in which they are written; those without objects, too.
    classes : sequence of str
        Names of all classes.
    path : Path
        Where to write. The share is empty where there is no object.
    aside : collection of str
        As of `share_in`.

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
        rows.writerow(["image", *counted_titles(classes)])
        for image in images:
            rows.writerow([written(image.image), *counted(image.counts, classes, aside)])


def read_image_counts(path: Path, classes: Sequence[str]) -> list[ImageCounts]:
    """Read such a file; of a run by a simsearch that wrote none, there are none.

    Raises
    ------
    ValueError, KeyError
        If it is no such table.
    """
    if not path.exists():
        return []
    rows = csv.DictReader(StringIO(path.read_text(encoding="utf-8"), newline=""))
    return [ImageCounts(text_of(row["image"]), {name: int(row[f"{_COUNT}{name}"]) for name in classes}) for row in rows]
