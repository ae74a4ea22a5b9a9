"""TIFF through tifffile: plain, tiled, ImageJ, OME and the microscopes' own kinds; any depth."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from tifffile import PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.ome_zarr.image import Selection, check_selection
from simsearch.io.sources.protocol import SourceMeta, SourceSpec, as_stored, source_errors, stored_dtype
from simsearch.io.sources.series import choose_series
from simsearch.io.sources.tiff_series import describe_series, find_series
from simsearch.io.sources.tiff_tags import channel_names_and_colors, pixel_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

_PAGES = "IQ"  # tifffile's letters for pages that nobody has named
_PHOTOMETRICS = (
    PHOTOMETRIC.MINISWHITE,
    PHOTOMETRIC.MINISBLACK,
    PHOTOMETRIC.RGB,
    PHOTOMETRIC.PALETTE,
    PHOTOMETRIC.YCBCR,
)
_ALPHAS = (1, 2)  # ExtraSamples: associated and unassociated alpha
_STRIP_SHARE = 4  # strips that are up to a quarter of the image are read by rows, larger ones in one piece


class TiffSource:
    """An image of a TIFF file."""

    def __init__(self, spec: SourceSpec) -> None:
        self._path = spec.path
        with source_errors(spec.path, "a TIFF file"):
            self._tiff = TiffFile(spec.path)
        try:
            with source_errors(spec.path, "an image"):
                self._open(spec)
        except SourceError:
            self._tiff.close()
            raise
        except ValueError:  # a ConfigError: an axis needs a choice
            self._tiff.close()
            raise

    def _open(self, spec: SourceSpec) -> None:
        found = find_series(self._tiff, spec.path)
        index, left_out = choose_series(describe_series(found), spec.series, spec.path)
        series = found[index]
        page = series.keyframe
        _check(series, page, spec.path)
        self._axes, notes = _axes(series, spec.path)
        lengths = dict(zip(self._axes, series.shape, strict=True))
        n_planes, n_times = lengths.get("z", 1), lengths.get("t", 1)
        self._planes = _indices(check_selection("z", spec.z, n_planes, spec.path), n_planes)
        self._times = _indices(check_selection("t", spec.t, n_times, spec.path), n_times)
        self._invert = page.photometric == PHOTOMETRIC.MINISWHITE
        self._palette = _palette(series, page)
        self._n_samples = _n_samples(page, lengths.get("s", 1))
        self._array: Any = _array(series, spec.path)
        self.meta = self._describe(series, lengths, left_out + notes)

    def _describe(self, series: TiffPageSeries, lengths: dict[str, int], notes: tuple[str, ...]) -> SourceMeta:
        page, path = series.keyframe, self._path
        shape = lengths["y"], lengths["x"]
        dtype, changes = stored_dtype(np.uint8 if self._palette is not None else series.dtype, path)
        size, doubts = pixel_size(self._tiff, series)
        if self._n_samples < lengths.get("s", 1):
            changes += ("transparency is left out",)
        rgb = (page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) and self._n_samples == 3) or (
            self._palette is not None and self._palette.shape[0] == 3
        )
        n_channels = lengths.get("c", 1) * (3 if rgb else self._n_samples)
        rgb = rgb and n_channels == 3
        names, colors = channel_names_and_colors(self._tiff, series, n_channels)
        rows = page.chunks[0] if not page.is_tiled else 0
        in_memory = isinstance(self._array, np.memmap)
        return SourceMeta(
            shape=shape,
            dtype=dtype,
            channel_names=RGB_NAMES if rgb else names,
            channel_colors=RGB_COLORS if rgb else colors,
            pixel_size_um=size,
            in_one_piece=not in_memory and rows > max(16, shape[0] // _STRIP_SHARE),
            in_strips=not in_memory and rows > 0,
            notes=notes + changes + doubts,
        )

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read a region; the maximum of planes is taken one plane at a time."""
        with source_errors(self._path, f"pixels of {region}"):
            planes = self._read_planes(region)
            pixels = next(planes)
            for plane in planes:
                pixels = np.maximum(pixels, plane)
        if self._palette is not None:
            return self._palette[:, pixels].reshape(-1, *region.shape)
        stored = as_stored(pixels, self.meta.dtype)
        return np.invert(stored) if self._invert and stored.dtype.kind == "u" else stored

    def close(self) -> None:
        """Close the file."""
        self._array = None
        self._tiff.close()

    def _read_planes(self, region: Region) -> Iterator[NDArray[np.generic]]:
        wanted: dict[str, Any] = {"y": region.slices[0], "x": region.slices[1], "s": slice(0, self._n_samples)}
        for z, t in product(self._planes, self._times):
            picks = {**wanted, "z": z, "t": t}
            block = np.asarray(self._array[tuple(picks.get(axis, slice(None)) for axis in self._axes)])
            left = [axis for axis in self._axes if axis not in "zt"]
            order = [left.index(axis) for axis in "csyx" if axis in left]
            yield block.transpose(order).reshape(-1, *region.shape)


