"""The images of a TIFF file: what tifffile calls series, less the levels of their pyramids."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from simsearch.errors import SourceError
from simsearch.io.sources.protocol import source_errors
from simsearch.io.sources.series import SeriesInfo, named_apart
from simsearch.io.sources.tiff.file import open_tiff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

_GUESSED = ("generic", "uniform")  # kinds of series that tifffile makes of pages nobody has described


def list_tiff_series(path: str) -> tuple[SeriesInfo, ...]:
    """List the images of a TIFF file.

    Raises
    ------
    SourceError
        If it is no TIFF file, or has no image.
    """
    with source_errors(path, "a TIFF file"):
        tiff, _ = open_tiff(path)
        with tiff:
            return describe_series(find_series(tiff, path))


def find_series(tiff: TiffFile, path: str) -> list[TiffPageSeries]:
    """Find the images of a file, full resolution only.

    Raises
    ------
    SourceError
        If there is none.
    """
    found = [each for series in tiff.series for each in _apart(series) if {"Y", "X"} <= set(each.axes)]
    found = [each for each in found if all(each.shape)]
    if not found:
        raise SourceError(f"{path}: expected an image, got a TIFF file without one: export it again")
    return found


def describe_series(series: list[TiffPageSeries]) -> tuple[SeriesInfo, ...]:
    """Name the images of a file, each differently."""
    return named_apart([SeriesInfo(each.name, _shape(each), bool(each.keyframe.is_reduced)) for each in series])


def pages_of(series: TiffPageSeries) -> list[TiffPage | TiffFrame | None]:
    """Return the pages of an image, None for those that are missing; of a stack that one page stands for, this one."""
    if series.is_truncated:
        return [series[0]]
    try:
        return list(series)
    except IndexError:
        return [series[0]]


def _shape(series: TiffPageSeries) -> tuple[int, int]:
    return series.shape[series.axes.index("Y")], series.shape[series.axes.index("X")]


def _apart(series: TiffPageSeries) -> Iterator[TiffPageSeries]:
    # Where nobody says that a page is a level of a pyramid, it may as well be a smaller section.
    yield series
    if series.kind in _GUESSED:
        for _, level in pairwise(series.levels):
            if not level.keyframe.is_reduced and not level.keyframe.is_subifd:
                yield level
