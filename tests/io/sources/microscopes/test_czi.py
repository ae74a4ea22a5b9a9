"""CZI files, written by Zeiss's own library, are read as they were written."""

from __future__ import annotations

import struct
import sys
from itertools import product
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError, SourceError
from simsearch.io.sources.formats import list_series, open_source
from simsearch.io.sources.microscopes import container as microscope
from simsearch.io.sources.protocol import SourceSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.io.sources.conftest import ReadTiles

czi = pytest.importorskip("pylibCZIrw.czi", reason="no wheel of pylibCZIrw for this machine")

BLUE = czi.Rgb8Color(np.uint8(1), np.uint8(2), np.uint8(255))


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def write(
    path: Path,
    *tiles: tuple[NDArray[Any], dict[str, Any]],
    compression: str = "zstd1:",
    **metadata: Any,  # noqa: ANN401
) -> Path:
    with czi.create_czi(str(path), compression_options=compression) as file:
        for pixels, where in tiles:
            file.write(pixels, **where)
        if metadata:
            file.write_metadata(**metadata)
    return path


def test_a_mosaic_with_channels_planes_and_times(tmp_path: Path, read_tiles: ReadTiles) -> None:
    stack = noise(2, 3, 2, 2, 40, 50, dtype="uint16")  # c, z, t, m, y, x
    path = write(
        tmp_path / "a.czi",
        *(
            (stack[c, z, t, m], {"location": (44 * m - 30, -7), "plane": {"C": c, "Z": z, "T": t}})
            for c, z, t, m in np.ndindex(2, 3, 2, 2)
        ),
        channel_names={0: "DAPI", 1: "Alexa 488"},
        scale_x=0.325e-6,
        scale_y=0.5e-6,
        display_settings={0: czi.ChannelDisplaySettingsDataClass(True, czi.TintingMode.Color, BLUE, 0, 1)},
    )
    expected = np.zeros((2, 3, 2, 40, 94), np.uint16)
    for m in range(2):  # later tiles lie on top
        expected[..., 44 * m : 44 * m + 50] = stack[:, :, :, m]

    pixels, meta = read_tiles(path, z=1, t=0)
    np.testing.assert_array_equal(pixels, expected[:, 1, 0])
    assert meta.channel_names == ("DAPI", "Alexa 488")
    assert meta.channel_colors == ("0102FF", "00FF00")  # the second by its dye
    assert meta.pixel_size_um == pytest.approx((0.5, 0.325))
    assert not meta.notes
    np.testing.assert_array_equal(read_tiles(path, z="max", t=1)[0], expected[:, :, 1].max(axis=1))
    with pytest.raises(ConfigError, match="--z INDEX"):
        read_tiles(path, t=0)
    with pytest.raises(ConfigError, match="--t INDEX"):
        read_tiles(path, z=0)


@pytest.mark.parametrize(
    ("dtype", "samples", "compression"),
    [
        *product(("uint8", "uint16"), (1, 3), ("uncompressed:", "zstd0:", "zstd1:")),
        ("float32", 1, "uncompressed:"),  # libCZI does not compress floats, nor read them in colour
    ],
)
def test_types_of_pixels(tmp_path: Path, read_tiles: ReadTiles, dtype: str, samples: int, compression: str) -> None:
    written = noise(60, 70, samples, dtype=dtype)
    pixels, meta = read_tiles(write(tmp_path / "a.czi", (written, {}), compression=compression))

    np.testing.assert_array_equal(pixels, written.transpose(2, 0, 1)[::-1])  # blue comes first in the file
    assert meta.dtype == dtype
    assert meta.channel_names == (("Intensity",) if samples == 1 else ("Red", "Green", "Blue"))
    assert meta.pixel_size_um is None


def test_floats_in_colour_are_refused(tmp_path: Path, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "a.czi", (noise(60, 70, 3, dtype="float32"), {}), compression="uncompressed:")
    with pytest.raises(SourceError, match=r"a\.czi: expected pixels of type Gray8, .*, got Bgr96Float: export"):
        read_tiles(path)


