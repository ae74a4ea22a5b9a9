"""Regions of interest of ImageJ: areas begin at edges of pixels, points and lines at centres."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from simsearch.errors import AnnotationError
from simsearch.io.annotations.imagej import parse_rois
from simsearch.io.annotations.regions import Bounds, Region


def corners(kind: ROI_TYPE, points: list[tuple[float, float]], **fields: Any) -> ImagejRoi:  # noqa: ANN401  roifile's
    is_subpixel = any(isinstance(each, float) for point in points for each in point)
    roi = ImagejRoi.frompoints(np.array(points, np.float32 if is_subpixel else np.int32))
    roi.roitype = kind
    for name, value in fields.items():
        setattr(roi, name, value)
    return roi


def rectangle(**fields: Any) -> ImagejRoi:  # noqa: ANN401
    return ImagejRoi(**{"roitype": ROI_TYPE.RECT, "top": 20, "left": 10, "bottom": 68, "right": 58, **fields})


def parse(*rois: ImagejRoi) -> list[Region | AnnotationError]:
    return [each for _, each in parse_rois((f"{i}.roi", roi.tobytes()) for i, roi in enumerate(rois))]


AROUND = Bounds(20, 10, 68, 58)  # pixels 20 to 67 and 10 to 57
SQUARE = [(10, 20), (58, 20), (58, 68), (10, 68)]
SUBPIXEL = {"options": ROI_OPTIONS.SUB_PIXEL_RESOLUTION, "xd": 10.25, "yd": 20.5, "widthd": 4.0, "heightd": 8.0}
PATH = [0, 10, 20, 1, 58, 20, 1, 58, 68, 4, 0, 5, 6, 1, 7, 8, 4]


@pytest.mark.parametrize(
    ("roi", "bounds"),
    [
        (rectangle(), AROUND),
        (rectangle(roitype=ROI_TYPE.OVAL), AROUND),
        (rectangle(**SUBPIXEL), Bounds(20.5, 10.25, 28.5, 14.25)),
        (corners(ROI_TYPE.POLYGON, SQUARE), AROUND),
        (corners(ROI_TYPE.FREEHAND, [(10.25, 20.5), (30.0, 40.75)]), Bounds(20.5, 10.25, 40.75, 30)),
        (corners(ROI_TYPE.TRACED, [(70, 70), (40_000, 90), (70, 59_000)]), Bounds(70, 70, 59_000, 40_000)),
        (
            rectangle(multi_coordinates=np.array(PATH, np.float32), shape_roi_size=len(PATH)),
            Bounds(6, 5, 68, 58),
        ),
        (corners(ROI_TYPE.POINT, [(3, 4)]), Bounds(4.5, 3.5, 4.5, 3.5)),
        (corners(ROI_TYPE.POINT, [(3.25, 4.0)]), Bounds(4.5, 3.75, 4.5, 3.75)),
        (corners(ROI_TYPE.POLYLINE, [(3, 4), (7, 9)]), Bounds(4.5, 3.5, 9.5, 7.5)),
        (ImagejRoi(roitype=ROI_TYPE.LINE, x1=1.0, y1=2.0, x2=5.0, y2=2.0), Bounds(2.5, 1.5, 2.5, 5.5)),
    ],
)
def test_regions_lie_where_imagej_shows_them(roi: ImagejRoi, bounds: Bounds) -> None:
    assert parse(roi) == [Region(bounds)]


def test_each_of_many_points_is_a_region() -> None:
    roi = corners(ROI_TYPE.POINT, [(3, 4), (30, 40)])
    assert parse_rois([("a.roi", roi.tobytes())]) == [
        ("a.roi, point 1", Region(Bounds(4.5, 3.5, 4.5, 3.5))),
        ("a.roi, point 2", Region(Bounds(40.5, 30.5, 40.5, 30.5))),
    ]


def test_the_class_is_that_of_qupath_or_the_group() -> None:
    tagged = rectangle(group=3, stroke_color=b"\xff\x01\x02\x03")
    tagged.properties = {"qupath.object.classification": "Tumor"}
    ignored = rectangle()
    ignored.properties = {"qupath.object.classification": "Ignore*"}
    first, second, third = parse(tagged, rectangle(group=3), ignored)
    assert first == Region(AROUND, "Tumor", "#010203")
    assert second == Region(AROUND, "group 3")
    assert isinstance(third, Region)
    assert "QuPath ignores" in str(third.left_out)


def test_texts_are_left_out() -> None:
    assert parse(rectangle(subtype=ROI_SUBTYPE.TEXT, text="here")) == [Region(None, left_out="texts")]


@pytest.mark.parametrize(
    "content",
    [
        b"Iout",
        b"Iout" + b"\xff" * 60,
        rectangle(n_coordinates=9).tobytes()[:40],
        corners(ROI_TYPE.POLYGON, SQUARE).tobytes()[:70],
        rectangle(multi_coordinates=np.array([0, 1], np.float32), shape_roi_size=2).tobytes(),
        rectangle(multi_coordinates=np.array([7.0], np.float32), shape_roi_size=1).tobytes(),
        ImagejRoi(roitype=ROI_TYPE.LINE, x1=float("nan"), y1=2.0).tobytes(),
        ImagejRoi(roitype=ROI_TYPE.NOROI).tobytes(),
    ],
)
def test_damaged_regions_are_named(content: bytes) -> None:
    (place, error), (_, right) = parse_rois([("a.roi", content), ("b.roi", rectangle().tobytes())])
    assert place == "a.roi"
    assert isinstance(error, AnnotationError)
    assert str(error).startswith("expected ")
    assert right == Region(AROUND)
