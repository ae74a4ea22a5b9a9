"""The kind of an annotation file is told by its content, packed or not."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from roifile import ROI_TYPE, ImagejRoi

from simsearch.errors import AnnotationError, ConfigError, SimSearchError, SourceError
from simsearch.io.annotations import formats
from simsearch.io.annotations.formats import Target, read_regions
from simsearch.io.annotations.ndpa import SlideFrame
from simsearch.io.annotations.regions import Bounds, Region

if TYPE_CHECKING:
    from pathlib import Path

FEATURE: dict[str, Any] = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [3, 4]}, "properties": {}}
GEOJSON = json.dumps(FEATURE).encode()
ROI = ImagejRoi(roitype=ROI_TYPE.RECT, top=4, left=3, bottom=8, right=9).tobytes()
IMAGE_SCOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Annotations><Annotation Name="T"><Regions><Region><Vertices>'
    '<Vertex X="3" Y="4"/></Vertices></Region></Regions></Annotation></Annotations>'
)
ASAP = (
    '<ASAP_Annotations><Annotations><Annotation PartOfGroup="T"><Coordinates><Coordinate X="3" Y="4"/></Coordinates>'
    "</Annotation></Annotations></ASAP_Annotations>"
)
NDPA = (
    '<annotations><ndpviewstate><title>T</title><annotation type="pin"><x>3000</x><y>4000</y></annotation>'
    "</ndpviewstate></annotations>"
)
POINT = Bounds(4, 3, 4, 3)
TARGET = Target(lambda: (20, 30), lambda: SlideFrame((0, 0), (1.0, 1.0), (0.0, 0.0)))


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


MAC = {"__MACOSX/._a.roi": b"\0", "rois/": b""}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (GEOJSON, [("feature 1", Region(POINT))]),
        (b"\xef\xbb\xbf\n [" + GEOJSON + b"]", [("feature 1", Region(POINT))]),
        (gzip.compress(GEOJSON, mtime=0), [("feature 1", Region(POINT))]),
        (packed({"a.geojson": GEOJSON, **MAC}), [("feature 1", Region(POINT))]),
        (IMAGE_SCOPE.encode(), [("layer 1, region 1", Region(POINT, "T"))]),
        (IMAGE_SCOPE.replace("UTF-8", "UTF-16").encode("utf-16"), [("layer 1, region 1", Region(POINT, "T"))]),
        (packed({"a.xml": IMAGE_SCOPE.encode()}), [("layer 1, region 1", Region(POINT, "T"))]),
        (ASAP.encode(), [("annotation 1", Region(POINT, "T"))]),
        (NDPA.encode(), [("view 1", Region(POINT, "T"))]),
        (ROI, [("region 1", Region(Bounds(4, 3, 8, 9)))]),
        (
            packed({"a.roi": ROI, "B.ROI": ROI, **MAC}),
            [(name, Region(Bounds(4, 3, 8, 9))) for name in ("a.roi", "B.ROI")],
        ),
        (packed({"a.roi": ROI}), [("a.roi", Region(Bounds(4, 3, 8, 9)))]),
        (b"image,class\n", None),
    ],
)
def test_content_decides(tmp_path: Path, content: bytes, expected: object) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    assert read_regions(tmp_path / "a.bin", TARGET) == expected


def test_pixels_are_labels(tmp_path: Path) -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[4:8, 3:9] = 2
    tifffile.imwrite(tmp_path / "a.tif", labels)
    (tmp_path / "a.tif").rename(tmp_path / "a.geojson")
    assert read_regions(tmp_path / "a.geojson", TARGET) == [("label 2, part 1", Region(Bounds(4, 3, 8, 9)))]


DEEP = packed({"a.zip": packed({"a.zip": packed({"a.geojson": GEOJSON})})})


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"", ConfigError, "got an empty file"),
        (b"\n ", ConfigError, "got another kind of file"),
        (b"\xd0\xcf\x11\xe0\0\0", ConfigError, "got another kind of file"),
        (b"<html/>", ConfigError, "got XML of <html>"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><Annotations/>", SourceError, "without a document type"),
        (b"<Annotations>", SourceError, "expected XML, got"),
        (DEEP, ConfigError, "got another kind of file"),
        (packed({"a.csv": b"image,class"}), ConfigError, "got an archive of a.csv: unpack it"),
        (packed({"a.geojson": GEOJSON, "b.geojson": GEOJSON}), ConfigError, "got one of 2 files: unpack it"),
        (packed({"?": b"x"}).replace(b"?", b"\0"), ConfigError, "got one of 0 files"),
        (packed({}), ConfigError, "got one of 0 files"),
        (packed({"a.geojson": GEOJSON})[:-9], SourceError, "expected an archive"),
        (packed({"a.geojson": GEOJSON}, zipfile.ZIP_STORED).replace(b"Point", b"Paint"), SourceError, "Bad CRC-32"),
        (gzip.compress(GEOJSON, mtime=0)[:-9], SourceError, "expected an archive"),
        (b"\x1f\x8b" + b"\0" * 30, SourceError, "expected an archive"),
        (packed({"a.roi": b"\0" * 99_999}), AnnotationError, "at most"),
        (gzip.compress(b"[" * 99_999, mtime=0), AnnotationError, "at most"),
        (b"[" * 99_999, AnnotationError, "at most"),
    ],
)
def test_what_is_none_of_them_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, kind: type[SimSearchError], message: str
) -> None:
    monkeypatch.setattr(formats, "_MOST_BYTES", 50_000)
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(kind, match=message) as caught:
        read_regions(path, TARGET)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