def test_a_file_without_an_image(tmp_path: Path, read_tiles: ReadTiles) -> None:
    with pytest.raises(SourceError, match="got a CZI without tiles"):
        read_tiles(write(tmp_path / "a.czi"))


def test_channels_of_different_depth(tmp_path: Path, read_tiles: ReadTiles) -> None:
    shallow, deep = noise(30, 40), noise(30, 40, dtype="uint16") * np.uint16(200)
    path = write(tmp_path / "a.czi", (shallow, {"plane": {"C": 0}}), (deep, {"plane": {"C": 1}}))
    pixels, meta = read_tiles(path)

    np.testing.assert_array_equal(pixels, [shallow, deep])
    assert meta.dtype == "uint16"


def test_jpeg_xr(tmp_path: Path, read_tiles: ReadTiles) -> None:
    y, x = np.mgrid[:64, :80]
    written = (300 * y + 20 * x).astype(np.uint16)
    path = write(tmp_path / "a.czi", (written, {}), compression="uncompressed:")
    packed, data = imagecodecs.jpegxr_encode(written, level=1.0), bytearray(path.read_bytes())
    block, pixels_at = data.index(b"ZISRAWSUBBLOCK"), data.index(written.tobytes())
    data[block + 40 : block + 48] = struct.pack("<q", len(packed))
    data[pixels_at : pixels_at + len(packed)] = packed
    entry = data.find(b"DV")
    while entry >= 0:  # beside the block, and in the directory
        data[entry + 18 : entry + 22] = struct.pack("<i", 4)
        entry = data.find(b"DV", entry + 1)
    path.write_bytes(data)

    np.testing.assert_array_equal(read_tiles(path)[0][0], written)


def test_scenes_are_images_of_their_own(tmp_path: Path, read_tiles: ReadTiles) -> None:
    small, large = noise(30, 40), noise(50, 60, seed=1)
    tiles = ((small, {"scene": 0}), (large, {"scene": 1, "location": (35, 20)}))  # their boxes overlap
    path = write(tmp_path / "a.czi", *tiles)

    assert [str(each) for each in list_series(str(path))] == ["scene 1 (30 x 40)", "scene 2 (50 x 60)"]
    pixels, meta = read_tiles(path)
    np.testing.assert_array_equal(pixels[0], large)
    assert meta.notes == ("1 more image in the file was left out: scene 1 (30 x 40): --series NAME",)
    for series in ("0", "scene 1"):
        pixels, meta = read_tiles(path, series=series)
        np.testing.assert_array_equal(pixels[0], small)
        assert not meta.notes


@pytest.mark.parametrize(("samples", "background"), [(1, 0), (3, 255)])
def test_where_no_tile_is(tmp_path: Path, read_tiles: ReadTiles, samples: int, background: int) -> None:
    tile = noise(20, 20, samples)
    pixels, _ = read_tiles(write(tmp_path / "a.czi", (tile, {}), (tile, {"location": (50, 30)})))

    np.testing.assert_array_equal(pixels[:, 30:, 50:], tile.transpose(2, 0, 1)[::-1])
    assert (pixels[:, :20, 20:50] == background).all()


def test_a_plane_that_was_never_taken_is_no_black_image(tmp_path: Path, read_tiles: ReadTiles) -> None:
    tile = noise(20, 20)
    path = write(tmp_path / "a.czi", (tile, {"plane": {"T": 0}}), (tile, {"plane": {"T": 2}}))

    np.testing.assert_array_equal(read_tiles(path, t=2)[0][0], tile)
    with pytest.raises(SourceError, match=r"a\.czi: expected pixels of .* no tiles of C0 Z0 T1"):
        read_tiles(path, t=1)


