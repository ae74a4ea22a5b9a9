"""What TIFF files tell of channels and pixel sizes, each kind in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from tifffile import RESUNIT, TiffFile, TiffPage, TiffPageSeries

from simsearch.core.pixel_size import believable_pixel_size
from simsearch.io.sources.tiff.ome import ome_channels, ome_size
from simsearch.io.sources.tiff.resolution import printed_pixel_size
from simsearch.io.sources.tiff.series import pages_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESOLUTION_UNITS = {
    RESUNIT.INCH: "inch",
    RESUNIT.CENTIMETER: "cm",
    RESUNIT.MILLIMETER: "mm",
    RESUNIT.MICROMETER: "um",
}

Size = tuple[float, float]
_Stated = tuple[tuple[object, object], object]


def pixel_size(tiff: TiffFile, series: TiffPageSeries) -> tuple[Size | None, tuple[str, ...]]:
    """Height and width of a pixel in micrometres, and a note if what the file says is not believed."""
    if series.kind == "ome":
        return ome_size(tiff, series)
    page = series.keyframe
    for stated in (_metaseries_size(page), _stk_size(tiff), _lsm_size(tiff), _sis_size(tiff)):
        if stated is not None:
            size, note = believable_pixel_size(stated[0], str(stated[1]))
            return size, (note,) if note else ()
    per_unit = _ratio(page, "YResolution"), _ratio(page, "XResolution")
    if None in per_unit:
        return None, ()
    sides = tuple(1 / each if each else float("inf") for each in per_unit)
    if tiff.is_imagej:
        unit = (tiff.imagej_metadata or {}).get("unit")
        size, note = believable_pixel_size((sides[0], sides[1]), unit) if unit else (None, None)
        return size, (note,) if note else ()
    tag = page.tags.get("ResolutionUnit")
    unit = _RESOLUTION_UNITS.get(tag.value) if tag else None
    return (None, ()) if unit is None else printed_pixel_size((sides[0], sides[1]), unit)


def channel_names_and_colors(
    tiff: TiffFile, series: TiffPageSeries, kept: Sequence[int], n_values: int
) -> tuple[tuple[str, ...], tuple[str, ...] | None, tuple[str, ...]]:
    """Name the channels of an image.

    Parameters
    ----------
    tiff : TiffFile
        The file.
    series : TiffPageSeries
        The image.
    kept : sequence of int
        Which of the channels that the file describes, by number.
    n_values : int
        Values that each of these has: 3 for colours.

    Returns
    -------
    (tuple of str, tuple of str or None, tuple of str)
        Names, colours if the file tells those of all, and notes of what is not understood.
    """
    names: Sequence[str | None] = ()
    colors: Sequence[str | None] = ()
    notes: tuple[str, ...] = ()
    if series.kind == "ome":
        names, colors, notes = ome_channels(tiff, series)
    elif tiff.is_imagej:
        names, colors = _imagej_channels(tiff, len(kept))
    elif tiff.is_qpi:
        names = [_qpi_name(page.aspage()) for page in pages_of(series) if page is not None]
    n_channels = len(kept) * n_values
    told = [names[i] if i < len(names) else None for i in kept] if n_values == 1 and len(names) > max(kept) else []
    told = told or [None] * n_channels
    default = "Intensity" if n_channels == 1 else "Channel {}"
    complete = [colors[i] for i in kept if i < len(colors)] if n_values == 1 else []
    return (
        tuple(name or default.format(i) for i, name in enumerate(told, start=1)),
        tuple(map(str, complete)) if len(complete) == n_channels and all(complete) else None,
        notes,
    )


def _ratio(page: TiffPage, name: str) -> float | None:
    tag = page.tags.get(name)
    if tag is None or not isinstance(tag.value, tuple) or len(tag.value) != 2 or not tag.value[1]:
        return None
    return float(tag.value[0] / tag.value[1])


def _metaseries_size(page: TiffPage) -> _Stated | None:
    # MetaXpress and MetaMorph write XML into the description.
    if not page.description.lstrip().startswith("<MetaData"):
        return None
    try:
        root = ElementTree.fromstring(page.description.strip())
    except (ElementTree.ParseError, ValueError):
        return None
    found = {prop.get("id"): prop.get("value") for prop in root.iter("prop")}
    if str(found.get("spatial-calibration-state", "on")).lower() in ("off", "0", "false"):
        return None
    sides = found.get("spatial-calibration-y"), found.get("spatial-calibration-x")
    unit = found.get("spatial-calibration-units")
    return (sides, unit or "") if None not in sides else None


def _stk_size(tiff: TiffFile) -> _Stated | None:
    stored = (tiff.stk_metadata or {}) if tiff.is_stk else {}
    if not stored.get("SpatialCalibration", 1) or "XCalibration" not in stored or "YCalibration" not in stored:
        return None
    sides = [_fraction(stored[f"{axis}Calibration"]) for axis in "YX"]
    return (sides[0], sides[1]), stored.get("CalibrationUnits", "")


def _lsm_size(tiff: TiffFile) -> _Stated | None:
    stored = (tiff.lsm_metadata or {}) if tiff.is_lsm else {}
    sides = stored.get("VoxelSizeY"), stored.get("VoxelSizeX")
    return (sides, "m") if None not in sides else None


def _sis_size(tiff: TiffFile) -> _Stated | None:
    stored = (tiff.sis_metadata or {}) if tiff.is_sis else {}
    sides = stored.get("pixelsizey"), stored.get("pixelsizex")
    return (sides, "m") if None not in sides else None


def _fraction(value: Any) -> float | None:  # noqa: ANN401  Fraction, float or pair
    if isinstance(value, tuple | list) and len(value) == 2:
        return float(value[0]) / float(value[1]) if value[1] else None
    try:
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _imagej_channels(tiff: TiffFile, n_channels: int) -> tuple[list[str], list[str]]:
    stored: dict[str, Any] = tiff.imagej_metadata or {}
    labels = stored.get("Labels") or []
    # One label a slice: they name channels only where slices are channels.
    names = [str(label) for label in labels] if len(labels) == n_channels > 1 else []
    tables = [np.asarray(table) for table in stored.get("LUTs") or []]
    return names, ["".join(f"{int(value):02X}" for value in table[:, -1]) for table in tables if table.ndim == 2]


def _qpi_name(page: TiffPage) -> str | None:
    try:
        return ElementTree.fromstring(page.description).findtext("Name")
    except (ElementTree.ParseError, ValueError):
        return None
