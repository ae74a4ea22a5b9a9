"""Plates as CellProfiler's LoadData tables describe them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError
from simsearch.io.sources.plates.files import PlaneFile, PlateListing
from simsearch.io.sources.plates.foreign_paths import PathFinder, PathMap, join_path
from simsearch.io.tables.numbers import parse_number
from simsearch.io.tables.plate_maps.well_cells import FORMS, plain_name, well_columns, well_of
from simsearch.io.tables.rows import Row, Table, name_columns, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS = re.compile(r"(?:image_)?(filename|pathname|url|frame|series)_(.+)", re.IGNORECASE)
_OBJECTS = re.compile(r"(?:image_)?objects(?:filename|url)_(.+)", re.IGNORECASE)
_ILLUMINATION = re.compile(r"illum(?!inat(?:ed|or))|illum$", re.IGNORECASE)
_NO_IMAGES = (".npy", ".mat")  # in which CellProfiler keeps illumination functions
_OTHERS = {
    "field": ("site", "field", "fieldid", "fieldindex", "siteid", "fov", "fovid"),
    "plate": ("plate", "plateid", "platename", "platebarcode", "barcode", "assayplatebarcode"),
    "z": ("z", "zindex", "zplane", "zslice", "plane", "planeid"),
    "t": ("t", "timepoint", "timepointid", "timeindex"),
}


@dataclass(frozen=True, slots=True)
class _Channel:
    """The columns of a channel."""

    name: str
    columns: dict[str, list[str]] = field(default_factory=dict)
    """By what they tell: filename, pathname, url, frame, series."""


def read_cellprofiler_table(path: str | Path, path_map: PathMap = ()) -> PlateListing:
    """Read a LoadData table.

    It has a column ``FileName_<channel>`` (with ``PathName_<channel>``) or ``URL_<channel>`` for each channel, and
    ``Metadata_Well``, or ``Metadata_Row`` and ``Metadata_Column``; optional are ``Metadata_Site`` (or ``_Field``),
    ``Metadata_Plate``, ``Metadata_Z``, ``Metadata_Timepoint``, ``Frame_<channel>`` and ``Series_<channel>``. Columns
    may be in any case and begin with ``Image_``. Paths are relative to the table; those of another machine are looked
    for beside it. Illumination functions are left out.

    Parameters
    ----------
    path : str or Path
        The table.
    path_map : sequence of (str, str)
        What paths begin with in the table, and where that is on this machine.

    Raises
    ------
    SourceError
        If the file cannot be read.
    AnnotationError
        If columns are missing, a well does not exist, a frame is no number, or files are URLs of images or lie on a
        machine that is not this one.
    """
    table = read_table(path)
    channels, notes = _image_channels(table)
    wells = well_columns(table.columns)
    if not wells:
        raise AnnotationError(
            f"{path}: expected a column Metadata_Well, or Metadata_Row and Metadata_Column, got "
            f"{name_columns(table.columns)}: add them"
        )
    others = {what: [column for column in table.columns if plain_name(column) in names]
              for what, names in _OTHERS.items()}  # fmt: skip
    finder = PathFinder(Path(path).resolve().parent, path_map)
    files = [
        file
        for row in table.rows
        for channel in channels
        if (file := _file(table, row, channel, wells, others, finder)) is not None
    ]
    try:
        notes += finder.notes()
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error
    return PlateListing(files, tuple(channel.name for channel in channels), notes=table.notes + notes)


def _image_channels(table: Table) -> tuple[list[_Channel], tuple[str, ...]]:
    """Find the channels of a table, and tell of those that are no images."""
    found: dict[str, _Channel] = {}
    for column in table.columns:
        if match := _KINDS.fullmatch(column):
            channel = found.setdefault(match[2].casefold(), _Channel(match[2]))
            channel.columns.setdefault(match[1].lower(), []).append(column)
    named = [channel for channel in found.values() if {"filename", "url"} & set(channel.columns)]
    if not named:
        raise AnnotationError(
            f"{table.path}: expected columns FileName_<channel> or URL_<channel>, got {name_columns(table.columns)}"
        )
    plain = [channel for channel in named if not _is_illumination(table, channel)]
    images = [channel for channel in plain if not _has_no_images(table, channel)]
    if not images:
        raise AnnotationError(
            f"{table.path}: expected channels with images, got {', '.join(channel.name for channel in named)}, which "
            "are illumination functions: name the images"
        )
    left = [channel.name for channel in named if channel not in images]
    objects = [match[1] for column in table.columns if (match := _OBJECTS.fullmatch(column))]
    notes = [f"{', '.join(left)} are illumination functions and left out"] if left else []
    notes += [f"{', '.join(objects)} are objects and left out"] if objects else []
    return images, tuple(notes)


def _is_illumination(table: Table, channel: _Channel) -> bool:
    return bool(_ILLUMINATION.match(channel.name) or _ILLUMINATION.search(channel.name.rsplit("_", 1)[-1]))


def _has_no_images(table: Table, channel: _Channel) -> bool:
    files = [_first(row, channel.columns.get("filename", []) + channel.columns.get("url", [])) for row in table.rows]
    return all(file.lower().endswith(_NO_IMAGES) for file in files if file)


def _file(
    table: Table,
    row: Row,
    channel: _Channel,
    wells: Sequence[str],
    others: dict[str, list[str]],
    finder: PathFinder,
) -> PlaneFile | None:
    """Read where the file of a channel is; None if the row has none."""
    column = next(
        (each for kind in ("url", "filename") for each in channel.columns.get(kind, []) if row.values[each]), ""
    )
    if not column:
        return None
    path = row.values[column]
    if column in channel.columns.get("filename", []):
        path = join_path(_first(row, channel.columns.get("pathname", [])), path)
    well = well_of(row.values, wells)
    if well is None:
        got = ", ".join(row.values[each] for each in wells)
        raise AnnotationError(
            f"{table.place(row, wells[0])}: expected a well from A01 to AF48 as {FORMS}, got {got!r}: mend the row"
        )
    try:
        location = finder.find(path)
    except AnnotationError as error:
        raise AnnotationError(f"{table.place(row, column)}: {error}") from error
    frame, series = (_index(table, row, channel.columns.get(kind, [])) for kind in ("frame", "series"))
    place = {what: _first(row, columns) for what, columns in others.items()}
    return PlaneFile(
        location, well, channel=channel.name, frame=frame, series=None if series is None else str(series), **place
    )


def _first(row: Row, columns: Sequence[str]) -> str:
    return next((value for column in columns if (value := row.values[column])), "")


def _index(table: Table, row: Row, columns: Sequence[str]) -> int | None:
    """Read an index, which may be written as 0 or 0.0."""
    column = next((column for column in columns if row.values[column]), None)
    if column is None:
        return None
    value = parse_number(row.values[column], row.mark or ".")
    if value is None or value < 0 or value != int(value):
        raise AnnotationError(
            f"{table.place(row, column)}: expected an index from 0, got {row.values[column]!r}: mend the cell"
        )
    return int(value)
