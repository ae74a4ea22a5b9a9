"""What stored values mean is what an independent reading and plain arithmetic say, whole and in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError
from simsearch.io.sources.formats import open_source
from simsearch.io.sources.protocol import SourceSpec, StackSpec
from tests.io.sources.reading import noise, read

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RGB = ("Red", "Green", "Blue")
LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strips": {"rowsperstrip": 7, "compression": "zlib"},
    "tiles": {"tile": (16, 32), "compression": "zlib"},
}


def write_pages(path: Path, pages: NDArray[Any], **options: Any) -> None:  # noqa: ANN401  tifffile's
    with tifffile.TiffWriter(path) as tiff:
        for page in pages:
            tiff.write(page, contiguous=False, metadata=None, **options)


def packed(values: NDArray[Any], bits: int) -> bytes:
    """Pack rows of integers, each padded to whole bytes, as strips have them."""
    weights = 1 << np.arange(bits - 1, -1, -1)
    stored = (values.astype(np.uint32)[..., np.newaxis] & weights) > 0
    return np.packbits(stored.reshape(len(values), -1), axis=1).tobytes()


def write_packed(path: Path, values: NDArray[Any], bits: int, photometric: int) -> None:
    """Write a TIFF by hand: tifffile packs no integers."""
    data = values.astype("<u2").tobytes() if bits == 16 else packed(values, bits)
    height, width = values.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height)]
    tags.append((279, len(data)))
    directory = b"".join(
        tag.to_bytes(2, "little") + b"\4\0" + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        for tag, value in tags
    )
    head = b"II*\0" + (8 + len(data) + len(data) % 2).to_bytes(4, "little")
    path.write_bytes(head + data + bytes(len(data) % 2) + len(tags).to_bytes(2, "little") + directory + bytes(4))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
def test_white_is_zero_is_as_far_from_the_largest_value_of_its_bits(tmp_path: Path, bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (30, 37))
    write_packed(tmp_path / "white.tif", values, bits, 0)
    write_packed(tmp_path / "black.tif", values, bits, 1)
    scale = 255 if bits == 1 else 1

    np.testing.assert_array_equal(read(tmp_path / "white.tif", tile=16)[0][0], (2**bits - 1 - values) * scale)
    np.testing.assert_array_equal(read(tmp_path / "black.tif", tile=16)[0][0], values * scale)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int8", "int16", "int32", ">u2", ">i2"])
def test_white_is_zero_of_any_type(tmp_path: Path, dtype: str, layout: str) -> None:
    values = (noise(40, 50, dtype=np.int16) - (120 if "i" in dtype else 0)).astype(dtype)
    options = {"byteorder": ">"} if ">" in dtype else {}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite", **LAYOUTS[layout], **options)
    most = np.iinfo(values.dtype).max if "u" in dtype else -1

    np.testing.assert_array_equal(read(tmp_path / "a.tif", tile=16)[0][0], most - values.astype(np.int64))


def test_white_is_zero_of_floats_is_kept_and_told(tmp_path: Path) -> None:
    values = noise(40, 50, dtype=np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    pixels, meta = read(tmp_path / "a.tif")

    np.testing.assert_array_equal(pixels[0], values)
    assert "white is zero in it, and values are kept as they are" in meta.notes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_projection_is_of_values_and_not_of_codes(tmp_path: Path, layout: str) -> None:
    codes, table = noise(3, 40, 50), noise(3, 256, dtype=np.uint16, seed=5)
    write_pages(tmp_path / "white.tif", codes, photometric="miniswhite", **LAYOUTS[layout])
    write_pages(tmp_path / "colors.tif", codes, photometric="palette", colormap=table * 257, **LAYOUTS[layout])

    np.testing.assert_array_equal(read(tmp_path / "white.tif", 16, z="max")[0][0], (255 - codes).max(axis=0))
    np.testing.assert_array_equal(read(tmp_path / "colors.tif", 16, z="max")[0], table[:, codes].max(axis=1))


def test_palettes_of_pages_are_their_own(tmp_path: Path) -> None:
    codes, tables = noise(2, 20, 30), noise(2, 3, 256, dtype=np.uint16, seed=5)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page, table in zip(codes, tables, strict=True):
            tiff.write(page, contiguous=False, metadata=None, photometric="palette", colormap=table * 257)
    for z in range(2):
        np.testing.assert_array_equal(read(tmp_path / "a.tif", z=z)[0], tables[z][:, codes[z]])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bits", [8, 16])
def test_palettes_have_maps_of_16_bits_or_of_8(tmp_path: Path, bits: int, layout: str) -> None:
    codes, table = noise(40, 50), noise(3, 256, dtype=np.uint16, seed=5)
    stored = table * 257 if bits == 16 else table
    tifffile.imwrite(tmp_path / "a.tif", codes, photometric="palette", colormap=stored, **LAYOUTS[layout])
    pixels, meta = read(tmp_path / "a.tif", tile=16)

    np.testing.assert_array_equal(pixels, table[:, codes])
    assert meta.channel_names == RGB


def test_in_a_plate_a_palette_only_draws_what_a_channel_holds(tmp_path: Path) -> None:
    codes, table = noise(2, 20, 30), np.zeros((3, 256), np.uint16)
    table[1] = np.arange(256) * 257
    for i, page in enumerate(codes):
        tifffile.imwrite(tmp_path / f"{i}.tif", page, photometric="palette", colormap=table)
    channels = tuple((SourceSpec(str(tmp_path / f"{i}.tif")),) for i in range(2))
    with open_source(StackSpec("A01", channels, ("GFP", "DNA"))) as source:
        np.testing.assert_array_equal(source.read(Region(0, 20, 0, 30)), codes)
        assert any("look-up table" in note for note in source.meta.notes)
    assert read(tmp_path / "0.tif")[1].channel_names == RGB


# YCbCr


def write_ycbcr(path: Path, image: Image.Image, sampling: tuple[int, int], *, rows: int, compressed: bool) -> None:
    """Write YCbCr strips as the standard packs them: the lightness of a block, then its two colours."""
    across, down = sampling
    light, blueness, redness = np.moveaxis(np.asarray(image.convert("YCbCr")), -1, 0)
    height, width = light.shape
    strips = []
    for top in range(0, height, rows):
        parts = []
        for y in range(top, min(top + rows, height), down):
            for x in range(0, width, across):
                block = np.zeros((down, across), np.uint8)
                found = light[y : min(y + down, top + rows), x : x + across]
                block[: found.shape[0], : found.shape[1]] = found
                parts.append(block.tobytes() + bytes([blueness[y, x], redness[y, x]]))
        data = b"".join(parts)
        strips.append(imagecodecs.zlib_encode(data) if compressed else data)
    shape = (height, width, 3)
    extra = [(530, 3, 2, sampling, True), (532, 5, 6, (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1), True)]
    # tifffile writes such strips only where it takes their bytes for encoded ones.
    tifffile.imwrite(
        path,
        iter(strips),
        shape=shape,
        dtype=np.uint8,
        photometric="rgb",
        rowsperstrip=rows,
        compression="zlib",
        extratags=extra,
        metadata=None,
    )
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags["PhotometricInterpretation"].overwrite(6)
        if not compressed:
            tiff.pages.first.tags["Compression"].overwrite(1)


def smooth(height: int, width: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    values = np.stack([4 * y, 3 * x, 255 - 2 * x - y], axis=-1) % 256
    return Image.fromarray(values.astype(np.uint8))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("rows", [8, 64])
@pytest.mark.parametrize("sampling", [(1, 1), (2, 1), (2, 2), (4, 2), (1, 2)])
def test_ycbcr_in_strips_becomes_rgb(tmp_path: Path, sampling: tuple[int, int], rows: int, compressed: bool) -> None:
    write_ycbcr(tmp_path / "a.tif", smooth(44, 53), sampling, rows=rows, compressed=compressed)
    pixels, meta = read(tmp_path / "a.tif", tile=16)
    # Pillow reads such strips through libtiff, which it only asks where they are compressed.
    write_ycbcr(tmp_path / "b.tif", smooth(44, 53), sampling, rows=rows, compressed=True)
    expected = np.asarray(Image.open(tmp_path / "b.tif").convert("RGB")).transpose(2, 0, 1)

    assert np.abs(pixels.astype(int) - expected).max() <= 2  # Pillow rounds through tables
    assert np.ptp(pixels, axis=(1, 2)).min() > 100
    assert meta.channel_names == RGB


def test_ycbcr_of_other_ranges_and_coefficients(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(16, 236, (20, 30, 3)).astype(np.uint8)
    ranges = (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)
    luma = (2126, 10000, 7152, 10000, 722, 10000)
    extra = [(529, 5, 3, luma, True), (530, 3, 2, (1, 1), True), (532, 5, 6, ranges, True)]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extratags=extra, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages.first.tags["PhotometricInterpretation"].overwrite(6)
    light = (stored[..., 0] - 16.0) * 255 / 219
    blueness, redness = ((stored[..., i] - 128.0) * 127 / 112 for i in (1, 2))
    red, blue = light + redness * (2 - 2 * 0.2126), light + blueness * (2 - 2 * 0.0722)
    green = (light - 0.2126 * red - 0.0722 * blue) / 0.7152
    expected = np.clip(np.stack([red, green, blue]), 0, 255)

    assert np.abs(read(tmp_path / "a.tif", tile=9)[0] - expected).max() <= 0.51


# What was never written


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_tiles_that_were_never_written_are_background(tmp_path: Path, dtype: str, compression: str | None) -> None:
    values = noise(64, 96, dtype=dtype) + np.array(1, dtype)
    corners = [(y, x) for y in (0, 32) for x in (0, 32, 64)]
    tiles = (None if i in (1, 4) else values[y : y + 32, x : x + 32] for i, (y, x) in enumerate(corners))
    tifffile.imwrite(tmp_path / "a.tif", tiles, shape=(64, 96), dtype=dtype, tile=(32, 32), compression=compression)
    pixels, meta = read(tmp_path / "a.tif", tile=20)
    values[:32, 32:64] = values[32:, 32:64] = 0

    np.testing.assert_array_equal(pixels[0], values)
    assert "2 strips or tiles were never written, and become background" in meta.notes


def test_tiles_of_a_slide_that_were_never_written_are_white(tmp_path: Path) -> None:
    values = noise(32, 32, 3)
    tifffile.imwrite(
        tmp_path / "a.tif", iter([values, None]), shape=(32, 64, 3), dtype="uint8", tile=(32, 32), photometric="rgb"
    )
    pixels, _ = read(tmp_path / "a.tif", tile=20)

    np.testing.assert_array_equal(pixels[..., :32], values.transpose(2, 0, 1))
    assert (pixels[..., 32:] == 255).all()


# Stacks that one directory stands for


@pytest.mark.parametrize("kind", ["imagej", "shaped"])
def test_a_stack_with_one_directory_is_read_plane_by_plane(tmp_path: Path, kind: str) -> None:
    values = noise(4, 20, 30, dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        values,
        imagej=kind == "imagej",
        truncate=True,
        photometric="minisblack",
        metadata={"axes": "ZYX"},
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 1
    for z in range(4):
        np.testing.assert_array_equal(read(tmp_path / "a.tif", 16, z=z)[0][0], values[z])
    np.testing.assert_array_equal(read(tmp_path / "a.tif", z="max")[0][0], values.max(axis=0))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_plane_alone_is_counted_over_all_axes(tmp_path: Path, layout: str) -> None:
    values = noise(2, 3, 20, 30, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", values, ome=True, metadata={"axes": "ZCYX"}, **LAYOUTS[layout])
    for i, plane in enumerate(values.reshape(6, 20, 30)):
        pixels, meta = read(tmp_path / "a.ome.tif", plane=i)
        np.testing.assert_array_equal(pixels, plane[np.newaxis])
        assert len(meta.channel_names) == 1
    with pytest.raises(ConfigError, match=r"one of its 6 planes, got 6"):
        read(tmp_path / "a.ome.tif", plane=6)


@pytest.mark.parametrize("stack", ["channels", "z", "t"])
def test_what_pages_are_can_be_said(tmp_path: Path, stack: str) -> None:
    values = noise(3, 20, 30)
    write_pages(tmp_path / "plain.tif", values)
    tifffile.imwrite(tmp_path / "named.tif", values, imagej=True, metadata={"axes": "ZYX"})
    for name in ("plain.tif", "named.tif"):
        choice: dict[str, Any] = {} if stack == "channels" else {stack: 1}
        pixels, meta = read(tmp_path / name, stack=stack, **choice)
        np.testing.assert_array_equal(pixels, values if stack == "channels" else values[1:2])
        assert not any("taken for" in note for note in meta.notes)
