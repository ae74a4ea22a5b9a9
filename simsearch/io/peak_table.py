"""Peaks of similarity as Parquet and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from simsearch.core.peaks import Peak
from simsearch.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_PIXEL = {"unit": "pixel at level 0"}
_MICROMETER = {"unit": "micrometer"}

PEAK_SCHEMA = pa.schema(
    [
        pa.field("image", pa.string()),
        pa.field("class", pa.string()),
        pa.field("y", pa.float64(), metadata=_PIXEL),
        pa.field("x", pa.float64(), metadata=_PIXEL),
        pa.field("y_um", pa.float64(), metadata=_MICROMETER),
        pa.field("x_um", pa.float64(), metadata=_MICROMETER),
        pa.field("height", pa.float64(), metadata=_PIXEL),
        pa.field("width", pa.float64(), metadata=_PIXEL),
        pa.field("similarity", pa.float64()),
    ]
)
"""Columns of a table of peaks; y and x are pixel centres."""


def write_peaks(peaks: Iterable[Peak], pixel_sizes_um: Mapping[str, tuple[float, float] | None], folder: Path) -> None:
    """Write peaks as ``peaks.parquet`` and ``peaks.csv``, sorted by image, class and descending similarity.

    Parameters
    ----------
    peaks : iterable of Peak
        What to write.
    pixel_sizes_um : mapping of str to (float, float) or None
        Height and width of a level-0 pixel of each image in micrometres, where known.
    folder : Path
        Where to write.
    """
    table = pa.Table.from_pylist([_row(peak, pixel_sizes_um[peak.image]) for peak in peaks], schema=PEAK_SCHEMA)
    keys = ("image", "class", "similarity", "y", "x")
    table = table.sort_by([(key, "descending" if key == "similarity" else "ascending") for key in keys])
    pyarrow.parquet.write_table(table, folder / "peaks.parquet")
    pyarrow.csv.write_csv(table, folder / "peaks.csv")


def read_peaks(path: Path) -> list[Peak]:
    """Read peaks from a Parquet table.

    Raises
    ------
    AnnotationError
        If the file is no such table.
    """
    try:
        rows = pyarrow.parquet.read_table(path, schema=PEAK_SCHEMA).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise AnnotationError(f"{path}: expected a Parquet table of peaks, got {error}: search again") from error
    return [
        Peak(row["image"], row["class"], row["y"], row["x"], (row["height"], row["width"]), row["similarity"])
        for row in rows
    ]


def _row(peak: Peak, size_um: tuple[float, float] | None) -> dict[str, object]:
    return {
        "image": peak.image,
        "class": peak.class_name,
        "y": peak.y,
        "x": peak.x,
        "y_um": peak.y * size_um[0] if size_um else None,
        "x_um": peak.x * size_um[1] if size_um else None,
        "height": peak.patch_shape[0],
        "width": peak.patch_shape[1],
        "similarity": peak.similarity,
    }
