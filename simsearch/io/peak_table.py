"""Peaks of similarity, and detections of a model, as Parquet and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from simsearch.core.peaks import Peak
from simsearch.errors import AnnotationError
from simsearch.io.wells import make_well

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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

DETECTION_SCHEMA = pa.schema(
    [
        PEAK_SCHEMA.field("image"),
        pa.field("well", pa.string()),
        pa.field("field", pa.string()),
        *(PEAK_SCHEMA.field(name) for name in ("class", "y", "x", "y_um", "x_um", "height", "width")),
        pa.field("confidence", pa.float64()),
        pa.field("model", pa.string(), metadata={"unit": "sha256 of the model file"}),
    ]
)
"""Columns of a table of detections; well and field are null outside of plates."""


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
    rows = [_row(peak, images[peak.image]) | {"similarity": peak.score} for peak in peaks]
    table = _sorted(pa.Table.from_pylist(rows, schema=PEAK_SCHEMA), "similarity")
    pyarrow.parquet.write_table(table, folder / "peaks.parquet")
    pyarrow.csv.write_csv(table, folder / "peaks.csv")


def write_detections(peaks: Sequence[Peak], images: Mapping[str, ImageMeta], model: str, folder: Path) -> None:
    """Write detections as ``detections.parquet`` and ``detections.csv``, sorted by image, class and confidence.

    In the Parquet file each image is a row group of its own, so that one can be read without the others. Both are put
    in their places when they are complete.

    Parameters
    ----------
    peaks : sequence of Peak
        What to write.
    images : mapping of str to ImageMeta
        The images by name.
    model : str
        sha256 of the model file.
    folder : Path
        Where to write.
    """
    by_image: dict[str, list[Peak]] = {name: [] for name in sorted(images)}
    for peak in peaks:
        by_image[peak.image].append(peak)
    parquet, table_csv = folder / "detections.parquet", folder / "detections.csv"
    partial, partial_csv = (path.with_name(f".{path.name}.partial") for path in (parquet, table_csv))
    with (
        pyarrow.parquet.ParquetWriter(partial, DETECTION_SCHEMA) as rows,
        pyarrow.csv.CSVWriter(partial_csv, DETECTION_SCHEMA) as lines,
    ):
        for name, here in by_image.items():
            if here:
                table = _detection_table(here, images[name], model)
                rows.write_table(table)
                lines.write_table(table)
    partial.replace(parquet)
    partial_csv.replace(table_csv)


def write_chosen_rows(source: Path, indices: Sequence[int], path: Path) -> None:
    """Write some rows of a Parquet table as CSV."""
    pyarrow.csv.write_csv(pyarrow.parquet.read_table(source).take(pa.array(indices, pa.int64())), path)


def _detection_table(peaks: Sequence[Peak], image: ImageMeta, model: str) -> pa.Table:
    well, field = _well_and_field(image.name)
    more = {"well": well, "field": field, "model": model}
    rows = [_row(peak, image) | {"confidence": peak.score} | more for peak in peaks]
    return _sorted(pa.Table.from_pylist(rows, schema=DETECTION_SCHEMA), "confidence")


def _well_and_field(name: str) -> tuple[str | None, str | None]:
    """Tell from ``PLATE/ROW/COLUMN/FIELD`` which well and field an image is.

    Examples
    --------
    >>> _well_and_field("P1/B/03/0"), _well_and_field("slide")
    (('B03', '0'), (None, None))
    """
    parts = name.split("/")
    well = make_well(parts[1], parts[2]) if len(parts) == 4 else None
    return (well.name, parts[3]) if well else (None, None)


def _sorted(table: pa.Table, score: str) -> pa.Table:
    keys = ("image", "class", score, "y", "x")
    return table.sort_by([(key, "descending" if key == score else "ascending") for key in keys])


def read_peaks(path: Path) -> list[Peak]:
    """Read peaks or detections from a Parquet table.

    Raises
    ------
    AnnotationError
        If the file is no such table.
    """
    try:
        names = pyarrow.parquet.read_schema(path).names
        score = "confidence" if "confidence" in names else "similarity"
        schema = DETECTION_SCHEMA if score == "confidence" else PEAK_SCHEMA
        missing = [name for name in schema.names if name not in names]
        if missing:  # they would be read as null
            raise pa.ArrowInvalid(f"no column {', '.join(missing)}")
        rows = pyarrow.parquet.read_table(path, schema=schema).to_pylist()
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
