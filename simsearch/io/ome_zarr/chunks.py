"""Chunks that are read are whole: neither cut off, nor gone, nor larger than they say.

Zarr takes a missing file for one that was never written, and its codecs believe what a chunk says of its own length.
"""

from __future__ import annotations

import bz2
import lzma
import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import imagecodecs
import numpy as np
import zarr
from numcodecs.abc import Codec as NumcodecsCodec  # type: ignore[import-untyped]  # it has none
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec
from zarr.core.metadata import ArrayV2Metadata
from zarr.storage import LocalStore, StorePath, WrapperStore

from simsearch.errors import SourceError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from zarr.abc.store import ByteRequest, Store
    from zarr.core.array_spec import ArrayConfigLike, ArraySpec
    from zarr.core.buffer import Buffer, BufferPrototype

WHOLE: dict[str, Any] = {"simsearch": {"whole": True}}
"""Attributes of arrays of which every chunk is written, also where it has nothing but zeros: a missing one is lost."""
WRITE_ALL: ArrayConfigLike = {"write_empty_chunks": True}
"""How such arrays are opened for writing; Zarr leaves empty chunks out otherwise."""

_LARGEST_CHUNK_BYTES = 2**30
_MOST_CHUNKS_OF_A_SHARD = 2**22  # their index takes 64 MiB
_LONGEST_SIDE, _MOST_PIXELS = 2**22, 2**40
_MOST_CHANNELS, _MOST_PLANES = 4096, 2**20
_SLACK_BYTES = 2**20
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def check_array(array: zarr.Array[Any], axes: str, path: str) -> None:
    """Check that an array is an image that can be worked through in bounded memory.

    Parameters
    ----------
    array : zarr.Array
        A level of an image.
    axes : str
        A letter for each of its axes.
    path : str
        Of the image, for messages.

    Raises
    ------
    SourceError
        If it has another number of axes, no numbers, no pixels, or pixels or chunks beyond all reason.
    """
    where = f"{path}: expected an array at {array.path.rsplit('/', 1)[-1]!r}"
    if array.ndim != len(axes):
        raise SourceError(f"{where} with the axes {axes!r}, got one of {array.ndim} axes: write the image again")
    if array.dtype.kind not in "biuf":
        raise SourceError(f"{where} of numbers, got {str(array.dtype)[:20]}: convert the values first")
    lengths = dict(zip(axes, array.shape, strict=True))
    limits = {"c": _MOST_CHANNELS, "z": _MOST_PLANES, "t": _MOST_PLANES, "y": _LONGEST_SIDE, "x": _LONGEST_SIDE}
    too_large = any(lengths[axis] > limits[axis] for axis in axes) or lengths["y"] * lengths["x"] > _MOST_PIXELS
    if too_large or 0 in (*array.shape, *array.chunks, *(array.shards or ())):
        raise SourceError(f"{where} of a size that images have, got {_shape(array.shape)}: its metadata are damaged")
    n_bytes = math.prod(array.chunks) * array.dtype.itemsize
    n_chunks = math.prod(array.shards) // math.prod(array.chunks) if array.shards else 1
    if n_bytes > _LARGEST_CHUNK_BYTES or n_chunks > _MOST_CHUNKS_OF_A_SHARD:
        got = f"chunks of {_shape(array.chunks)}" + (f" in shards of {_shape(array.shards)}" if array.shards else "")
        raise SourceError(
            f"{where} whose chunks have at most {_LARGEST_CHUNK_BYTES >> 20} MiB, since each is read as a whole, got "
            f"{got}: write the image again in smaller chunks"
        )


def strict(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return an array for reading that raises where a chunk is damaged or lost, instead of reading something else.

    A chunk that is not there is empty, as Zarr wants it, unless the attributes of the array say that all were written
    (`WHOLE`), or the array itself has gone.
    """
    metadata, at = array.metadata, array.store_path
    most = 2 * math.prod(array.chunks) * array.dtype.itemsize + _SLACK_BYTES
    if isinstance(metadata, ArrayV2Metadata):
        codec = metadata.compressor
        metadata = replace(metadata, compressor=codec and _CheckedNumcodec(codec, most))
    else:
        metadata = replace(metadata, codecs=tuple(_checked(codec, most) for codec in metadata.codecs))
    store = _Chunks(at.store, is_whole=_is_whole(array))
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=StorePath(store, at.path), config=array.config))


def writing_all(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return an array that writes all chunks if its attributes say so (`WHOLE`), the empty ones too."""
    config = WRITE_ALL if _is_whole(array) else array.config
    return zarr.Array(zarr.AsyncArray(metadata=array.metadata, store_path=array.store_path, config=config))


def _is_whole(array: zarr.Array[Any]) -> bool:
    kept = array.attrs.get("simsearch")
    return isinstance(kept, dict) and kept.get("whole") is True


class _Chunks(WrapperStore["Store"]):
    """A store that tells a chunk that was never written from one that is lost."""

    def __init__(self, store: Store, *, is_whole: bool) -> None:
        super().__init__(store)
        self._is_whole = is_whole

    def _with_store(self, store: Store) -> _Chunks:
        return _Chunks(store, is_whole=self._is_whole)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        found = await self._store.get(key, prototype, byte_range)
        if found is None and not key.endswith(_METADATA):
            if self._is_whole:
                raise StoreError(f"a file is missing, {key}")
            if isinstance(self._store, LocalStore) and not self._store.root.is_dir():
                raise StoreError("the folder is gone")
        return found


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "zlib": lambda: zlib.decompressobj(15),
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}


