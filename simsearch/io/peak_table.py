"""Peaks of similarity, and detections of a model, as Parquet and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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

Score = Literal["similarity", "confidence"]


def peak_schema(score: Score) -> pa.Schema:
    """Return the columns of a table of peaks; y and x are pixel centres."""
    return pa.schema(
        [
            pa.field("image", pa.string()),
            pa.field("class", pa.string()),
            pa.field("y", pa.float64(), metadata=_PIXEL),
            pa.field("x", pa.float64(), metadata=_PIXEL),
            pa.field("y_um", pa.float64(), metadata=_MICROMETER),
            pa.field("x_um", pa.float64(), metadata=_MICROMETER),
            pa.field("height", pa.float64(), metadata=_PIXEL),
            pa.field("width", pa.float64(), metadata=_PIXEL),
            pa.field(score, pa.float64()),
        ]
    )


def write_peaks(
    peaks: Iterable[Peak], images: Mapping[str, ImageMeta], folder: Path, *, score: Score = "similarity"
) -> None:
    """Write peaks as Parquet and CSV, sorted by image, class and descending score.

    Parameters
    ----------
    peaks : iterable of Peak
        What to write.
    images : mapping of str to ImageMeta
        The images by name: where in micrometres their pixels lie, as far as it is known.
    folder : Path
        Gets ``peaks.parquet`` and ``peaks.csv``, or ``detections.parquet`` and ``detections.csv`` of a model.
    score : str
        What the score is: similarity, or a model's confidence.
    """
    rows = [_row(peak, images[peak.image]) | {score: peak.score} for peak in peaks]
    table = pa.Table.from_pylist(rows, schema=peak_schema(score))
    keys = ("image", "class", score, "y", "x")
    table = table.sort_by([(key, "descending" if key == score else "ascending") for key in keys])
    name = "peaks" if score == "similarity" else "detections"
    pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
    pyarrow.csv.write_csv(table, folder / f"{name}.csv")


def read_peaks(path: Path) -> list[Peak]:
    """Read peaks or detections from a Parquet table.

    Raises
    ------
    AnnotationError
        If the file is no such table.
    """
    try:
        score: Score = "confidence" if "confidence" in pyarrow.parquet.read_schema(path).names else "similarity"
        rows = pyarrow.parquet.read_table(path, schema=peak_schema(score)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise AnnotationError(f"{path}: expected a Parquet table of peaks, got {error}: search again") from error
    return [
        Peak(row["image"], row["class"], row["y"], row["x"], (row["height"], row["width"]), row[score]) for row in rows
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
    }
