"""What is damaged or lost is told, and never read as something else; what was never written is empty."""

from __future__ import annotations

import gzip
import pickle
import shutil
from typing import TYPE_CHECKING

import imagecodecs
import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from simsearch.core.tiles import Region
from simsearch.errors import SourceError, StoreError
from simsearch.io.ome_zarr.chunks import check_array, strict
from simsearch.io.ome_zarr.feature_store import create_features, finish_features, read_features, write_features
from simsearch.io.ome_zarr.image import describe_image, read_region
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    WriteImage = Callable[..., ImageTemplate]

_PIXELS = np.random.default_rng(1).poisson(30, (2, 128, 96)).astype(np.uint16)
_CODECS = [
    *((2, codec()) for codec in (numcodecs.Blosc, numcodecs.Zstd, numcodecs.GZip, numcodecs.Zlib, numcodecs.LZ4)),
    *((2, codec()) for codec in (numcodecs.BZ2, numcodecs.LZMA)),
    (2, None),
    *((3, codec()) for codec in (BloscCodec, ZstdCodec, GzipCodec)),
    (3, None),
]


def _chunk(path: Path, at: tuple[int, ...] = (0, 0, 0)) -> Path:
    separator, start = ("/", "c/") if (path / "zarr.json").exists() else (".", "")
    return path / (start + separator.join(map(str, at)))


def _name(value: object) -> str:
    """Name a parameter in the same words in all processes."""
    return str(value) if isinstance(value, int) else type(value).__name__