def _check(series: TiffPageSeries, page: TiffPage, path: str) -> None:
    if page.photometric not in _PHOTOMETRICS:
        raise SourceError(
            f"{path}: expected grey, RGB or palette pixels, got {getattr(page.photometric, 'name', page.photometric)}: "
            "save it as RGB"
        )
    for each in series.pages:
        if each is None:
            raise SourceError(f"{path}: expected {len(series.pages)} planes, got a gap: a file of the set is missing")
        _check_segments(each, path)


def _check_segments(page: Any, path: str) -> None:  # noqa: ANN401  TiffPage or TiffFrame
    # Decoders fill what is not there with zeros, some without a word.
    offsets, counts = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
    if not counts.size or not counts.all():
        missing = int((counts == 0).sum()) or "all"
        raise SourceError(f"{path}: expected pixels in every tile, got {missing} empty ones: write the file again")
    size, end = Path(page.parent.filehandle.path).stat().st_size, int((offsets + counts).max())
    if end > size:
        raise SourceError(f"{path}: expected {end} bytes, got {size}: the file is cut off, fetch or export it again")


def _axes(series: TiffPageSeries, path: str) -> tuple[str, tuple[str, ...]]:
    axes = series.axes.lower()
    notes: tuple[str, ...] = ()
    unnamed = [axis for axis in series.axes if axis in _PAGES]
    if len(unnamed) == 1 and "Z" not in series.axes:
        axes = axes.replace(unnamed[0].lower(), "z")
        notes = (f"{series.shape[series.axes.index(unnamed[0])]} pages are taken for z planes",)
    if set(axes) - set("tczyxs") or not axes.replace("s", "").endswith("yx"):
        raise SourceError(
            f"{path}: expected axes out of T, C, Z, Y, X, S, got {series.axes}: save it as OME-TIFF with its axes"
        )
    return axes, notes


def _indices(selection: Selection, length: int) -> range:
    if selection == "max":
        return range(length)
    return range(selection or 0, (selection or 0) + 1)


def _n_samples(page: TiffPage, n_samples: int) -> int:
    has_alpha = n_samples in (2, 4) and any(int(extra) in _ALPHAS for extra in page.extrasamples)
    return n_samples - 1 if has_alpha else n_samples


def _palette(series: TiffPageSeries, page: TiffPage) -> NDArray[np.uint8] | None:
    # In OME and ImageJ files a palette is how a channel is drawn, not what its values mean.
    if page.photometric != PHOTOMETRIC.PALETTE or page.colormap is None or series.kind in ("ome", "imagej"):
        return None
    colors = (np.asarray(page.colormap) >> 8).astype(np.uint8)
    return colors[:1] if (colors == colors[:1]).all() else colors


def _array(series: TiffPageSeries, path: str) -> Any:  # noqa: ANN401  memmap or zarr array
    if series.dataoffset is not None and series.keyframe.is_memmappable:
        dtype = series.keyframe.parent.byteorder + series.dtype.char
        return np.memmap(path, dtype, "r", series.dataoffset, series.shape)
    return zarr.open_array(series.aszarr(level=0), mode="r")
