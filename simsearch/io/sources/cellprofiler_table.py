"""Plates as CellProfiler's LoadData tables describe them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from simsearch.errors import AnnotationError
from simsearch.io.ome_zarr.wells import Well, make_well, parse_well
from simsearch.io.sources.plate_files import PlaneFile
from simsearch.io.tables.rows import Row, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = re.compile(r"(?:Image_)?(?:FileName|URL)_(.+)")
_WELLS = ("Metadata_Well", "Metadata_well", "Metadata_WellName")
_ROWS, _COLUMNS = ("Metadata_Row", "Metadata_WellRow"), ("Metadata_Column", "Metadata_Col", "Metadata_WellColumn")
_FIELDS = ("Metadata_Site", "Metadata_Field", "Metadata_FieldID", "Metadata_FieldIndex")
_PLATES = ("Metadata_Plate", "Metadata_PlateID")


@dataclass(frozen=True, slots=True)
class CellProfilerTable:
    """What a LoadData table tells."""

    files: list[PlaneFile]
    channels: tuple[str, ...]
    """In the order of their columns."""


def read_cellprofiler_table(path: str | Path) -> CellProfilerTable:
    """Read a LoadData table.

    It has a column ``FileName_<channel>`` (with ``PathName_<channel>``) or ``URL_<channel>`` for each channel, and
    ``Metadata_Well``, or ``Metadata_Row`` and ``Metadata_Column``; optional are ``Metadata_Site`` (or ``_Field``),
    ``Metadata_Plate`` and ``Frame_<channel>``. Columns may begin with ``Image_``. Paths are relative to the table.

    Raises
    ------
    SourceError
        If the file cannot be read.
    AnnotationError
        If columns are missing, a well does not exist, or there are several plates.
    """
    header, rows = read_table(path)
    channels = tuple(dict.fromkeys(found[1] for name in header if (found := _FILE.fullmatch(name))))
    if not channels:
        raise AnnotationError(f"{path}: expected columns FileName_<channel> or URL_<channel>, got {', '.join(header)}")
    if not (set(_WELLS) & set(header) or (set(_ROWS) & set(header) and set(_COLUMNS) & set(header))):
        raise AnnotationError(
            f"{path}: expected a column Metadata_Well, or Metadata_Row and Metadata_Column, got {', '.join(header)}"
        )
    plates = {_first(row, _PLATES) for row in rows}
    if len(plates) > 1:
        raise AnnotationError(f"{path}: expected one plate, got {', '.join(sorted(plates))}: make a table for each")
    folder = Path(path).resolve().parent
    files = []
    for row in rows:
        well = _well(row, path)
        for channel in channels:
            if location := _location(row, channel, folder):
                frame = _frame(row, channel, path)
                files.append(PlaneFile(location, well, _first(row, _FIELDS), channel, frame=frame))
    return CellProfilerTable(files, channels)


def _value(row: Row, name: str) -> str:
    return row.values.get(name) or row.values.get(f"Image_{name}", "")


def _first(row: Row, names: Sequence[str]) -> str:
    return next((value for name in names if (value := row.values.get(name))), "")


def _well(row: Row, path: str | Path) -> Well:
    name = _first(row, _WELLS)
    parts = _first(row, _ROWS), _first(row, _COLUMNS)
    well = parse_well(name) if name else make_well(*parts)
    if well is None:
        got = name or f"row {parts[0]!r}, column {parts[1]!r}"
        raise AnnotationError(f"{path}, row {row.number}: expected a well from A01 to AF48, got {got}: mend the row")
    return well


def _frame(row: Row, channel: str, path: str | Path) -> int | None:
    text = _value(row, f"Frame_{channel}")
    if text and not text.isdecimal():
        raise AnnotationError(f"{path}, row {row.number}: expected a page from 0 in Frame_{channel}, got {text!r}")
    return int(text) if text else None


def _location(row: Row, channel: str, folder: Path) -> str:
    if url := _value(row, f"URL_{channel}"):
        return unquote(urlparse(url).path) if url.startswith("file:") else url
    name = _value(row, f"FileName_{channel}")
    return str(folder / _value(row, f"PathName_{channel}") / name) if name else ""
