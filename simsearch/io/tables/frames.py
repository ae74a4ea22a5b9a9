"""Tables of results as pandas data frames."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv

from simsearch.errors import AnnotationError
from simsearch.io.places import as_os_errors
from simsearch.io.tables.cells import text_of, text_table
from simsearch.io.tables.peaks import DETECTION_SCHEMA, read_peak_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

_FROM_CSV = {"strings_can_be_null": True, "null_values": [""]}  # an image may be called NA


def peak_frame(path: Path) -> pd.DataFrame:
    """Read ``peaks.parquet`` or ``detections.parquet``, with the columns of the file.

    Raises
    ------
    AnnotationError
        If the file is no such table.
    """
    return read_peak_table(path).to_pandas()


def object_frame(path: Path) -> pd.DataFrame:
    """Read ``objects.csv``, whose columns are those of detections.

    Raises
    ------
    AnnotationError
        If the file is no such table.
    """
    return csv_frame(path, {field.name: str(field.type) for field in DETECTION_SCHEMA})


def object_counts(path: Path) -> dict[str, int]:
    """Count the objects of each class in ``objects.csv``, a part of the file in memory at a time.

    Raises
    ------
    AnnotationError
        If the file is no such table.
    """
    counts: Counter[str] = Counter()
    options = pyarrow.csv.ConvertOptions(include_columns=["class"], column_types={"class": "string"}, **_FROM_CSV)
    try:
        with as_os_errors(), path.open("rb") as file, pyarrow.csv.open_csv(file, convert_options=options) as parts:
            for part in parts:
                for each in part["class"].value_counts().to_pylist():
                    counts[text_of(each["values"] or "")] += each["counts"]
    except (OSError, pa.ArrowException) as error:
        got = "no file" if isinstance(error, FileNotFoundError) else error
        raise AnnotationError(f"{path}: expected a table of objects, got {got}: detect again") from error
    return dict(counts)


def csv_frame(path: Path, types: Mapping[str, str]) -> pd.DataFrame:
    """Read a CSV file; what is empty is missing.

    Parameters
    ----------
    path : Path
        The file.
    types : mapping of str to str
        Arrow's names of the types of columns that are there; those of others are told from what stands in them.

    Raises
    ------
    AnnotationError
        If the file cannot be read, or is no such table.
    """
    try:
        options = pyarrow.csv.ConvertOptions(column_types=dict(types), **_FROM_CSV)
        with as_os_errors(), path.open("rb") as file:
            table = pyarrow.csv.read_csv(file, convert_options=options)
        missing = [name for name in types if name not in table.column_names]
        if missing:
            raise pa.ArrowInvalid(f"no column {', '.join(missing)}")
        return text_table(table).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise AnnotationError(f"{path}: expected a table of results, got {error}: compute them again") from error
