"""Peaks of similarity, and detections of a model, as Parquet and CSV."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from simsearch.core.notes import some_of
from simsearch.core.peaks import Peak, PeakColumns
from simsearch.errors import AnnotationError, SimSearchError
from simsearch.io.ome_zarr.plates.wells import make_well
from simsearch.io.places import as_os_errors, replacing
from simsearch.io.tables.cells import written_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.io.ome_zarr.image import ImageMeta

_PIXEL = {"unit": "pixel at level 0"}
_MICROMETER = {"unit": "micrometer"}
_GROUP_ROWS = 2**17  # of a row group: some 30 MB in memory with all columns

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
    with replacing(folder / "peaks.parquet") as parquet, replacing(folder / "peaks.csv") as table_csv:
        pyarrow.parquet.write_table(table, parquet)
        pyarrow.csv.write_csv(written_table(table), table_csv)


def write_detections(
    detections: Iterable[PeakColumns], images: Mapping[str, ImageMeta], model: str, folder: Path
) -> None:
    """Write detections as ``detections.parquet`` and ``detections.csv``, sorted by class and confidence in each image.

    A row group of the Parquet file holds rows of one image, so that one can be read without the others, and memory is
    needed for one image at a time. Both files are put in their places when they are complete.

    Parameters
    ----------
    detections : iterable of PeakColumns
        Of each image, in the order in which images are written.
    images : mapping of str to ImageMeta
        The images by name.
    model : str
        sha256 of the model file.
    folder : Path
        Where to write.
    """
    parquet, table_csv = folder / "detections.parquet", folder / "detections.csv"
    with (
        replacing(parquet) as partial,
        replacing(table_csv) as partial_csv,
        pyarrow.parquet.ParquetWriter(partial, DETECTION_SCHEMA) as rows,
        pyarrow.csv.CSVWriter(partial_csv, DETECTION_SCHEMA) as lines,
    ):
        for here in detections:
            ordered = here.in_order()
            for start in range(0, len(here), _GROUP_ROWS):
                part = ordered.take(slice(start, start + _GROUP_ROWS))
                table = _detection_table(part, images[here.image], model)
                rows.write_table(table)
                lines.write_table(written_table(table))


def write_chosen_rows(source: Path, is_chosen: NDArray[np.bool_], path: Path) -> None:
    """Write some rows of a table of detections as CSV.

    Parameters
    ----------
    source : Path
        ``detections.parquet``.
    is_chosen : (N,) bool array
        Which of its rows.
    path : Path
        Where to write.
    """
    start = 0
    with (
        as_os_errors(),
        source.open("rb") as content,
        pyarrow.parquet.ParquetFile(content) as file,
        replacing(path) as partial,
        pyarrow.csv.CSVWriter(partial, file.schema_arrow) as lines,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            lines.write_table(written_table(table.filter(pa.array(is_chosen[start : start + len(table)]))))
            start += len(table)


def _detection_table(peaks: PeakColumns, image: ImageMeta, model: str) -> pa.Table:
    n = len(peaks)
    well, field = (_repeated(text, n) for text in well_and_field(image.name))
    index = pa.array(peaks.class_index.astype(np.int32))
    size_um = image.pixel_size_um
    columns = {
        "image": _repeated(peaks.image, n),
        "well": well,
        "field": field,
        "class": pa.DictionaryArray.from_arrays(index, pa.array(peaks.classes)).cast(pa.string()),
        "y": peaks.y,
        "x": peaks.x,
        "y_um": image.origin[0] + peaks.y * size_um[0] if size_um else pa.nulls(n, pa.float64()),
        "x_um": image.origin[1] + peaks.x * size_um[1] if size_um else pa.nulls(n, pa.float64()),
        "height": peaks.height,
        "width": peaks.width,
        "confidence": peaks.score,
        "model": _repeated(model, n),
    }
    return pa.table(columns, schema=DETECTION_SCHEMA)


def _repeated(text: str | None, n: int) -> pa.Array:
    return pa.nulls(n, pa.string()) if text is None else pa.repeat(text, n)


def well_and_field(name: str) -> tuple[str | None, str | None]:
    """Tell from ``PLATE/ROW/COLUMN/FIELD`` which well and field an image is.

    Examples
    --------
    >>> well_and_field("P1/B/03/0"), well_and_field("slide")
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
    table = read_peak_table(path)
    score = "confidence" if "confidence" in table.column_names else "similarity"
    return [
        Peak(row["image"], row["class"], row["y"], row["x"], (row["height"], row["width"]), row[score])
        for row in table.to_pylist()
    ]


