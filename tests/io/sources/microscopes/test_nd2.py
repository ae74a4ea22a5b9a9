"""ND2 files, put together here byte by byte, are read as they were written, and as nd2 reads them."""

from __future__ import annotations

import struct
import sys
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import nd2
import numpy as np
import pytest

from simsearch.errors import ConfigError, SourceError
from simsearch.io.sources.formats import list_series

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.io.sources.conftest import ReadTiles

NAME_BYTES = 4072  # of a frame, so that its pixels start at a page


class U32(int):
    """An unsigned number of 32 bits."""


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def packed(name: str, value: object) -> bytes:
    """Write a value as Nikon's lite variant."""
    kinds: tuple[tuple[type, int, str], ...] = ((bool, 1, "<B"), (U32, 3, "<I"), (int, 2, "<i"), (float, 6, "<d"))
    label = (name + "\0").encode("utf-16-le")
    if isinstance(value, dict):
        parts = [packed(key, each) for key, each in value.items()]
        head = bytes([11, len(name) + 1]) + label
        length = len(head) + 12 + sum(map(len, parts))
        return head + struct.pack("<IQ", len(parts), length) + b"".join(parts) + bytes(8 * len(parts))
    if isinstance(value, str):
        return bytes([8, len(name) + 1]) + label + (value + "\0").encode("utf-16-le")
    number, form = next((number, form) for kind, number, form in kinds if isinstance(value, kind))
    return bytes([number, len(name) + 1]) + label + struct.pack(form, value)


def loops(*axes: tuple[str, int], points: tuple[str, ...] = ()) -> dict[str, object]:
    """Describe an experiment, its outermost loop first."""
    (axis, count), rest = axes[0], axes[1:]
    numbers = {"T": 1, "P": 2, "Z": 4}
    params: dict[str, object] = {"uiCount": U32(count)}
    if axis == "T":
        params |= {"dStart": 0.0, "dPeriod": 1000.0, "dDuration": 0.0}
    if axis == "P":
        params |= {
            "Points": {f"i{i:010}": {"dPosX": float(i), "dPosY": 0.0, "dPosName": n} for i, n in enumerate(points)}
        }
    loop: dict[str, object] = {"eType": U32(numbers[axis]), "uLoopPars": params}
    if rest:
        loop["ppNextLevelEx"] = {"i0000000000": loops(*rest, points=points)}
    return loop


def write(  # noqa: PLR0913  what Nikon's metadata say
    path: Path,
    frames: NDArray[Any],
    experiment: dict[str, object] | None = None,
    *,
    channels: tuple[tuple[str, int], ...] = (("", 0),),
    samples: int = 1,
    pixel_um: float = 0.325,
    padding: int = 0,
    compressed: bool = False,
    lost: tuple[int, ...] = (),
    excess: int = 0,
    probe: bool = True,
) -> Path:
    """Write frames of shape (n, y, x, channels * samples)."""
    n, height, width, components = frames.shape
    row_bytes = width * components * frames.itemsize + padding
    attributes = {
        "uiWidth": U32(width), "uiHeight": U32(height), "uiWidthBytes": U32(row_bytes), "uiComp": U32(components),
        "uiBpcInMemory": U32(8 * frames.itemsize), "uiBpcSignificant": U32(8 * frames.itemsize),
        "uiSequenceCount": U32(n), "eCompression": 0 if compressed else 2, "dCompressionParam": 0.0,
    }  # fmt: skip
    planes = {
        f"a{i}": {"sDescription": name, "uiColor": U32(color), "uiCompCount": U32(samples)}
        | ({"pFluorescentProbe": {"m_sName": "dye"}} if probe else {})
        for i, (name, color) in enumerate(channels)
    }
    metadata = {
        "bCalibrated": pixel_um > 0, "dCalibration": pixel_um,
        "sPicturePlanes": {"uiCount": U32(len(channels)), "sPlaneNew": planes},
    }  # fmt: skip
    chunks = {
        b"ImageAttributesLV!": packed("SLxImageAttributes", attributes),
        b"ImageMetadataSeqLV|0!": packed("SLxPictureMetadata", metadata),
    }
    if experiment:
        chunks[b"ImageMetadataLV!"] = packed("SLxExperiment", experiment)
    rows = np.zeros((n, height, row_bytes), np.uint8)
    rows[..., : row_bytes - padding] = frames.reshape(n, height, -1).view(np.uint8)
    for i, frame in enumerate(rows):
        if i not in lost:
            data = zlib.compress(frame.tobytes() + bytes(excess)) if compressed else frame.tobytes()
            chunks[b"ImageDataSeq|%d!" % i] = bytes(8) + data
    return assembled(path, chunks)


