"""Label images: every object is surrounded, whatever the file, and no value becomes another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from simsearch.errors import AnnotationError, SourceError
from simsearch.io.annotations import label_image
from simsearch.io.annotations.label_image import read_labels
from simsearch.io.annotations.regions import Bounds, Region

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.conftest import SaveImage

SHAPE = (60, 90)
EXPECTED = [
    ("label 1", Region(Bounds(0, 0, 4, 3))),
    ("label 7", Region(Bounds(10, 20, 30, 70))),
    ("label 200", Region(Bounds(59, 89, 60, 90))),
]


def cells(dtype: str = "uint8") -> NDArray[Any]:
    """Label three cells; that of 7 is in two parts."""
    labels = np.zeros(SHAPE, dtype)
    labels[:4, :3] = 1
    labels[10:20, 20:30] = 7
    labels[25:30, 60:70] = 7
    labels[59, 89] = 200
    return labels


@pytest.mark.parametrize("tile", [2048, 16])
@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int32", "uint32", "int64", "uint64", "float32"])
def test_each_value_of_a_tiff_is_an_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, tile: int
) -> None:
    monkeypatch.setattr(label_image, "_TILE", tile)
    tifffile.imwrite(tmp_path / "a.tif", cells(dtype))
    assert read_labels(tmp_path / "a.tif", SHAPE) == EXPECTED


def test_large_values_cost_no_memory(tmp_path: Path) -> None:
    labels = cells("uint32") * np.uint32(20_000_000)
    tifffile.imwrite(tmp_path / "a.tif", labels)
    assert [place for place, _ in read_labels(tmp_path / "a.tif", SHAPE)] == [
        "label 20000000",
        "label 140000000",
        "label 4000000000",
    ]


def test_codes_count_and_not_how_they_are_shown(tmp_path: Path) -> None:
    palette = Image.fromarray(cells()).convert("P")
    palette.putpalette([value for code in range(256) for value in (255 - code, code, 0)])
    palette.save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", cells(), photometric="miniswhite")
    for name in ("a.png", "a.tif"):
        assert read_labels(tmp_path / name, SHAPE) == EXPECTED, name


@pytest.mark.parametrize("value", [1, 255])
def test_each_part_of_a_mask_is_an_object(tmp_path: Path, value: int) -> None:
    Image.fromarray((cells() > 0).astype(np.uint8) * np.uint8(value)).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png", SHAPE) == [
        (f"label {value}, part 1", Region(Bounds(0, 0, 4, 3))),
        (f"label {value}, part 2", Region(Bounds(10, 20, 20, 30))),
        (f"label {value}, part 3", Region(Bounds(25, 60, 30, 70))),
        (f"label {value}, part 4", Region(Bounds(59, 89, 60, 90))),
    ]


def test_nothing_has_no_regions(tmp_path: Path) -> None:
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png", SHAPE) == []


def test_labels_of_ome_zarr_have_the_classes_of_their_values(tmp_path: Path, save_image: SaveImage) -> None:
    image = tmp_path / "a.ome.zarr"
    save_image(image, np.zeros((1, *SHAPE), np.uint8))
    save_image(image / "labels" / "cells", cells("uint16")[np.newaxis])
    assert read_labels(image / "labels" / "cells", SHAPE) == EXPECTED
    assert read_labels(image, SHAPE) == EXPECTED  # the only ones it has

    group = zarr.open_group(image / "labels" / "cells", mode="r+")
    ome: Any = group.attrs["ome"]
    properties = [{"label-value": 7, "class": "WBC"}, {"label-value": 1, "area": 3}, 3, {"label-value": "x"}]
    colors = [{"label-value": 7, "rgba": [1, 2, 3, 255]}, {"label-value": 1, "rgba": [1, 2]}]
    group.attrs["ome"] = {**ome, "image-label": {"properties": properties, "colors": colors}}
    found = dict(read_labels(image / "labels" / "cells", SHAPE))
    assert found["label 7, part 2"] == Region(Bounds(25, 60, 30, 70), "WBC", "#010203")
    assert found["label 1, part 1"] == Region(Bounds(0, 0, 4, 3))

    save_image(image / "labels" / "nuclei", cells()[np.newaxis])
    with pytest.raises(AnnotationError, match=r"expected one label image, got cells, nuclei: name one"):
        read_labels(image, SHAPE)


def test_pictures_are_no_labels(tmp_path: Path, save_image: SaveImage) -> None:
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(tmp_path / "rgb.png")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((4, *SHAPE), np.uint8), photometric="minisblack")
    tifffile.imwrite(tmp_path / "float.tif", np.full(SHAPE, 0.5, np.float32))
    tifffile.imwrite(tmp_path / "nan.tif", np.full(SHAPE, np.nan, np.float32))
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((30, 45), np.uint8))
    save_image(tmp_path / "two.ome.zarr", np.zeros((2, *SHAPE), np.uint8))
    for name, message in [
        ("rgb.png", r"one number for each pixel, got uint8 of shape \(60, 90, 3\)"),
        ("stack.tif", r"one number for each pixel, got uint8 of shape \(4, 60, 90\)"),
        ("float.tif", "expected whole numbers"),
        ("nan.tif", "expected whole numbers"),
        ("small.tif", r"labels of 60 x 90 px, as the image has, got 30 x 45"),
        ("two.ome.zarr", "one number for each pixel, got 2 channels"),
    ]:
        with pytest.raises(AnnotationError, match=message) as caught:
            read_labels(tmp_path / name, SHAPE)
        assert str(caught.value).startswith(str(tmp_path / name))


def test_damaged_and_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", cells(), compression="zlib")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) - 20])
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n123")
    for name in ("cut.tif", "cut.png"):
        with pytest.raises(SourceError, match="expected a label image, got"):
            read_labels(tmp_path / name, SHAPE)
    for limit, value, message in [
        ("_MOST_BYTES", 5000, "labels of at most 0 MiB"),
        ("_MOST_REGIONS", 2, "at most 2 objects"),
    ]:
        with monkeypatch.context() as patched:
            patched.setattr(label_image, limit, value)
            with pytest.raises(AnnotationError, match=message):
                read_labels(tmp_path / "a.tif", SHAPE)
    tifffile.imwrite(tmp_path / "mask.tif", (cells() > 0).astype(np.uint8))
    for limit, message in [("_MOST_PARTS_PX", "at most 2 px"), ("_MOST_REGIONS", "at most 2 objects, got 4")]:
        with monkeypatch.context() as patched:
            patched.setattr(label_image, limit, 2)
            with pytest.raises(AnnotationError, match=message):
                read_labels(tmp_path / "mask.tif", SHAPE)


def test_values_of_any_size_and_sign_are_told_apart(tmp_path: Path) -> None:
    for dtype, value, other in [("uint64", 2**64 - 1, 2**64 - 2), ("int8", 127, -128), ("int8", 2, -1)]:
        labels = np.full(SHAPE, other if other < 0 else 0, dtype)
        labels[10:20, 20:30] = value
        labels[30:40, 20:30] = 1 if other < 0 else other
        tifffile.imwrite(tmp_path / "a.tif", labels)
        found = dict(read_labels(tmp_path / "a.tif", SHAPE))
        assert found[f"label {value}"] == Region(Bounds(10, 20, 20, 30))
        assert len(found) == 2
