"""Images that are stored turned or mirrored are seen as Pillow shows them, whole and in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from tests.io.sources.reading import noise, read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_as_exif_says(tmp_path: Path, suffix: str, orientation: int) -> None:
    image = Image.fromarray(noise(40, 50, 3))
    exif = image.getexif()
    exif[274] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored)).transpose(2, 0, 1)
    pixels, meta = read(tmp_path / f"a.{suffix}", tile=16)

    np.testing.assert_array_equal(pixels, expected)
    assert meta.shape == ((50, 40) if orientation > 4 else (40, 50))
    assert any("as its orientation tag" in note for note in meta.notes) == (orientation > 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "options", [{}, {"tile": (16, 32), "compression": "zlib"}, {"rowsperstrip": 3, "compression": "lzw"}]
)
def test_deep_channels_of_tiff_and_their_pixel_size(tmp_path: Path, options: dict[str, Any], orientation: int) -> None:
    values = noise(40, 50, dtype=np.uint16)
    extra = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(
        tmp_path / "a.tif", values, extratags=extra, resolution=(20_000, 40_000), resolutionunit="CENTIMETER", **options
    )
    image = Image.fromarray(values)
    image.getexif()[274] = orientation
    pixels, meta = read(tmp_path / "a.tif", tile=16)

    np.testing.assert_array_equal(pixels[0], np.asarray(ImageOps.exif_transpose(image)))
    assert meta.pixel_size_um == pytest.approx((0.5, 0.25) if orientation > 4 else (0.25, 0.5))


def test_16_bit_png(tmp_path: Path) -> None:
    values = noise(20, 30, 3, dtype=np.uint16) * 257
    content = imagecodecs.png_encode(values)
    image = Image.new("L", (1, 1))
    image.getexif()[274] = 6
    image.save(tmp_path / "exif.png", exif=image.getexif())
    donor = (tmp_path / "exif.png").read_bytes()
    start = donor.index(b"eXIf") - 4
    chunk = donor[start : start + 12 + int.from_bytes(donor[start : start + 4])]
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])

    np.testing.assert_array_equal(read(tmp_path / "a.png", 7)[0], np.rot90(values, -1).transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_what_is_no_orientation_moves_nothing(tmp_path: Path, orientation: int) -> None:
    values = noise(20, 30)
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=[(274, "H", 1, orientation, True)])

    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0][0], values)