def assembled(path: Path, chunks: dict[bytes, bytes]) -> Path:
    def chunk(name: bytes, data: bytes) -> bytes:
        label = name.ljust(NAME_BYTES, b"\0")
        return struct.pack("<IIQ", 0x0ABECEDA, len(label), len(data)) + label + data

    out = bytearray(struct.pack("<IIQ32s64s", 0x0ABECEDA, 32, 64, b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0"))
    table = b""
    for name, data in chunks.items():
        table += name + struct.pack("<QQ", len(out), len(data))
        out += chunk(name, data)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(out))
    out += chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", table + end)
    path.write_bytes(out)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("padding", [0, 6])
def test_channels_planes_times_and_positions(
    tmp_path: Path, read_tiles: ReadTiles, padding: int, *, compressed: bool
) -> None:
    stack = noise(2, 3, 2, 40, 51, 2)  # t, p, z, y, x, c
    path = write(
        tmp_path / "a.nd2",
        stack.reshape(-1, *stack.shape[3:]),
        loops(("T", 2), ("P", 3), ("Z", 2), points=("left", "", "right")),
        channels=(("DAPI", 0xFF0201), ("GFP", 0)),
        padding=padding,
        compressed=compressed,
    )
    np.testing.assert_array_equal(nd2.imread(path), stack.transpose(0, 1, 2, 5, 3, 4))  # it agrees that this is an ND2

    pixels, meta = read_tiles(path, series="right", z=1, t=0)
    np.testing.assert_array_equal(pixels, stack[0, 2, 1].transpose(2, 0, 1))
    assert meta.channel_names == ("DAPI", "GFP")
    assert meta.channel_colors == ("0102FF", "00FF00")  # the second by its dye
    assert meta.pixel_size_um == pytest.approx((0.325, 0.325))
    assert meta.in_one_piece == compressed
    np.testing.assert_array_equal(
        read_tiles(path, series="0", z="max", t="max")[0], stack[:, 0].max(axis=(0, 1)).transpose(2, 0, 1)
    )
    assert [each.name for each in list_series(str(path))] == ["left", "position 2", "right"]
    with pytest.raises(ConfigError, match="--t INDEX"):
        read_tiles(path, z=0)


def test_colours_are_red_green_blue(tmp_path: Path, read_tiles: ReadTiles) -> None:
    frames = noise(1, 30, 40, 3, dtype="uint8")
    pixels, meta = read_tiles(write(tmp_path / "a.nd2", frames, samples=3, pixel_um=0.0))

    np.testing.assert_array_equal(pixels, frames[0, ..., ::-1].transpose(2, 0, 1))  # Nikon has blue first
    assert meta.channel_names == ("Red", "Green", "Blue")
    assert meta.pixel_size_um is None


def test_channels_that_nd2_cannot_describe_are_read_with_a_note(tmp_path: Path, read_tiles: ReadTiles) -> None:
    frames = noise(1, 30, 40, 1)
    pixels, meta = read_tiles(write(tmp_path / "a.nd2", frames, channels=(("DAPI", 1),), probe=False))

    np.testing.assert_array_equal(pixels[0], frames[0, ..., 0])
    assert meta.channel_names == ("Intensity",)
    assert meta.notes[0].startswith(
        "names and colours of channels and the pixel size cannot be read (UnboundLocalError"
    )


def test_floats(tmp_path: Path, read_tiles: ReadTiles) -> None:
    frames = noise(1, 30, 40, 1, dtype="float32") / np.float32(7)
    pixels, meta = read_tiles(write(tmp_path / "a.nd2", frames))

    np.testing.assert_array_equal(pixels[0], frames[0, ..., 0])
    assert meta.channel_names == ("Intensity",)


def test_a_frame_that_was_never_taken_is_no_black_image(tmp_path: Path, read_tiles: ReadTiles) -> None:
    frames = noise(3, 20, 30, 1)
    path = write(tmp_path / "a.nd2", frames, loops(("T", 3)), lost=(2,))

    np.testing.assert_array_equal(read_tiles(path, t=1)[0][0], frames[1, ..., 0])
    with pytest.raises(SourceError, match="no frame 3, as after an experiment that was stopped"):
        read_tiles(path, t=2)


def test_a_frame_unpacks_to_no_more_than_it_should(tmp_path: Path, read_tiles: ReadTiles) -> None:
    frames = noise(1, 20, 30, 1)
    path = write(tmp_path / "a.nd2", frames, compressed=True, excess=2**26)
    assert path.stat().st_size < 2**18

    tracemalloc.start()
    np.testing.assert_array_equal(read_tiles(path)[0][0], frames[0, ..., 0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_a_length_beyond_all_memory(tmp_path: Path, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "a.nd2", noise(1, 20, 30, 1))
    data = bytearray(path.read_bytes())
    chunk = data.index(b"ImageAttributesLV!") - 16
    data[chunk + 8 : chunk + 16] = struct.pack("<Q", 2**62)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"a\.nd2: expected .*a length that takes more memory than there is"):
        read_tiles(path)


def test_metadata_unpack_to_no_more_than_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_tiles: ReadTiles
) -> None:
    attributes = packed("SLxImageAttributes", {})
    path = write(tmp_path / "a.nd2", noise(1, 20, 30, 1))
    bomb = b"L\0" + bytes(10) + zlib.compress(bytes(2**22))
    assembled(path, {b"ImageAttributesLV!": bomb, b"ImageMetadataSeqLV|0!": attributes})
    monkeypatch.setattr("simsearch.io.sources.microscopes.nd2._MOST_METADATA_BYTES", 2**20)
    with pytest.raises(SourceError, match="metadata of more than 1048576 bytes"):
        read_tiles(path)


def test_what_is_cut_off_or_damaged_is_told_in_one_line(tmp_path: Path, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "a.nd2", noise(2, 20, 30, 2), loops(("T", 2)), channels=(("a", 1), ("b", 2)))
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for length in (10, 100, 5000, len(data) // 2, len(data) - 20):
        path.write_bytes(data[:length])
        with pytest.raises(SourceError, match=r"a\.nd2: expected") as error:
            read_tiles(path, t=0)
        assert "\n" not in str(error.value)
    described = [data.index(mark) for mark in (b"ImageAttributesLV!", b"ImageMetadataSeqLV|0!", b"ImageMetadataLV!")]
    for _ in range(100):
        broken = bytearray(data)
        for at in rng.choice(described) + NAME_BYTES + rng.integers(0, 400, 4):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_tiles(path, t=0)
        except (SourceError, ConfigError) as damage:
            assert "\n" not in str(damage)  # noqa: PT017  some damage is to names only


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "a.nd2", noise(1, 20, 30, 1))
    monkeypatch.setitem(sys.modules, "nd2", None)

    with pytest.raises(SourceError, match=r"a\.nd2: expected nd2.*pip install 'simsearch\[formats\]'"):
        read_tiles(path)
