"""Which reader an image needs: its content decides, not its suffix."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tifffile import PHOTOMETRIC, TiffFile

from simsearch.errors import ConfigError, SourceError
from simsearch.io.ome_zarr.stores import is_archived, is_remote
from simsearch.io.sources.microscopes import kinds as microscopes
from simsearch.io.sources.npy import NpySource
from simsearch.io.sources.protocol import AnySpec, ImageSource, SourceSpec, StackSpec, source_errors
from simsearch.io.sources.raster import RasterSource
from simsearch.io.sources.series import SeriesInfo, named_apart
from simsearch.io.sources.slide import SlideSource, list_slide_series, vendor
from simsearch.io.sources.stack import StackSource
from simsearch.io.sources.tiff.file import COMPANION
from simsearch.io.sources.tiff.series import list_tiff_series
from simsearch.io.sources.tiff.source import TiffSource
from simsearch.io.sources.zarr import ZarrSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KNOWN = "PNG, JPEG, BMP, TIFF, a whole slide, CZI, LIF, ND2, OIF, OIB, DICOM, OME-Zarr or .npy"
SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".bmp",
        ".tif",
        ".tiff",
        ".qptiff",
        ".btf",
        ".tf2",
        ".tf8",
        COMPANION,
        ".lsm",
        ".stk",
        ".npy",
        ".svs",
        ".ndpi",
        ".mrxs",
        ".scn",
        ".bif",
        ".vms",
        ".vmu",
        ".svslide",
        ".zarr",
        ".ozx",
        ".zarr.zip",
        *microscopes.SUFFIXES,
    ]
)
"""Suffixes by which images are picked out of a folder."""

_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RASTER_HEADS = {b"\x89PNG": (".png",), b"\xff\xd8\xff": (".jpg", ".jpeg"), b"BM": (".bmp",)}
_SLIDE_SUFFIX = ".mrxs"  # its file is a JPEG thumbnail; the slide lies in the folder beside it


_LISTS: dict[Callable[[SourceSpec], ImageSource], Callable[[str], tuple[SeriesInfo, ...]]] = {
    TiffSource: list_tiff_series,
    SlideSource: list_slide_series,
    **microscopes.LISTS,
}
"""Readers of formats whose files may have several images, and what lists these."""


@contextmanager
def open_source(spec: AnySpec) -> Iterator[ImageSource]:
    """Open an image of any known format.

    Yields
    ------
    ImageSource
        Closed at the end.

    Raises
    ------
    SourceError
        If it is not there, empty, of no known format, or damaged.
    ConfigError
        If a z or t axis needs a choice.
    """
    source = _opened(spec)
    try:
        yield source
    finally:
        source.close()


def list_series(path: str) -> tuple[SeriesInfo, ...]:
    """List the images of a file: one, for most.

    Returns
    -------
    tuple of SeriesInfo
        Names differ, and each can be the ``series`` of a `SourceSpec`.

    Raises
    ------
    SourceError
        If the file is not there, empty, of no known format, or damaged.
    """
    reader = _reader(path)
    if reader in _LISTS:
        return _LISTS[reader](path)
    with open_source(SourceSpec(path, z="max", t="max")) as source:
        return named_apart([SeriesInfo("", source.meta.shape)])


def suffix_note(path: str) -> tuple[str, ...]:
    """Note that a file is something else than its suffix says, but readable."""
    if is_remote(path) or Path(path).is_dir() or is_archived(path):
        return ()
    suffix = Path(path).suffix.lower()
    known = {each for suffixes in _RASTER_HEADS.values() for each in suffixes} | {".tif", ".tiff", ".npy"}
    right = _suffixes(_head(path))
    if suffix not in known or not right or suffix in right:
        return ()
    return (f"is read as {right[0].lstrip('.').upper()}, which it is in spite of its suffix",)


def _opened(spec: AnySpec) -> ImageSource:
    if isinstance(spec, StackSpec):
        return StackSource(spec, open_source)
    reader = _reader(spec.path)
    if reader not in _LISTS and spec.series not in (None, "0"):
        raise ConfigError(f"{spec.path}: expected --series 0 of a file with one image, got {spec.series}: leave it out")
    if reader not in (TiffSource, NpySource) and spec.stack is not None:
        raise ConfigError(
            f"{spec.path}: expected a TIFF or .npy file for --stack {spec.stack}, got another: leave it out"
        )
    if reader is RasterSource and spec.plane:
        raise ConfigError(f"{spec.path}: expected plane 0 of a file with one plane, got {spec.plane}: mend the table")
    return reader(spec)


def _reader(path: str) -> Callable[[SourceSpec], ImageSource]:
    if is_remote(path) or is_archived(path):
        return ZarrSource
    if not Path(path).exists():
        raise SourceError(f"{path}: expected an image, got nothing there: check the path")
    return _microscope(path) or (ZarrSource if Path(path).is_dir() else _reader_by_head(path, _head(path)))


def _reader_by_head(path: str, head: bytes) -> Callable[[SourceSpec], ImageSource]:
    if path.lower().endswith(COMPANION) and head.startswith((b"<", b"\xef\xbb\xbf<")):
        return TiffSource
    if head.startswith(_TIFF_HEADS):
        return SlideSource if _is_slide(path) else TiffSource
    if head.startswith(b"\x93NUMPY"):
        return NpySource
    if head.startswith(tuple(_RASTER_HEADS)) and Path(path).suffix.lower() != _SLIDE_SUFFIX:
        return RasterSource
    if head and vendor(path):
        return SlideSource
    got = f"one that starts with {head[:8]!r}" if head else "an empty file"
    raise SourceError(f"{path}: expected {KNOWN}, got {got}: fetch or export it again in one of these formats")


def _microscope(path: str) -> Callable[[SourceSpec], ImageSource] | None:
    with source_errors(path, "a readable file"):
        return microscopes.microscope_reader(path)


def _head(path: str) -> bytes:
    with source_errors(path, "a readable file"), Path(path).open("rb") as file:
        return file.read(16)


def _suffixes(head: bytes) -> tuple[str, ...]:
    if head.startswith(_TIFF_HEADS):
        return ".tif", ".tiff"
    if head.startswith(b"\x93NUMPY"):
        return (".npy",)
    return next((suffixes for start, suffixes in _RASTER_HEADS.items() if head.startswith(start)), ())


def _is_slide(path: str) -> bool:
    # OpenSlide opens deeper and grey slides too, but serves 8-bit RGB of them; of plain TIFFs it takes the first page.
    if vendor(path) in (None, "generic-tiff"):
        return False
    try:
        with TiffFile(path) as tiff:
            page = tiff.pages.first
            rgb = page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) and page.samplesperpixel == 3
            flat = tiff.is_ndpi or tiff.is_scn or not set(tiff.series[0].axes) - set("YXS")
            return bool(rgb and page.dtype == np.uint8 and flat and not tiff.is_ome)
    except Exception:  # noqa: BLE001  what tifffile cannot parse, OpenSlide may
        return True
