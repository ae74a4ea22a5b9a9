"""LIF files, put together here byte by byte, are read as they were written, and as liffile reads them."""

from __future__ import annotations

import os
import struct
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import liffile
import numpy as np
import pytest

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError, SourceError
from simsearch.io.sources.formats import list_series, open_source
from simsearch.io.sources.protocol import SourceSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.io.sources.conftest import ReadTiles

AXES = {"x": 1, "y": 2, "z": 3, "t": 4, "lambda": 5, "m": 10}


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def image(  # noqa: PLR0913  what Leica's XML says
    name: str,
    pixels: NDArray[Any],
    axes: str,
    *,
    luts: tuple[str, ...] = ("Gray",),
    tags: tuple[int, ...] = (0,),
    dyes: tuple[str, ...] = (),
    pixel_m: float = 5e-7,
    ids: dict[str, int] = AXES,
) -> tuple[str, bytes]:
    """Describe an array whose axes are letters, c for channels."""
    steps = dict(zip(axes, pixels.strides, strict=True))
    channels = "".join(
        f'<ChannelDescription DataType="{int(pixels.dtype.kind == "f")}" ChannelTag="{tag}" '
        f'Resolution="{8 * pixels.itemsize}" NameOfMeasuredQuantity="" Min="0" Max="255" Unit="" LUTName="{lut}" '
        f'IsLUTInverted="0" BytesInc="{i * steps.get("c", 0)}" BitInc="0">'
        + (f"<ChannelProperty><Key>DyeName</Key><Value>{dyes[i]}</Value></ChannelProperty>" if dyes else "")
        + "</ChannelDescription>"
        for i, (tag, lut) in enumerate(zip(tags, luts, strict=True))
    )
    dimensions = "".join(
        f'<DimensionDescription DimID="{ids[axis]}" NumberOfElements="{length}" Origin="0" '
        f'Length="{(length - 1) * pixel_m * (2 if axis == "y" else 1)}" Unit="m" BitInc="0" BytesInc="{steps[axis]}"/>'
        for axis, length in zip(reversed(axes), reversed(pixels.shape), strict=True)
        if axis != "c"
    )
    xml = (
        f'<Element Name="{name}" Visibility="1" UniqueID="{name}"><Data><Image><ImageDescription>'
        f"<Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{pixels.nbytes}" MemoryBlockID="Mem{name}"/></Element>'
    )
    return xml, pixels.tobytes()


