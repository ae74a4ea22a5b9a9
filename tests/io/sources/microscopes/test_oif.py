"""OIF and OIB files, put together here, are read as they were written, and as oiffile reads them."""

from __future__ import annotations

import struct
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import oiffile
import pytest
import tifffile

from simsearch.errors import ConfigError, SourceError
from simsearch.io.sources.formats import list_series
from simsearch.io.sources.microscopes import container as microscope

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.io.sources.conftest import ReadTiles

SECTOR = 512
END, FREE, FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 4096, shape).astype(dtype)


def settings(sections: dict[str, dict[str, object]]) -> bytes:
    lines = [line for name, keys in sections.items() for line in (f"[{name}]", *(f"{k}={v}" for k, v in keys.items()))]
    return "\r\n".join([*lines, ""]).encode("utf-16")


def members(
    stack: NDArray[Any], axes: str, *, names: tuple[str, ...] = (), width: object = 0.207, unit: str = "um"
) -> dict[str, bytes]:
    """Make the files of an acquisition; axes are the letters of its planes' names."""
    dyes = enumerate(names, start=1)
    main: dict[str, dict[str, object]] = {
        "ProfileSaveInfo": {"Name": '"FLUOVIEW"', "Version": '"2.0"'},
        "Reference Image Parameter": {
            "WidthConvertValue": width, "HeightConvertValue": 0.5, "WidthUnit": f'"{unit}"', "HeightUnit": f'"{unit}"',
        },
        **{f"Channel {i} Parameters": {"CH Name": f'"CHS{i}"', "DyeName": f'"{dye}"'} for i, dye in dyes},
    }  # fmt: skip
    files = {"a.oif": settings(main)}
    for at in np.ndindex(stack.shape[:-2]):
        name = "".join(f"{axis}{i + 1:03}" for axis, i in zip(axes, at, strict=True))
        files[f"s_{name}.tif"] = plane(stack[at])
    return files


def plane(pixels: NDArray[Any]) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, pixels, rowsperstrip=8, compression="lzw", metadata=None)
    return file.getvalue()


def write_oif(folder: Path, files: dict[str, bytes]) -> Path:
    (folder / "a.oif.files").mkdir()
    for name, data in files.items():
        (folder / (name if name == "a.oif" else f"a.oif.files/{name}")).write_bytes(data)
    return folder / "a.oif"


def write_oib(folder: Path, files: dict[str, bytes]) -> Path:
    """Write a compound file of version 3 whose streams are too long for the small sectors."""
    info: dict[str, object] = {"Version": "2.0.0.0", "Compression": "None", "Storage00001": "a.oif.files"}
    streams: dict[tuple[str, ...], bytes] = {}
    for i, (name, data) in enumerate(files.items()):
        stream = f"Stream{i:05}"
        if name == "a.oif":
            info |= {"MainFileName": stream, stream: name}
            streams[(stream,)] = data
        else:
            info[stream] = f"Storage00001/{name}"
            streams[("Storage00001", stream)] = data
    streams[("OibInfo.txt",)] = settings({"OibSaveInfo": info})
    path = folder / "a.oib"
    path.write_bytes(compound(streams))
    return path


