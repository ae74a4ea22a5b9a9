"""Nikon's ND2 through nd2: frames that are mapped, or unpacked one at a time where they are compressed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.pixel_size import believable_pixel_size
from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_NAMES
from simsearch.io.sources.microscopes.container import SeriesFacts, check_piece, library
from simsearch.io.sources.series import SeriesInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

_MOST_METADATA_BYTES = 2**28
_LOOPS = {"TimeLoop": "T", "NETimeLoop": "T", "ZStackLoop": "Z", "XYPosLoop": "P"}


class _BoundedZlib:
    """Stands in for zlib where nd2 unpacks metadata, at any depth and to any size."""

    @staticmethod
    def decompress(packed: bytes) -> bytes:
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(packed, _MOST_METADATA_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError(f"metadata of more than {_MOST_METADATA_BYTES} bytes")
        return unpacked


class Nd2Container:
    """An ND2 file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = library("nd2", path).ND2File(path)
        library("nd2._parse._clx_lite", path).zlib = _BoundedZlib
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        attributes = self._file.attributes
        self._shape = attributes.heightPx, attributes.widthPx or 0
        self._n_samples = self._file.components_per_channel
        self._loops = [(_LOOPS.get(loop.type, loop.type), loop.count) for loop in self._file.experiment]
        known = {axis: count for axis, count in self._loops if count > 1}
        if len(known) < sum(count > 1 for _, count in self._loops) or set(known) - set("TZP"):
            raise SourceError(
                f"{self._path}: expected one loop each over time, z and positions, got "
                f"{', '.join(f'{count} of {axis}' for axis, count in self._loops)}: export it as OME-TIFF"
            )
        self._n_planes, self._n_times = known.get("Z", 1), known.get("T", 1)
        names = next((_position_names(loop) for loop in self._file.experiment if loop.type == "XYPosLoop"), [None])
        self.series = [SeriesInfo(name or f"position {i}", self._shape) for i, name in enumerate(names, start=1)]

    def describe(self, index: int) -> SeriesFacts:
        """Tell what is known of a position."""
        check_piece(self._frame_bytes, self._path)
        channels, unread = self._channels()
        names, colors = self._names_and_colors([each.channel for each in channels])
        size, doubt = None, None
        if channels and all(channels[0].volume.axesCalibrated[:2]):
            x, y, _ = channels[0].volume.axesCalibration
            size, doubt = believable_pixel_size((y, x), "um")
        return SeriesFacts(
            dtype=self._file.dtype,
            channel_names=names,
            channel_colors=colors,
            pixel_size_um=size,
            n_planes=self._n_planes,
            n_times=self._n_times,
            in_one_piece=self._is_compressed,
            notes=(unread, doubt),
        )

    def read(self, index: int, region: Region, z: int, t: int) -> NDArray[np.generic]:
        """Read from the frame of a plane, which has all channels."""
        at = {"P": index, "Z": z, "T": t}
        number = 0
        for axis, count in self._loops:
            number = number * count + (at[axis] if count > 1 else 0)
        pixels = self._frame(number)[region.slices]
        if self._n_samples == 3:  # stored as blue, green, red
            pixels = pixels[..., ::-1]
        return np.ascontiguousarray(np.moveaxis(pixels.reshape(*region.shape, -1), -1, 0))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def _is_compressed(self) -> bool:
        return bool(self._file.attributes.compressionType == "lossless")

    @property
    def _frame_bytes(self) -> int:
        attributes = self._file.attributes
        row = attributes.widthBytes or self._shape[1] * attributes.componentCount * self._file.dtype.itemsize
        return int(row * self._shape[0])

    def _frame(self, number: int) -> NDArray[Any]:
        # nd2 gives zeros for frames that are not there, and unpacks without a limit: its map of the file is used.
        reader, attributes = self._file._rdr, self._file.attributes
        entry = reader.chunkmap.get(b"ImageDataSeq|%d!" % number)
        if entry is None:
            raise ValueError(f"no frame {number + 1}, as after an experiment that was stopped")
        buffer: Any = reader._mmap
        offset = reader._frame_offsets[number]
        if self._is_compressed:
            packed = reader._load_chunk(b"ImageDataSeq|%d!" % number)[8:]
            buffer, offset = zlib.decompressobj().decompress(packed, self._frame_bytes), 0
        n_components, size = attributes.componentCount, self._file.dtype.itemsize
        strides = (self._frame_bytes // self._shape[0], n_components * size, size)
        shape = (*self._shape, n_components)
        frame = np.ndarray(shape, self._file.dtype, buffer, offset, strides)
        return frame.reshape(*self._shape, -1, self._n_samples)

    def _channels(self) -> tuple[list[Any], str | None]:
        try:
            return list(self._file.metadata.channels or []), None
        except Exception as error:  # noqa: BLE001  of probes and filters that we do not need
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return [], f"names and colours of channels and the pixel size cannot be read ({said}): give them"

    def _names_and_colors(self, told: list[Any]) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        n_channels = self._file.attributes.componentCount // self._n_samples
        names = [each.name or "" for each in told] if len(told) == n_channels else [""] * n_channels
        if self._n_samples == 1:
            colors = [_color(each) for each in told] if len(told) == n_channels else [None] * n_channels
            return tuple(names), tuple(colors)
        if self._n_samples != 3:
            raise SourceError(
                f"{self._path}: expected grey or RGB channels, got {self._n_samples} samples a channel: export it as "
                "OME-TIFF"
            )
        if n_channels == 1:
            return RGB_NAMES, (None,) * 3
        samples = [f"{name or f'Channel {i}'} {sample}" for i, name in enumerate(names, 1) for sample in RGB_NAMES]
        return tuple(samples), (None,) * len(samples)


def _position_names(loop: Any) -> list[str | None]:  # noqa: ANN401  nd2's XYPosLoop
    points = list(loop.parameters.points)
    return [points[i].name if i < len(points) else None for i in range(loop.count)]


def _color(channel: Any) -> str | None:  # noqa: ANN401  nd2's ChannelMeta
    color = channel.color
    return f"{color.r:02X}{color.g:02X}{color.b:02X}" if (color.r, color.g, color.b) != (0, 0, 0) else None