def read_peak_table(path: Path) -> pa.Table:
    """Read a Parquet table of peaks (`PEAK_SCHEMA`) or detections (`DETECTION_SCHEMA`), whichever it is.

    Raises
    ------
    AnnotationError
        If the file is no such table.
    """
    with _opened(path, "detect" if path.stem == "detections" else "search") as content:
        schema = _check_columns(pyarrow.parquet.read_schema(content))
        return pyarrow.parquet.read_table(content, schema=schema)


def read_detections(path: Path) -> Iterator[PeakColumns]:
    """Read a table of detections image by image.

    Yields
    ------
    PeakColumns
        Of each image that has some, in the order of the file.

    Raises
    ------
    AnnotationError
        If the file is no such table, or a row group of it holds rows of several images.
    """
    with _opened(path, "detect") as content, pyarrow.parquet.ParquetFile(content) as file:
        _check_columns(file.schema_arrow)
        for image, own in groupby(range(file.num_row_groups), lambda group: _image_of_group(file, group)):
            yield _columns_of_groups(file, list(own), image)


def _columns_of_groups(file: pyarrow.parquet.ParquetFile, groups: Sequence[int], image: str) -> PeakColumns:
    """Read row groups one after the other, since a table of all of them would take as much room again."""
    names = ["class", "y", "x", "height", "width", "confidence"]
    schema = pa.schema([DETECTION_SCHEMA.field(name) for name in names])
    n_rows = sum(file.metadata.row_group(group).num_rows for group in groups)
    numbers, index = np.empty((len(names) - 1, n_rows)), np.empty(n_rows, np.int32)
    classes: dict[str, int] = {}
    start = 0
    for group in groups:
        table = file.read_row_group(group, columns=names).cast(schema)
        here = slice(start, start + len(table))
        for row, name in zip(numbers, names[1:], strict=True):
            row[here] = table[name].to_numpy()
        encoded = pyarrow.compute.dictionary_encode(table["class"].combine_chunks())
        ranks = [classes.setdefault(name, len(classes)) for name in encoded.dictionary.to_pylist()]
        index[here] = np.array(ranks)[encoded.indices.to_numpy()]
        start = here.stop
    return PeakColumns(image, tuple(classes), index, *numbers)


def _image_of_group(file: pyarrow.parquet.ParquetFile, group: int) -> str:
    names = pyarrow.compute.unique(file.read_row_group(group, columns=["image"])["image"]).to_pylist()
    if len(names) != 1:
        raise pa.ArrowInvalid(f"rows of several images together ({some_of(names)}), as other programs write them")
    return str(names[0])


@contextmanager
def _opened(path: Path, again: str) -> Iterator[BinaryIO]:
    """Open a table, and name it in what goes wrong with it, and what to do again."""
    try:
        with as_os_errors(), path.open("rb") as content:
            yield content
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, SimSearchError):
            raise
        got = "no file" if isinstance(error, FileNotFoundError) else error
        raise AnnotationError(f"{path}: expected a Parquet table of peaks, got {got}: {again} again") from error


def _check_columns(found: pa.Schema) -> pa.Schema:
    """Return the schema of a table."""
    schema = DETECTION_SCHEMA if "confidence" in found.names else PEAK_SCHEMA
    missing = [name for name in schema.names if name not in found.names]
    if missing:  # they would be read as null
        raise pa.ArrowInvalid(f"no column {', '.join(missing)}")
    return schema


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