def compound(streams: dict[tuple[str, ...], bytes]) -> bytes:
    streams = {name: data + b"\r\0\n\0" * ((4096 - len(data)) // 4 + 1) for name, data in streams.items()}
    chains: list[int] = []
    starts = {}
    body = b""
    for name, data in streams.items():
        n = -(-len(data) // SECTOR)
        starts[name] = len(chains)
        chains += [*range(len(chains) + 1, len(chains) + n), END]
        body += data.ljust(n * SECTOR, b"\0")
    at_root = [name for name in streams if len(name) == 1]
    stored = [name for name in streams if len(name) == 2]
    # Entries: the root, its streams, the storage, its streams; brothers are a list to the right.
    n_root = len(at_root)
    entries = [entry("Root Entry", 5, child=1 if at_root else n_root + 1)]
    for i, name in enumerate(at_root):
        entries.append(entry(name[0], 2, right=i + 2, start=starts[name], size=len(streams[name])))
    entries.append(entry("Storage00001", 1, child=n_root + 2 if stored else FREE))
    for i, name in enumerate(stored):
        right = n_root + 3 + i if i + 1 < len(stored) else FREE
        entries.append(entry(name[1], 2, right=right, start=starts[name], size=len(streams[name])))
    directory = b"".join(entries)
    directory += entry("", 0) * (-len(entries) % 4)
    first_directory, n = len(chains), len(directory) // SECTOR
    chains += [*range(first_directory + 1, first_directory + n), END]
    n_fat = 1
    while 128 * n_fat < len(chains) + n_fat:
        n_fat += 1
    first_fat = len(chains)
    chains += [FAT] * n_fat
    table = np.full(128 * n_fat, FREE, "<u4")
    table[: len(chains)] = chains
    difat = [*range(first_fat, first_fat + n_fat), *[FREE] * (109 - n_fat)]
    numbers = (0, n_fat, first_directory, 0, 4096, END, 0, END, 0, *difat)
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    return head + struct.pack(f"<{len(numbers)}I", *numbers) + body + directory + table.tobytes()


def entry(name: str, kind: int, *, right: int = FREE, child: int = FREE, start: int = 0, size: int = 0) -> bytes:
    label = (name + "\0").encode("utf-16-le") if name else b""
    start = END if kind == 5 else start
    brothers = struct.pack("<III", FREE, right, child)
    return label.ljust(64, b"\0") + struct.pack("<HBB", len(label), kind, 1) + brothers + bytes(36) + struct.pack(
        "<IQ", start, size
    )  # fmt: skip


WRITERS = {"oif": write_oif, "oib": write_oib}


@pytest.mark.parametrize("kind", WRITERS)
def test_channels_planes_and_times(tmp_path: Path, read_tiles: ReadTiles, kind: str) -> None:
    stack = noise(2, 3, 2, 40, 50)
    path = WRITERS[kind](tmp_path, members(stack, "CZT", names=("DAPI", "None")))
    np.testing.assert_array_equal(oiffile.imread(path), stack)

    pixels, meta = read_tiles(path, z=1, t=1)
    np.testing.assert_array_equal(pixels, stack[:, 1, 1])
    assert meta.channel_names == ("DAPI", "CHS2")
    assert meta.pixel_size_um == pytest.approx((0.5, 0.207))
    assert not meta.notes
    np.testing.assert_array_equal(read_tiles(path, z="max", t=0)[0], stack[:, :, 0].max(axis=1))
    with pytest.raises(ConfigError, match="--z INDEX"):
        read_tiles(path, t=0)


def test_a_decimal_comma(tmp_path: Path, read_tiles: ReadTiles) -> None:
    _, meta = read_tiles(write_oif(tmp_path, members(noise(1, 9, 9), "C", width="0,207.0")))
    assert meta.pixel_size_um == pytest.approx((0.5, 0.207))


def test_the_rows_of_a_line_scan_are_no_length(tmp_path: Path, read_tiles: ReadTiles) -> None:
    own = {
        "Image Parameters": {
            "WidthConvertValue": 0.2,
            "HeightConvertValue": 3,
            "WidthUnit": '"um"',
            "HeightUnit": '"ms"',
        }
    }
    files = members(noise(1, 9, 9), "C") | {"s_C001.pty": settings(own)}
    _, meta = read_tiles(write_oif(tmp_path, files))

    assert meta.pixel_size_um is None
    assert meta.notes[0].startswith("a pixel size of 3 x 0.2 ms um ")


def test_bands_of_a_spectrum_are_channels(tmp_path: Path, read_tiles: ReadTiles) -> None:
    stack = noise(2, 3, 20, 30)
    pixels, meta = read_tiles(write_oif(tmp_path, members(stack, "CL")))

    np.testing.assert_array_equal(pixels, stack.reshape(6, 20, 30))
    assert meta.channel_names[:2] == ("Channel 1 band 1", "Channel 1 band 2")


def test_the_picture_of_where_a_line_was_scanned_is_no_acquisition(tmp_path: Path, read_tiles: ReadTiles) -> None:
    line, around = noise(1, 20, 30), noise(90, 90, seed=1)
    path = write_oif(tmp_path, members(line, "C") | {"s_C001-R001.tif": plane(around), "s_Thumb.tif": plane(around)})

    assert [(each.name, each.is_extra) for each in list_series(str(path))] == [
        ("acquisition", False), ("reference R001", True)
    ]  # fmt: skip
    np.testing.assert_array_equal(read_tiles(path)[0], line)
    np.testing.assert_array_equal(read_tiles(path, series="reference R001")[0][0], around)


def test_planes_that_are_missing_or_unlike_the_others(tmp_path: Path, read_tiles: ReadTiles) -> None:
    files = members(noise(2, 3, 20, 30), "CZ")
    path = write_oif(tmp_path, files)
    (tmp_path / "a.oif.files/s_C002Z003.tif").write_bytes(plane(noise(20, 31)))
    read_tiles(path, z=0)
    with pytest.raises(SourceError, match=r"\(20, 31\) px uint16 in s_C002Z003.tif, and \(20, 30\) px"):
        read_tiles(path, z=2)
    (tmp_path / "a.oif.files/s_C002Z003.tif").unlink()
    with pytest.raises(SourceError, match="expected a plane for every step, got 1 less"):
        read_tiles(path, z=0)
    for each in (tmp_path / "a.oif.files").iterdir():
        each.unlink()
    with pytest.raises(SourceError, match=r"expected planes such as s_C001\.tif, got none"):
        read_tiles(path)
    (tmp_path / "a.oif.files").rmdir()
    with pytest.raises(SourceError, match=r"expected its planes in a\.oif\.files, got no such folder"):
        read_tiles(path)


def test_a_strip_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_tiles: ReadTiles
) -> None:
    path = write_oif(tmp_path, members(noise(1, 20, 30), "C"))
    monkeypatch.setattr(microscope, "MOST_BYTES_IN_ONE_PIECE", 200)
    with pytest.raises(SourceError, match="expected at most 200 bytes in one piece"):
        read_tiles(path)


def test_a_compound_file_of_another_kind(tmp_path: Path, read_tiles: ReadTiles) -> None:
    (tmp_path / "a.doc").write_bytes(compound({("WordDocument",): b"Dear"}))
    with pytest.raises(SourceError, match=r"a\.doc: expected an OIB of Olympus, got another kind of compound file"):
        read_tiles(tmp_path / "a.doc")


def test_what_is_cut_off_or_damaged_is_told_in_one_line(tmp_path: Path, read_tiles: ReadTiles) -> None:
    path = write_oib(tmp_path, members(noise(2, 20, 30), "C"))
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for length in (20, 600, len(data) // 2, len(data) - 600, len(data) - 1100):
        path.write_bytes(data[:length])
        with pytest.raises(SourceError, match=r"a\.oib: expected") as error:
            read_tiles(path)
        assert "\n" not in str(error.value)
    for n in range(150):  # the table of sectors and the directory lie at the end: chains close on themselves
        broken = bytearray(data)
        for at in rng.integers(len(data) - 2000, len(data), 4) if n % 2 else rng.integers(8, len(data), 20):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_tiles(path)
        except SourceError as damage:
            assert "\n" not in str(damage)  # noqa: PT017  some damage is to pixels only


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_tiles: ReadTiles) -> None:
    path = write_oif(tmp_path, members(noise(1, 20, 30), "C"))
    monkeypatch.setitem(sys.modules, "oiffile", None)
    with pytest.raises(SourceError, match=r"a\.oif: expected oiffile.*pip install 'simsearch\[formats\]'"):
        read_tiles(path)
