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

    from simsearch.io.image import ImageMeta

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


def write_peaks(peaks: Iterable[Peak], images: Mapping[str, ImageMeta], folder: Path) -> None:
    """Write peaks as ``peaks.parquet`` and ``peaks.csv``, sorted by image, class and descending similarity.

    Parameters
    ----------
    peaks : iterable of Peak
        What to write.
    images : mapping of str to ImageMeta
        The images by name: where in micrometres their pixels lie, as far as it is known.
    folder : Path
        Where to write.
    """
    table = pa.Table.from_pylist([_row(peak, images[peak.image]) for peak in peaks], schema=PEAK_SCHEMA)
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


def _row(peak: Peak, image: ImageMeta) -> dict[str, object]:
    size_um = image.pixel_size_um
    return {
        "image": peak.image,
        "class": peak.class_name,
        "y": peak.y,
        "x": peak.x,
        "y_um": image.origin[0] + peak.y * size_um[0] if size_um else None,
        "x_um": image.origin[1] + peak.x * size_um[1] if size_um else None,
        "height": peak.patch_shape[0],
        "width": peak.patch_shape[1],
        "similarity": peak.similarity,
    }
