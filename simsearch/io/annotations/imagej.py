"""Regions of interest of ImageJ and Fiji.

Areas end at the edges of pixels, which are whole numbers, as in QuPath; but whole numbers of lines and points are the
centres of pixels.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from simsearch.errors import AnnotationError
from simsearch.io.annotations.qupath import parse_class
from simsearch.io.annotations.regions import Found, Region, bounds_of
from simsearch.io.tables.curation import read_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

HEAD = b"Iout"
"""What such files begin with."""

_TOOLS = {ROI_SUBTYPE.TEXT: "texts", ROI_SUBTYPE.IMAGE: "pictures", ROI_SUBTYPE.ARROW: "arrows"}
_RECTANGLES = (ROI_TYPE.RECT, ROI_TYPE.OVAL)
_LINES = (ROI_TYPE.LINE, ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE, ROI_TYPE.ANGLE, ROI_TYPE.POINT)
_QUPATH_CLASS = "qupath.object.classification"


def parse_rois(files: Iterable[tuple[str, bytes]]) -> Found:
    """Parse ROI files; the class is QuPath's, or the group. A multi-point is a region for each of its points.

    Parameters
    ----------
    files : iterable of (str, bytes)
        The name of each, for errors, and its content.
    """
    found: Found = []
    for place, roi in read_each(files, _parsed):
        if isinstance(roi, AnnotationError):
            found.append((place, roi))
        else:
            found += read_each(_parts(place, *roi), _region)
    return found


def _parsed(content: bytes) -> tuple[ImagejRoi, NDArray[np.floating[Any]]]:
    """Return a region of interest and its corners as x and y, whole numbers being edges of pixels."""
    try:
        roi = ImagejRoi.frombytes(content)
        corners = _corners(roi)
    except (ValueError, TypeError, IndexError, RuntimeError, struct.error) as error:
        raise AnnotationError(f"expected a region of interest of ImageJ, got {error}: save it again") from error
    return roi, corners + 0.5 if roi.roitype in _LINES else corners


def _corners(roi: ImagejRoi) -> NDArray[np.floating[Any]]:
    if roi.subpixelrect:
        return np.array([[roi.xd, roi.yd], [roi.xd + roi.widthd, roi.yd + roi.heightd]], np.float64)
    if roi.composite:
        try:
            paths = roi.coordinates(multi=True)
        except NotImplementedError:  # curves; what surrounds them stands in whole pixels beside them
            paths = []
        if paths:
            return np.concatenate(paths).astype(np.float64)
    if roi.roitype in _RECTANGLES:
        return np.array([[roi.left, roi.top], [roi.right, roi.bottom]], np.float64)
    return np.asarray(roi.coordinates(), np.float64)


def _parts(
    place: str, roi: ImagejRoi, corners: NDArray[np.floating[Any]]
) -> Iterator[tuple[str, tuple[ImagejRoi, NDArray[np.floating[Any]]]]]:
    if roi.roitype != ROI_TYPE.POINT or len(corners) == 1:
        yield place, (roi, corners)
        return
    for number, _ in enumerate(corners, 1):
        yield f"{place}, point {number}", (roi, corners[number - 1 : number])


def _region(item: tuple[ImagejRoi, NDArray[np.floating[Any]]]) -> Region:
    roi, corners = item
    if roi.subtype in _TOOLS:
        return Region(None, left_out=_TOOLS[roi.subtype])
    class_name, left_out = parse_class(str(roi.properties.get(_QUPATH_CLASS, "")))
    return Region(
        bounds_of((float(y), float(x)) for x, y in corners),
        class_name or (f"group {roi.group}" if roi.group else None),
        roi.hexcolor(roi.stroke_color) or roi.hexcolor(roi.fill_color),
        left_out=left_out,
    )