@pytest.mark.parametrize(("zarr_format", "codec"), _CODECS, ids=_name)
def test_a_chunk_that_is_cut_off_is_refused_by_every_codec(tmp_path: Path, zarr_format: int, codec: object) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=_PIXELS, chunks=(1, 64, 64), compressors=codec, zarr_format=zarr_format)
    array = strict(zarr.open_array(path, mode="r"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[:], _PIXELS)
    whole = _chunk(path).read_bytes()
    for n in (len(whole) // 2, 10):
        _chunk(path).write_bytes(whole[:n])
        with pytest.raises(Exception, match=r".") as caught:
            array[:1, :10, :10]
        assert not isinstance(caught.value, MemoryError)
        np.testing.assert_array_equal(array[1], _PIXELS[1])


_BOMB = bytes(2**23)
_ZSTD_WITHOUT_SIZE = b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(
    ((1 if last else 0) | 1 << 1 | 2**17 << 3).to_bytes(3, "little") + b"\0" for last in [*[0] * 63, 1]
)


@pytest.mark.parametrize(
    ("zarr_format", "codec", "content"),
    [
        (2, numcodecs.Blosc(), numcodecs.Blosc().encode(_BOMB)),
        (2, numcodecs.Zstd(), numcodecs.Zstd().encode(_BOMB)),
        (2, numcodecs.LZ4(), numcodecs.LZ4().encode(_BOMB)),
        (2, numcodecs.GZip(), gzip.compress(_BOMB)),
        (2, numcodecs.BZ2(), numcodecs.BZ2().encode(_BOMB)),
        (3, ZstdCodec(), _ZSTD_WITHOUT_SIZE),
        (3, GzipCodec(), gzip.compress(_BOMB)),
    ],
    ids=_name,
)
def test_a_chunk_that_unpacks_to_more_than_its_pixels_is_refused(
    tmp_path: Path, zarr_format: int, codec: object, content: bytes
) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=_PIXELS, chunks=(1, 64, 64), compressors=codec, zarr_format=zarr_format)
    _chunk(path).write_bytes(content)
    with pytest.raises((StoreError, imagecodecs.ZstdError), match=r"unpacks to more than|Destination buffer"):
        strict(zarr.open_array(path, mode="r"))[:]


def test_a_zstd_chunk_that_does_not_tell_its_length_is_read(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(2**20,), chunks=(2**20,), dtype="u1", compressors=ZstdCodec())
    array[:] = 1
    content = _ZSTD_WITHOUT_SIZE[:6] + b"\x03\x00\x10\x07"  # 2 ** 17 times 7, and the last block
    blocks = [((last | 1 << 1) | 2**17 << 3).to_bytes(3, "little") + b"\x07" for last in (*[0] * 7, 1)]
    (tmp_path / "a.zarr/c/0").write_bytes(content[:6] + b"".join(blocks))
    assert (strict(zarr.open_array(tmp_path / "a.zarr", mode="r"))[:] == 7).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_our_images_have_all_chunks_and_one_that_is_missing_is_lost(
    tmp_path: Path, write_image: WriteImage, version: str
) -> None:
    pixels = np.zeros((1, 200, 200), np.uint16)
    write_image(tmp_path / "a.ome.zarr", pixels, ome_version=version)
    image = describe_image(tmp_path / "a.ome.zarr")
    everything = Region(0, 200, 0, 200)
    np.testing.assert_array_equal(read_region(image, 0, everything), pixels)

    _chunk_of_image(tmp_path / "a.ome.zarr/0").unlink()
    read_region(image, 0, Region(0, 64, 0, 64))
    with pytest.raises(StoreError, match=r"a: expected pixels at level 0, Region\(y0=128.*a file is missing") as caught:
        read_region(image, 0, everything)
    assert "\n" not in str(caught.value)


def _chunk_of_image(level: Path) -> Path:
    return level / "c/0/1/1" if (level / "zarr.json").exists() else level / "0/2/2"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_chunks_that_were_never_written_are_empty_in_images_that_allow_it(tmp_path: Path, version: str) -> None:
    template = ImageTemplate(
        1, (200, 200), "uint8", ("c",), ("FFFFFF",), chunk=64, shard=128, ome_version=version, is_sparse=True
    )
    create_image(tmp_path / "a.ome.zarr", template)
    finish_image(tmp_path / "a.ome.zarr", template)
    image = describe_image(tmp_path / "a.ome.zarr")
    assert not read_region(image, 0, Region(0, 200, 0, 200)).any()

    shutil.rmtree(tmp_path / "a.ome.zarr/0")
    with pytest.raises(StoreError, match="the folder is gone"):
        read_region(image, 0, Region(0, 10, 0, 10))


def test_a_shard_that_is_cut_off_is_named(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "a.ome.zarr", np.ones((1, 200, 200), np.uint8))
    shard = tmp_path / "a.ome.zarr/0/c/0/0/1"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(StoreError, match=r"Region\(y0=0, y1=64, x0=128, x1=192\)"):
        read_region(describe_image(tmp_path / "a.ome.zarr"), 0, Region(0, 200, 0, 200))


def test_a_feature_map_without_one_of_its_tiles_is_damaged(tmp_path: Path) -> None:
    path = str(tmp_path / "features")
    create_features(path, (3, 8, 8), 4, {"of": "nothing"})
    for y in (0, 4):
        for x in (0, 4):
            write_features(path, Region(y, y + 4, x, x + 4), np.zeros((3, 4, 4), np.float16))
    finish_features(path)
    assert not read_features(path, Region(0, 8, 0, 8)).any()
    (tmp_path / "features/c/0/1/1").unlink()
    with pytest.raises(StoreError, match="a file is missing, c/0/1/1: delete the folder"):
        read_features(path, Region(0, 8, 0, 8))


@pytest.mark.parametrize(
    ("shape", "chunks", "shards"),
    [
        ((1, 2**20, 2**20 + 1), (1, 64, 64), None),
        ((1, 1, 2**23), (1, 1, 64), None),
        ((5000, 8, 8), (1, 8, 8), None),
        ((1, 2**18, 2**18), (1, 2**15, 2**15), None),
        ((1, 2**18, 2**18), (1, 16, 16), (1, 2**18, 2**18)),
        ((1, 8), (1, 8), None),
    ],
)
def test_arrays_beyond_all_reason_are_refused(
    shape: tuple[int, ...], chunks: tuple[int, ...], shards: tuple[int, ...] | None
) -> None:
    array = zarr.create_array({}, shape=shape, chunks=chunks, shards=shards, dtype="uint16", compressors=None)
    with pytest.raises(SourceError, match=r"^a\.zarr: expected an array"):
        check_array(array, "cyx", "a.zarr")