def write(path: Path, *images: tuple[str, bytes]) -> Path:
    elements = "".join(xml.replace("<Memory ", "<Memory ") for xml, _ in images)
    header = (
        '<LMSDataContainerHeader Version="2"><Element Name="project" UniqueID="p"><Children>'
        f"{elements}</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    parts = [struct.pack("<IIBI", 0x70, len(header) + 5, 0x2A, len(header) // 2), header]
    for xml, data in images:
        name = "Mem" + xml.split('Name="', 1)[1].split('"', 1)[0]
        label = name.encode("utf-16-le")
        parts += [struct.pack("<IIBQBI", 0x70, len(label) + 14, 0x2A, len(data), 0x2A, len(name)), label, data]
    path.write_bytes(b"".join(parts))
    return path


def as_liffile_reads(path: Path, index: int = 0) -> NDArray[Any]:
    with liffile.LifFile(path) as file:
        return np.asarray(file.images[index].asarray())


def test_channels_planes_and_times(tmp_path: Path, read_tiles: ReadTiles) -> None:
    stack = noise(2, 3, 2, 40, 50, dtype="uint16")
    path = write(
        tmp_path / "a.lif", image("a", stack, "tzcyx", luts=("Green", "#0A0B0C"), tags=(0, 0), dyes=("Alexa 488", ""))
    )
    np.testing.assert_array_equal(as_liffile_reads(path), stack)

    pixels, meta = read_tiles(path, z=2, t=1)
    np.testing.assert_array_equal(pixels, stack[1, 2])
    assert meta.channel_names == ("Alexa 488", "Channel 2")
    assert meta.channel_colors == ("00FF00", "0A0B0C")
    assert meta.pixel_size_um == pytest.approx((1.0, 0.5))
    assert not meta.notes
    np.testing.assert_array_equal(read_tiles(path, z="max", t=0)[0], stack[0].max(axis=0))
    with pytest.raises(ConfigError, match="--z INDEX"):
        read_tiles(path, t=0)


def test_every_plane_of_a_real_file_is_as_liffile_reads_it(shared_data: Path, read_tiles: ReadTiles) -> None:
    path = shared_data / "vendor" / "two_channels_xz.lif"
    with liffile.LifFile(path) as file:
        expected = {each.name: np.asarray(each.asarray()) for each in file.images}
    assert {each.name: each.shape for each in list_series(str(path))} == {
        "xzt": (128, 128), "xzy": (128, 128), "xz": (512, 512)
    }  # fmt: skip

    for t in range(20):
        np.testing.assert_array_equal(read_tiles(path, series="xzt", t=t)[0], expected["xzt"][t])
    for y in range(23):
        np.testing.assert_array_equal(read_tiles(path, series="xzy", z=y)[0], expected["xzy"][y])
    pixels, meta = read_tiles(path, tile=100)
    np.testing.assert_array_equal(pixels, expected["xz"])
    assert meta.channel_colors == ("00FF00", "FF0000")
    assert meta.pixel_size_um == pytest.approx((0.102697, 0.102697), rel=1e-4)
    assert meta.notes[1] == "its rows run along z, as it was scanned"


def test_colours_are_red_green_blue_in_whatever_order_they_lie(tmp_path: Path, read_tiles: ReadTiles) -> None:
    written = noise(40, 50, 3)
    blue_first = image("a", written, "yxc", luts=("Blue", "Green", "Red"), tags=(3, 2, 1))
    pixels, meta = read_tiles(path := write(tmp_path / "a.lif", blue_first))

    np.testing.assert_array_equal(pixels, written[..., ::-1].transpose(2, 0, 1))
    np.testing.assert_array_equal(as_liffile_reads(path), written[..., ::-1])
    assert meta.channel_names == ("Red", "Green", "Blue")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_rows_with_padding(tmp_path: Path, read_tiles: ReadTiles, dtype: str) -> None:
    padded = noise(20, 32, dtype=dtype)
    xml, data = image("a", padded, "yx")
    path = write(tmp_path / "a.lif", (xml.replace('NumberOfElements="32"', 'NumberOfElements="29"'), data))

    pixels, meta = read_tiles(path, tile=7)
    np.testing.assert_array_equal(pixels[0], padded[:, :29])
    assert meta.dtype == dtype


def test_tiles_that_nobody_merged_are_images_of_their_own(tmp_path: Path, read_tiles: ReadTiles) -> None:
    tiles, merged = noise(4, 20, 30), noise(38, 57)
    path = write(tmp_path / "a.lif", image("scan", tiles, "myx"), image("merged", merged, "yx"))

    np.testing.assert_array_equal(read_tiles(path)[0][0], merged)
    pixels, meta = read_tiles(path, series="scan tile 3")
    np.testing.assert_array_equal(pixels[0], tiles[2])
    assert meta.notes == ("is tile 3 of 4 of a scan that is not merged: merge it in LAS X",)


def test_what_has_axes_of_another_kind_is_left_out_with_a_note(tmp_path: Path, read_tiles: ReadTiles) -> None:
    spectrum, plain = image("a", noise(9, 20, 30), "lyx", ids={**AXES, "l": 5}), image("b", noise(20, 30), "yx")
    _, meta = read_tiles(write(tmp_path / "a.lif", spectrum, plain))
    assert meta.notes == ("a is left out: expected x, y, z, t and tiles, got 9 steps along Leica's axis 5",)

    with pytest.raises(SourceError, match=r"b\.lif: expected an image, got none: a is left out: expected x, y"):
        read_tiles(write(tmp_path / "b.lif", spectrum))


@pytest.mark.parametrize(
    ("said", "instead", "message"),
    [
        ('NumberOfElements="3"', 'NumberOfElements="3000"', "expected 1800000 bytes of pixels, got 1800"),
        ('BytesInc="600"', 'BytesInc="0"', "got one whose pixels are all the same"),
    ],
)
def test_more_is_declared_than_is_there(
    tmp_path: Path, read_tiles: ReadTiles, said: str, instead: str, message: str
) -> None:
    xml, data = image("a", noise(3, 20, 30), "zyx")
    assert said in xml
    with pytest.raises(SourceError, match=rf"a\.lif: expected an image, got none: a is left out: .*{message}"):
        read_tiles(write(tmp_path / "a.lif", (xml.replace(said, instead), data)), z="max")


def test_a_region_of_a_huge_image_takes_no_more_memory_than_itself(tmp_path: Path) -> None:
    corner = np.zeros((1, 40_000), np.uint8)
    xml, data = image("a", corner, "yx")
    path = write(tmp_path / "a.lif", (xml.replace('NumberOfElements="1"', 'NumberOfElements="40000"'), data))
    path.write_bytes(path.read_bytes().replace(struct.pack("<Q", 40_000), struct.pack("<Q", 40_000**2)))
    os.truncate(path, path.stat().st_size + 40_000 * 39_999)  # 1.6 GB, of which nothing is on the disk

    tracemalloc.start()
    with open_source(SourceSpec(str(path))) as source:
        assert source.meta.shape == (40_000, 40_000)
        source.read(Region(39_000, 39_500, 39_000, 39_500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_what_is_cut_off_or_damaged_is_told_in_one_line(tmp_path: Path, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "a.lif", image("a", noise(40, 50), "yx"), image("b", noise(20, 30), "yx"))
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for length in (60, 200, len(data) // 2, len(data) - 700, len(data) - 2000):
        path.write_bytes(data[:length])
        with pytest.raises(SourceError, match=r"a\.lif: expected") as error:
            read_tiles(path)
        assert "\n" not in str(error.value)
    for _ in range(100):
        broken = bytearray(data)
        for at in rng.integers(60, 1200, 4):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_tiles(path)
        except (SourceError, ConfigError) as damage:
            assert "\n" not in str(damage)  # noqa: PT017  some damage is to names only


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "a.lif", image("a", noise(40, 50), "yx"))
    monkeypatch.setitem(sys.modules, "liffile", None)

    with pytest.raises(SourceError, match=r"a\.lif: expected liffile.*pip install 'simsearch\[formats\]'"):
        read_tiles(path)