def _unpacked(codec: str, data: bytes | memoryview, most: int) -> bytes | None:
    """Check what a chunk says of its length, or unpack it where it says nothing; None if its codec may unpack it."""
    if codec in _DECODERS:
        return _streamed(_DECODERS[codec], bytes(data), most)
    size = None
    if codec == "blosc":
        if len(data) < 16:
            raise StoreError(f"a chunk is cut off: it has {len(data)} bytes")
        size, _, stored = struct.unpack_from("<III", data, 4)
        if stored > len(data):
            raise StoreError(f"a chunk is cut off: it says that it has {stored} bytes, and has {len(data)}")
    elif codec == "lz4" and len(data) >= 4:
        (size,) = struct.unpack_from("<I", data)
    elif codec == "zstd":
        size = _zstd_size(data)
        if size is None:
            return bytes(imagecodecs.zstd_decode(bytes(data), out=most))
    if size is not None and size > most:
        raise _too_large(most)
    return None


def _zstd_size(data: bytes | memoryview) -> int | None:
    """Read the length of the content from the header of a Zstandard frame (RFC 8878), if it is there."""
    if len(data) < 18:  # the longest header
        return 0
    flags = data[4]
    is_single = flags >> 5 & 1
    at, n_bytes = 6 - is_single + (0, 1, 2, 4)[flags & 3], (is_single, 2, 4, 8)[flags >> 6]
    size = int.from_bytes(data[at : at + n_bytes], "little") + (256 if n_bytes == 2 else 0)
    return size if n_bytes else None


def _streamed(make: Callable[[], _Decoder], data: bytes, most: int) -> bytes:
    unpacked = b""
    while data:
        decoder = make()
        unpacked += decoder.decompress(data, most + 1 - len(unpacked))
        if len(unpacked) > most:
            raise _too_large(most)
        if not decoder.eof:
            raise StoreError("a chunk is cut off: it ends in the middle")
        data = decoder.unused_data
    return unpacked


def _too_large(most: int) -> StoreError:
    return StoreError(f"a chunk unpacks to more than {most} bytes, the room that its pixels need")


class _CheckedNumcodec(NumcodecsCodec):  # type: ignore[misc]  # it has no types
    """A codec of Zarr 2 that looks before it unpacks."""

    codec_id = "simsearch.checked"

    def __init__(self, codec: Any, most: int) -> None:  # noqa: ANN401  it has no types
        self.codec, self.most = codec, most

    def encode(self, buf: Any) -> Any:  # noqa: ANN401  bytes, or what has some
        return self.codec.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:  # noqa: ANN401
        unpacked = _unpacked(self.codec.codec_id, np.ascontiguousarray(buf).view(np.uint8).data, self.most)
        return self.codec.decode(buf, out) if unpacked is None else np.frombuffer(unpacked, np.uint8)

    def get_config(self) -> Any:  # noqa: ANN401
        return self.codec.get_config()


@dataclass(frozen=True)
class _CheckedCodec(BytesBytesCodec):
    """A codec of Zarr 3 that looks before it unpacks."""

    codec: BytesBytesCodec
    most: int

    @property
    def is_fixed_size(self) -> bool:  # type: ignore[override]  # a variable of the class there
        return self.codec.is_fixed_size

    def to_dict(self) -> Any:  # noqa: ANN401  as nested as JSON
        return self.codec.to_dict()

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> _CheckedCodec:
        return replace(self, codec=self.codec.evolve_from_array_spec(array_spec))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        return self.codec.compute_encoded_size(input_byte_length, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        name = str(self.codec.to_dict()["name"]).removeprefix("numcodecs.")
        unpacked = _unpacked(name, chunk_data.as_numpy_array().data, self.most)
        if unpacked is None:
            return await self.codec._decode_single(chunk_data, chunk_spec)
        return chunk_spec.prototype.buffer.from_bytes(unpacked)

    async def _encode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await self.codec._encode_single(chunk_data, chunk_spec)


def _checked(codec: Any, most: int) -> Any:  # noqa: ANN401  of any kind
    if isinstance(codec, ShardingCodec):
        return replace(codec, codecs=tuple(_checked(each, most) for each in codec.codecs))
    return _CheckedCodec(codec, most) if isinstance(codec, BytesBytesCodec) else codec


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side)[:20] for side in shape)
