"""Pixels of TIFF files as they are stored: regions of planes, from a memory map or strip by strip and tile by tile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.errors import SourceError
from simsearch.io.sources.pieces import check_piece
from simsearch.io.sources.tiff.chroma import is_packed_chroma, unpacked_chroma
from simsearch.io.sources.tiff.encoded import check_encoded_size
from simsearch.io.sources.tiff.series import pages_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from tifffile import TiffPageSeries

    from simsearch.core.tiles import Region

Page = Any
"""A TiffPage, or a TiffFrame with the tags of its keyframe: they have what is read here, but no common type."""
JPEGS = (6, 7, 34892, 33007)
"""Compressions that are JPEG, whose decoder also converts colours."""
UNCOMPRESSED = 1
# A byte of these unpacks to no more; of all others to no more than some thousands.
_MOST_UNPACKED = {UNCOMPRESSED: 1, 5: 2731, 8: 1033, 32946: 1033, 32773: 64}
_MOST_UNPACKED |= dict.fromkeys((2, 3, 4), 2**30)  # a white row of a fax is one bit
_MOST_OTHERS = 50_000
_SMALL = 2**20  # bytes that are decoded without asking: decoders tell soon that they lack some


class Planes:
    """Planes of an image: all that its leading axes count, in their order.

    Parameters
    ----------
    series : TiffPageSeries
        The image.
    path : str
        Of its file, for messages.
    fill : sequence of float
        What strips and tiles that were never written are taken for: a value a sample.

    Raises
    ------
    SourceError
        If the file is cut off, or a strip or tile is too large to be decoded.
    """

    def __init__(self, series: TiffPageSeries, path: str, fill: Sequence[float]) -> None:
        self._pages: list[Page] = pages_of(series)
        self._path = path
        self._fill = np.array(fill, dtype=series.keyframe.dtype)
        separate, depth, *_ = series.keyframe.shaped
        self._per_page = separate * depth
        self.n_unwritten = sum(_checked(page, path) for page in self._pages if page is not None)
        self._checked_alike(series.keyframe)
        # Some write one page for a whole stack, whose planes lie behind each other.
        n_planes = math.prod(series.shape) // math.prod(series.keyframe.shape) * self._per_page
        self._whole: NDArray[np.generic] | None = None
        if len(self._pages) == 1 < n_planes // self._per_page:
            if series.dataoffset is None:
                raise SourceError(f"{path}: expected {n_planes} planes, got one page: export it again")
            self._whole = _mapped(series.keyframe, path, series.dataoffset, n_planes)

    @property
    def rows_in_strip(self) -> int:
        """Rows of the whole width that any region costs; 0 for tiles and for what is not compressed."""
        decoded = [page.keyframe for page in self._pages if page is not None and not _is_final(page)]
        return max((_side(page)[0] for page in decoded if not page.is_tiled), default=0)

    def page_of(self, plane: int) -> int:
        """Tell which page a plane lies in, counted from 0."""
        return 0 if self._whole is not None else plane // self._per_page

    def exists(self, plane: int) -> bool:
        """Tell whether a plane is in the file."""
        return self._whole is not None or self._pages[plane // self._per_page] is not None

    def read(self, plane: int, region: Region) -> NDArray[np.generic]:
        """Read a region of a plane that exists, as a (samples, h, w) array."""
        if self._whole is not None:
            return np.asarray(self._whole[plane][region.slices]).transpose(2, 0, 1)
        index, inner = divmod(plane, self._per_page)
        page = self._pages[index]
        if _is_final(page):
            mapped = _mapped(page.keyframe, page.parent.filehandle.path, page.dataoffsets[0], self._per_page)
            return np.asarray(mapped[inner][region.slices]).transpose(2, 0, 1)
        return _read_segments(page, inner, region, self._fill, self._path)

    def close(self) -> None:
        """Close the files of a set."""
        self._whole = None
        for file in {page.parent for page in self._pages if page is not None}:
            file.filehandle.close()

    def _checked_alike(self, first: Page) -> None:
        for page in {page.keyframe for page in self._pages if page is not None}:
            if (page.shaped, page.dtype) != (first.shaped, first.dtype):
                raise SourceError(
                    f"{self._path}: expected planes of one size and depth, got {first.shape} {first.dtype} and "
                    f"{page.shape} {page.dtype} in {page.parent.filename}: export them alike"
                )
            n_bytes = math.prod(_side(page)) * _depth(page) * page.shaped[-1] * page.dtype.itemsize
            if not page.is_final:
                check_piece(n_bytes, "a tile" if page.is_tiled else "a strip", self._path)
                _check_ratio(page, n_bytes, self._path)


def _read_segments(
    page: Page,
    inner: int,
    region: Region,
    fill: NDArray[np.generic],
    path: str,
) -> NDArray[np.generic]:
    keyframe: Page = page.keyframe
    _, n_depths, height, width, n_samples = keyframe.shaped
    side, depth = _side(keyframe), _depth(keyframe)
    grid = math.ceil(height / side[0]), math.ceil(width / side[1])
    sample, z = divmod(inner, n_depths)
    first = (sample * math.ceil(n_depths / depth) + z // depth) * grid[0] * grid[1]
    pixels = np.empty((*region.shape, n_samples), keyframe.dtype)
    for row, column in _cells(region, side):
        index = first + row * grid[1] + column
        data = _stored_bytes(page, index)
        y0, x0 = max(region.y0, row * side[0]), max(region.x0, column * side[1])
        y1, x1 = min(region.y1, (row + 1) * side[0]), min(region.x1, (column + 1) * side[1])
        target = pixels[y0 - region.y0 : y1 - region.y0, x0 - region.x0 : x1 - region.x0]
        if data is None:
            target[...] = fill
        else:
            segment = _decoded(page, data, index, path)[z % depth]
            target[...] = segment[
                y0 - row * side[0] : y1 - row * side[0], x0 - column * side[1] : x1 - column * side[1]
            ]
    return pixels.transpose(2, 0, 1)


def _decoded(page: Page, data: bytes, index: int, path: str) -> NDArray[np.generic]:
    keyframe: Page = page.keyframe
    if is_packed_chroma(keyframe):
        return unpacked_chroma(keyframe, data, index, _side(keyframe))
    options = (
        {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader} if keyframe.compression in JPEGS else {}
    )
    check_encoded_size(data, path)
    return np.asarray(keyframe.decode(data, index, **options)[0])


def _cells(region: Region, side: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for row in range(region.y0 // side[0], -(-region.y1 // side[0])):
        for column in range(region.x0 // side[1], -(-region.x1 // side[1])):
            yield row, column


def _stored_bytes(page: Page, index: int) -> bytes | None:
    offset, count = page.dataoffsets[index], page.databytecounts[index]
    if not offset or not count:
        return None
    file = page.parent.filehandle
    if file.closed:  # tifffile closes the other files of a set
        file.open()
    file.seek(offset)
    data: bytes = file.read(count)
    return data


def _mapped(page: Page, path: str, offset: int, n_planes: int) -> NDArray[np.generic]:
    *_, height, width, n_samples = page.shaped
    return np.memmap(path, page.parent.byteorder + page.dtype.char, "r", offset, (n_planes, height, width, n_samples))


def _side(page: Page) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _depth(page: Page) -> int:
    return page.tiledepth if page.is_tiled else 1


def _is_final(page: Page) -> bool:
    keyframe: Page = page.keyframe
    if not keyframe.is_final or keyframe.is_tiled:
        return bool(keyframe.is_final and page is keyframe)
    offsets, counts = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
    return bool((offsets > 0).all() and (offsets[:-1] + counts[:-1] == offsets[1:]).all())


def _checked(page: Page, path: str) -> int:
    """Check what a page says of its bytes; returns how many strips or tiles it does not have."""
    # Decoders fill what is not there with zeros, some without a word.
    wanted = math.prod(page.keyframe.chunked)
    offsets, counts = np.asarray(page.dataoffsets)[:wanted], np.asarray(page.databytecounts)[:wanted]
    if len(offsets) < wanted or len(counts) < wanted:
        got = min(len(offsets), len(counts))
        raise SourceError(f"{path}: expected {wanted} strips or tiles, got {got}: write the file again")
    stored = (offsets > 0) & (counts > 0)
    end = int((offsets + counts)[stored].max(initial=0))
    if _is_final(page):  # read as it lies there, whatever its counts say
        end = max(end, int(offsets[0]) + page.keyframe.nbytes)
    size = page.parent.filehandle.size
    if end > size:
        raise SourceError(f"{path}: expected {end} bytes, got {size}: the file is cut off, fetch or export it again")
    return int(wanted - stored.sum())


def _check_ratio(page: Page, n_bytes: int, path: str) -> None:
    # The first strip and every tile are whole, so that the longest must be able to hold as much.
    if n_bytes < _SMALL:
        return
    bits = page.bitspersample if isinstance(page.bitspersample, int) else 1
    most = _MOST_UNPACKED.get(page.compression, _MOST_OTHERS) * 8 * page.dtype.itemsize / bits
    longest = max(page.databytecounts, default=0)
    if min(page.databytecounts, default=0) > 0 and longest * most < n_bytes:
        raise SourceError(
            f"{path}: expected {n_bytes} bytes of pixels in a strip or tile, got {longest} bytes that cannot hold so "
            "many: the file is damaged, fetch or export it again"
        )
