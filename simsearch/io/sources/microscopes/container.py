"""Microscopes' own files: what the library of each kind must tell, and the image that comes of it."""

from __future__ import annotations

import importlib
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES, default_colors
from simsearch.io.ome_zarr.image import Selection, check_selection
from simsearch.io.sources.protocol import SourceMeta, SourceSpec, as_stored, source_errors, stored_dtype
from simsearch.io.sources.series import SeriesInfo, choose_series, named_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from simsearch.core.tiles import Region

MOST_BYTES_IN_ONE_PIECE = 2**30
"""Of a tile, strip or plane that a library decodes as a whole."""


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What a file says of one of its images."""

    dtype: DTypeLike
    channel_names: tuple[str, ...]
    """Empty where a channel has no name."""
    channel_colors: tuple[str | None, ...]
    """6 hex digits each, where the file says."""
    pixel_size_um: tuple[float, float] | None
    """Height and width."""
    n_planes: int = 1
    n_times: int = 1
    in_one_piece: bool = False
    """Whether any region costs the decoding of a whole plane."""
    notes: tuple[str | None, ...] = ()


class Container(Protocol):
    """An open file, through the library that knows its kind."""

    @property
    def series(self) -> Sequence[SeriesInfo]:
        """The images in it, at least one."""
        ...

    def describe(self, index: int) -> SeriesFacts:
        """Tell what is known of an image."""
        ...

    def read(self, index: int, region: Region, z: int, t: int) -> NDArray[np.generic]:
        """Read all channels of a region of one plane at one time point, as a (C, h, w) array."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class MicroscopeSource:
    """An image of a microscope's own file."""

    def __init__(self, spec: SourceSpec, kind: str, opened: Callable[[str], Container]) -> None:
        self._path = spec.path
        with _header_errors(spec.path, kind):
            self._file = opened(spec.path)
        try:
            with _header_errors(spec.path, "an image"):
                self._open(spec)
        except BaseException:
            self._file.close()
            raise

    def _open(self, spec: SourceSpec) -> None:
        series = named_apart(self._file.series)
        self._index, left_out = choose_series(series, spec.series, spec.path)
        shape, facts = series[self._index].shape, self._file.describe(self._index)
        if min(shape) < 1:
            raise SourceError(f"{spec.path}: expected pixels, got an image of {shape} px: export it again")
        self._planes = _indices(check_selection("z", spec.z, facts.n_planes, spec.path), facts.n_planes)
        self._times = _indices(check_selection("t", spec.t, facts.n_times, spec.path), facts.n_times)
        dtype, changes = stored_dtype(facts.dtype, spec.path)
        names = _names(facts.channel_names)
        self.meta = SourceMeta(
            shape=shape,
            dtype=dtype,
            channel_names=names,
            channel_colors=_colors(names, facts.channel_colors),
            pixel_size_um=facts.pixel_size_um,
            in_one_piece=facts.in_one_piece,
            notes=(*left_out, *(note for note in facts.notes if note), *changes),
        )

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read a region; the maximum of planes is taken one plane at a time."""
        pixels: NDArray[np.generic] | None = None
        with source_errors(self._path, f"pixels of {region}"):
            for z, t in product(self._planes, self._times):
                plane = self._file.read(self._index, region, z, t)
                pixels = plane if pixels is None else np.maximum(pixels, plane)
            assert pixels is not None
            return as_stored(pixels, self.meta.dtype)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def list_microscope_series(path: str, kind: str, opened: Callable[[str], Container]) -> tuple[SeriesInfo, ...]:
    """List the images of a file.

    Raises
    ------
    SourceError
        If it cannot be read, or what reads it is not installed.
    """
    with _header_errors(path, kind):
        file = opened(path)
        try:
            return named_apart(file.series)
        finally:
            file.close()


def library(module: str, path: str) -> Any:  # noqa: ANN401  a module
    """Import what reads a kind of file.

    Raises
    ------
    SourceError
        If it is not installed.
    """
    _silence(module.partition(".")[0])
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SourceError(
            f"{path}: expected {module.partition('.')[0]}, which reads this kind of file, got an installation without "
            f"it ({error}): pip install 'simsearch[formats]'"
        ) from error


@contextmanager
def _header_errors(path: str, wanted: str) -> Iterator[None]:
    # A length in a damaged header may be any number: no machine has the memory for it.
    with source_errors(path, wanted):
        try:
            yield
        except MemoryError as error:
            raise ValueError("a length that takes more memory than there is") from error


@cache
def _silence(package: str) -> None:
    # What they complain of beside errors are oddities of a file that its user cannot mend, over many lines.
    logging.getLogger(package).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=rf"{package}(\.|$)")


def check_piece(n_bytes: int, path: str) -> None:
    """Refuse what would be decoded in one piece and is too large for that.

    Raises
    ------
    SourceError
        If it is.
    """
    if n_bytes > MOST_BYTES_IN_ONE_PIECE:
        raise SourceError(
            f"{path}: expected at most {MOST_BYTES_IN_ONE_PIECE} bytes in one piece, got {n_bytes}: export it in tiles"
        )


def is_rgb(names: Sequence[str]) -> bool:
    """Return whether channels are the samples of a colour camera."""
    return tuple(names) == RGB_NAMES


def _names(names: Sequence[str]) -> tuple[str, ...]:
    default = "Intensity" if len(names) == 1 else "Channel {}"
    return tuple(" ".join(name.split()) or default.format(i) for i, name in enumerate(names, start=1))


def _colors(names: Sequence[str], colors: Sequence[str | None]) -> tuple[str, ...] | None:
    if is_rgb(names):
        return RGB_COLORS
    if not any(colors):
        return None
    return tuple(color or default for color, default in zip(colors, default_colors(names), strict=True))


def _indices(selection: Selection, length: int) -> range:
    if selection == "max":
        return range(length)
    return range(selection or 0, (selection or 0) + 1)