def test_only_the_tiles_of_a_region_are_decoded(tmp_path: Path) -> None:
    mosaic = noise(6 * 64, 6 * 64, dtype="uint16")
    places = [(y, x) for y in range(0, 384, 64) for x in range(0, 384, 64)]
    path = write(tmp_path / "a.czi", *((mosaic[y : y + 64, x : x + 64], {"location": (x, y)}) for y, x in places))
    data = bytearray(path.read_bytes())
    blocks = [i for i in range(len(data)) if data.startswith(b"ZISRAWSUBBLOCK", i)]
    assert len(blocks) == 36
    wanted = Region(70, 190, 130, 250)  # two by two of them
    for (y, x), block in zip(places, blocks, strict=True):
        if y not in (64, 128) or x not in (128, 192):
            data[block + 400 : block + 3000] = b"\xff" * 2600
    path.write_bytes(data)

    with open_source(SourceSpec(str(path))) as source:
        np.testing.assert_array_equal(source.read(wanted)[0], mosaic[wanted.slices])
        with pytest.raises(SourceError, match="expected pixels of"):
            source.read(Region(0, 64, 0, 64))


def test_a_tile_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_tiles: ReadTiles
) -> None:
    path = write(tmp_path / "a.czi", (noise(64, 64), {}))
    monkeypatch.setattr(microscope, "MOST_BYTES_IN_ONE_PIECE", 64 * 64)

    with pytest.raises(SourceError, match="expected at most 4096 bytes in one piece"):
        read_tiles(path)


def test_what_is_cut_off_or_damaged_is_told_in_one_line(tmp_path: Path, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "a.czi", *((noise(64, 64, seed=m), {"location": (64 * m, 0)}) for m in range(4)))
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for length in (10, 32, 100, 600, len(data) // 2, len(data) - 200, len(data) - 20):
        path.write_bytes(data[:length])
        with pytest.raises(SourceError, match=r"a\.czi: expected .+: the file is damaged") as error:
            read_tiles(path)
        assert "\n" not in str(error.value)
    for _ in range(30):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 40):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_tiles(path)
        except SourceError as damage:
            assert "\n" not in str(damage)  # noqa: PT017  some damage is to pixels only


@pytest.mark.parametrize("where", [{"plane": {"C": 10**3}}, {"plane": {"Z": 10**9}}, {"location": (2**30, 2**30)}])
def test_more_is_declared_than_is_there(tmp_path: Path, read_tiles: ReadTiles, where: dict[str, Any]) -> None:
    tile = noise(20, 20)
    with pytest.raises(SourceError, match="2 tiles for channels, planes, time points or a size that take"):
        read_tiles(write(tmp_path / "a.czi", (tile, {}), (tile, where)), z="max")


@pytest.mark.parametrize("length", [-1, 2**40, 2**62])
def test_a_tile_longer_than_the_file(tmp_path: Path, length: int) -> None:
    mosaic = noise(64, 256)
    path = write(tmp_path / "a.czi", *((mosaic[:, x : x + 64], {"location": (x, 0)}) for x in range(0, 256, 64)))
    data = bytearray(path.read_bytes())
    block = data.index(b"ZISRAWSUBBLOCK", data.index(b"ZISRAWSUBBLOCK") + 1)
    data[block + 40 : block + 48] = struct.pack("<q", length)
    path.write_bytes(data)

    with open_source(SourceSpec(str(path))) as source:
        np.testing.assert_array_equal(source.read(Region(0, 64, 128, 256))[0], mosaic[:, 128:])
        with pytest.raises(SourceError, match=f"a tile of {length} bytes in a file of"):
            source.read(Region(0, 64, 60, 70))


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "a.czi", (noise(20, 20), {}))
    monkeypatch.setitem(sys.modules, "pylibCZIrw.czi", None)

    with pytest.raises(SourceError, match=r"a\.czi: expected pylibCZIrw.*pip install 'simsearch\[formats\]'") as error:
        read_tiles(path)
    assert "\n" not in str(error.value)
