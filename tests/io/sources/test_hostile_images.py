"""Files that declare more than they hold, or are not what they say: one error with their name, in bounded memory."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from simsearch.core.tiles import Region
from simsearch.errors import SimSearchError, SourceError
from simsearch.io.sources.formats import list_series, open_source
from simsearch.io.sources.protocol import SourceSpec, source_errors
from simsearch.io.sources.tiff.encoded import check_encoded_size
from tests.io.sources.reading import noise, read

if TYPE_CHECKING:
    from pathlib import Path

COMPRESSIONS = {"none": 1, "lzw": 5, "jpeg": 7, "deflate": 8, "packbits": 32773, "zstd": 50000}


def write_tiff(path: Path, tags: dict[int, int], data: bytes) -> None:
    """Write one directory of 32-bit tags, and one strip or tile of bytes behind the header."""
    stored = {258: 8, 262: 1, 277: 1, **tags}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, stored[tag]) for tag in sorted(stored))
    content = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    path.write_bytes(content + struct.pack("<H", len(stored)) + directory + bytes(4))


def strip(height: int, width: int, compression: int, data: bytes) -> dict[int, int]:
    return {256: width, 257: height, 259: compression, 273: 8, 278: height, 279: len(data)}


def tile(side: int, compression: int, data: bytes) -> dict[int, int]:
    return {256: side, 257: side, 259: compression, 322: side, 323: side, 324: 8, 325: len(data)}


@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("how", ["strip", "tile"])
@pytest.mark.parametrize("side", [20_000, 60_000, 1_000_000])
def test_a_piece_that_declares_gigabytes_is_refused_before_it_is_decoded(
    tmp_path: Path, side: int, how: str, compression: int
) -> None:
    data = zlib.compress(bytes(10_000))
    tags = strip(side, side, compression, data) if how == "strip" else tile(side, compression, data)
    write_tiff(tmp_path / "a.tif", tags, data)
    with pytest.raises(
        SourceError, match=r"a\.tif: expected (at most 1 GiB in one piece|.* cannot hold so many|.*bytes)"
    ):
        read(tmp_path / "a.tif", tile=256)


def test_more_samples_than_any_microscope_has_are_refused(tmp_path: Path) -> None:
    data = zlib.compress(bytes(60_000 * 16))
    write_tiff(tmp_path / "a.tif", {**strip(4, 4, 8, data), 277: 60_000}, data)
    with pytest.raises(SourceError, match=r"a\.tif: expected at most 1024 channels, got 60000"):
        read(tmp_path / "a.tif")


def test_strips_that_unpack_to_more_than_they_declare_are_refused(tmp_path: Path) -> None:
    data = zlib.compress(bytes(2**24))
    write_tiff(tmp_path / "a.tif", strip(16, 16, 8, data), data)
    assert "a.tif: expected pixels" in (refusal(tmp_path / "a.tif") or "")


def test_a_jpeg_in_a_tile_may_not_be_larger_than_memory(tmp_path: Path) -> None:
    data = bytearray(imagecodecs.jpeg_encode(noise(64, 64)))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    write_tiff(tmp_path / "a.tif", tile(64, 7, bytes(data)), bytes(data))
    with pytest.raises(
        SourceError, match=r"a\.tif: expected at most 1 GiB in one piece, got a tile that declares 65000"
    ):
        read(tmp_path / "a.tif")


def test_sizes_inside_of_tiles_are_found_in_what_encoders_write() -> None:
    small = noise(8, 8)
    for encoded in (
        imagecodecs.jpeg_encode(small),
        imagecodecs.png_encode(small),
        imagecodecs.jpeg2k_encode(small, codecformat="j2k"),
        imagecodecs.jpeg2k_encode(small),
        b"\xff\xd8",
        b"",
    ):
        check_encoded_size(encoded, "a.tif")
    grown = bytearray(imagecodecs.jpeg2k_encode(small, codecformat="j2k"))
    grown[8:16] = struct.pack(">II", 10**6, 10**6)
    with pytest.raises(SourceError, match=r"declares 1000000 x 1000000 px"):
        check_encoded_size(bytes(grown), "a.tif")


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_picture_that_declares_what_its_file_cannot_hold_is_refused(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(noise(20, 30, 3)).save(tmp_path / f"a.{suffix}")
    content = bytearray((tmp_path / f"a.{suffix}").read_bytes())
    if suffix == "png":
        content[16:24] = struct.pack(">II", 15_000, 15_000)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    else:
        content[18:26] = struct.pack("<ii", 15_000, 15_000)
    (tmp_path / f"a.{suffix}").write_bytes(content)
    with pytest.raises(SourceError, match=rf"a\.{suffix}: expected 15000 x 15000 px, got a file of \d+ bytes"):
        read(tmp_path / f"a.{suffix}")


def test_an_array_that_declares_more_than_its_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(20, 30))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(20, 30)", b"(9**9,3)"))
    with pytest.raises(SourceError, match=r"a\.npy: expected an array"):
        read(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(content.replace(b"(20, 30), }     ", b"(99999999, 30)}"))
    with pytest.raises(SourceError, match=r"a\.npy: expected an array"):
        read(tmp_path / "a.npy")


def test_too_little_memory_is_told_with_a_way_out() -> None:
    message = r"a\.tif: expected pixels, got more than the memory .* save it tiled"
    with pytest.raises(SourceError, match=message), source_errors("a.tif", "pixels"):
        np.empty(2**62, np.uint8)


def refusal(path: Path) -> str | None:
    """List the images of a file and read a part of it; returns what is said if it cannot be."""
    try:
        list_series(str(path))
        with open_source(SourceSpec(str(path), z="max", t="max")) as source:
            height, width = source.meta.shape
            source.read(Region(0, min(height, 512), 0, min(width, 512)))
    except SimSearchError as error:
        return str(error)
    return None


def changed(content: bytes, generator: np.random.Generator) -> bytes:
    """Change some bytes, most of them where headers and directories are."""
    data = bytearray(content)
    ends = [64, 400, len(data)]
    for _ in range(int(generator.integers(1, 6))):
        near = int(generator.choice(ends))
        at = int(generator.integers(0, min(near, len(data))))
        at = len(data) - 1 - at if generator.random() < 0.4 else at
        data[at] = int(generator.choice([0, 1, 2, 127, 128, 255, int(generator.integers(256))]))
    return bytes(data[: int(generator.integers(1, len(data)))] if generator.random() < 0.1 else data)


def samples(folder: Path) -> dict[str, bytes]:
    options: dict[str, dict[str, Any]] = {
        "plain": {},
        "tiles": {"tile": (16, 16), "compression": "zlib"},
        "lzw": {"compression": "lzw", "rowsperstrip": 4, "predictor": True},
        "white": {"photometric": "miniswhite"},
        "ome": {"ome": True, "metadata": {"PhysicalSizeX": 0.5, "Channel": {"Name": ["a"]}}},
        "imagej": {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}},
    }
    for name, each in options.items():
        tifffile.imwrite(folder / f"{name}.tif", noise(32, 32, dtype=np.uint16), **each)
    for suffix in ("png", "jpg", "bmp"):
        Image.fromarray(noise(32, 32, 3)).save(folder / f"a.{suffix}")
    np.save(folder / "a.npy", noise(32, 32))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_changed_files_are_read_or_refused_with_their_name(tmp_path: Path) -> None:
    generator = np.random.default_rng(13)
    (tmp_path / "good").mkdir()
    for name, content in samples(tmp_path / "good").items():
        for i in range(25):
            path = tmp_path / f"{i}{name}"
            path.write_bytes(changed(content, generator))
            message = refusal(path)
            assert message is None or (path.name in message and "\n" not in message)
