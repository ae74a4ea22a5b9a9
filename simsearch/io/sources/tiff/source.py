"""TIFF through tifffile: plain, tiled, ImageJ, OME and the microscopes' own kinds; any depth."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.sources.layout import choose_planes, every_plane, leading_axes, named_axes
from simsearch.io.sources.orientation import checked_orientation, stored_region, turned, turned_sides
from simsearch.io.sources.pieces import MOST_BYTES, check_channels
from simsearch.io.sources.protocol import SourceMeta, SourceSpec, source_errors
from simsearch.io.sources.series import choose_series
from simsearch.io.sources.tiff.file import open_tiff
from simsearch.io.sources.tiff.planes import Planes
from simsearch.io.sources.tiff.series import describe_series, find_series
from simsearch.io.sources.tiff.tags import channel_names_and_colors, pixel_size
from simsearch.io.sources.tiff.values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from tifffile import TiffPageSeries

    from simsearch.core.tiles import Region
    from simsearch.io.sources.layout import ChannelPlanes

_ORIENTATION = 274  # tag
_STRIP_SHARE = 4  # strips that are up to a quarter of the image are read by rows, larger ones in one piece


class TiffSource:
    """An image of a TIFF file."""

    def __init__(self, spec: SourceSpec) -> None:
        self._path = spec.path
        with source_errors(spec.path, "a TIFF file"):
            self._tiff, notes = open_tiff(spec.path)
        try:
            with source_errors(spec.path, "an image"):
                self._open(spec, notes)
        except BaseException:
            self._tiff.close()
            raise

    def _open(self, spec: SourceSpec, notes: tuple[str, ...]) -> None:
        found = find_series(self._tiff, spec.path)
        index, left_out = choose_series(describe_series(found), spec.series, spec.path)
        series = found[index]
        lengths, guesses = named_axes(series.axes, series.shape, spec)
        leading = leading_axes(lengths)
        self._shape = lengths["y"], lengths["x"]
        self._orientation, moved = checked_orientation(series.keyframe.tags.valueof(_ORIENTATION))
        self._values = Values(series, lengths.get("s", 1), spec)
        self._planes = Planes(series, spec.path, self._values.fill[: series.keyframe.shaped[-1]])
        self._channels, kept, gaps = self._existing(choose_planes(leading, spec), leading)
        notes += left_out + guesses + self._values.notes + moved + gaps + self._unwritten()
        self.meta = self._describe(series, kept, notes)

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read a region; the maximum of planes is that of their values, and taken one plane at a time."""
        with source_errors(self._path, f"pixels of {region}"):
            stored = stored_region(region, self._shape, self._orientation)
            channels = [
                reduce(np.maximum, (self._read_plane(samples, stored) for samples in planes))
                for planes in self._channels
            ]
            pixels = channels[0] if len(channels) == 1 else np.concatenate(channels)
            return np.ascontiguousarray(turned(pixels, self._orientation))

    def close(self) -> None:
        """Close the file."""
        self._planes.close()
        self._tiff.close()

    def _read_plane(self, samples: tuple[int, ...], region: Region) -> NDArray[np.generic]:
        parts = [self._planes.read(sample, region) for sample in samples]
        return self._values.of(parts[0] if len(parts) == 1 else np.concatenate(parts), self._planes.page_of(samples[0]))

    def _existing(
        self, wanted: ChannelPlanes, leading: Mapping[str, int]
    ) -> tuple[ChannelPlanes, list[int], tuple[str, ...]]:
        def is_there(plane: tuple[int, ...]) -> bool:
            return all(map(self._planes.exists, plane))

        every = every_plane(leading)
        n_missing = sum(not is_there(plane) for plane in every)
        if not n_missing:
            return wanted, list(range(len(wanted))), ()
        channels = [[plane for plane in planes if is_there(plane)] for planes in wanted]
        kept = [i for i, planes in enumerate(channels) if planes]
        if not kept:
            raise SourceError(
                f"{self._path}: expected the planes that were asked for, got a file without them, as without "
                f"{n_missing} of its {len(every)}: choose others with --z and --t, or add the missing files of its set"
            )
        notes = [f"{n_missing} of {len(every)} planes are missing from the file or its set"]
        if len(kept) < len(wanted):
            lost = ", ".join(str(i + 1) for i in range(len(wanted)) if i not in kept)
            notes.append(f"channels without a plane are left out, counted from 1: {lost}")
        return [channels[i] for i in kept], kept, tuple(notes)

    def _unwritten(self) -> tuple[str, ...]:
        n = self._planes.n_unwritten
        return (f"{n} strips or tiles were never written, and become background",) if n else ()

    def _describe(self, series: TiffPageSeries, kept: list[int], notes: tuple[str, ...]) -> SourceMeta:
        n_channels = len(self._channels) * self._values.n_channels
        check_channels(n_channels, self._path)
        is_rgb = self._values.is_rgb and n_channels == 3
        names, colors, doubts = channel_names_and_colors(self._tiff, series, kept, self._values.n_channels)
        size, more_doubts = pixel_size(self._tiff, series)
        shape = turned_sides(self._shape, self._orientation)
        rows, n_bytes = (
            self._planes.rows_in_strip,
            shape[0] * shape[1] * n_channels * np.dtype(self._values.dtype).itemsize,
        )
        in_one_piece = rows > max(16, self._shape[0] // _STRIP_SHARE) and n_bytes <= MOST_BYTES
        return SourceMeta(
            shape=shape,
            dtype=self._values.dtype,
            channel_names=RGB_NAMES if is_rgb else names,
            channel_colors=RGB_COLORS if is_rgb else colors,
            pixel_size_um=None if size is None else turned_sides(size, self._orientation),
            in_one_piece=in_one_piece,
            in_strips=rows > 0,
            notes=notes + doubts + more_doubts,
        )
