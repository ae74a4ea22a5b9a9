"""NumPy arrays on disk."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.sources.layout import choose_planes, default_names
from simsearch.io.sources.pieces import check_channels
from simsearch.io.sources.protocol import SourceMeta, SourceSpec, as_stored, source_errors, stored_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

_MOST_CHANNELS = 64  # a longer axis is planes or time points, which the file cannot tell
_COLORS = (3, 4)


class NpySource:
    """An array of shape (H, W), (C, H, W) or (H, W, C); of (Z, H, W) and others where the user says what it is."""

    def __init__(self, spec: SourceSpec) -> None:
        self._path = spec.path
        with source_errors(spec.path, "an array"):
            array = np.load(spec.path, mmap_mode="r", allow_pickle=False)
        axes, is_rgb = _axes(array.shape, spec)
        lengths = dict(zip(axes, array.shape, strict=True))
        self._array = array.transpose([axes.index(axis) for axis in "tzcyx" if axis in axes])
        dtype, notes = stored_dtype(array.dtype, spec.path)
        leading = {axis: lengths[axis] for axis in "tzc" if axis in axes}
        self._channels = (
            choose_planes(leading, spec)[:3] if is_rgb and spec.plane is None else choose_planes(leading, spec)
        )
        self._leading = tuple(leading.values())
        n_channels, height, width = len(self._channels), lengths["y"], lengths["x"]
        check_channels(n_channels, spec.path)
        is_rgb = is_rgb and n_channels == 3
        if n_channels > 1:
            shape = f"shape {array.shape} is read as {n_channels} channels of {height} x {width} px"
            notes += (shape if spec.stack else f"{shape}: --stack channels|z|t says otherwise",)
        self.meta = SourceMeta(
            shape=(height, width),
            dtype=dtype,
            channel_names=RGB_NAMES if is_rgb else default_names(n_channels),
            channel_colors=RGB_COLORS if is_rgb else None,
            notes=notes,
        )

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read a region of the memory map; the maximum of planes is taken one plane at a time."""
        with source_errors(self._path, "pixels"):
            channels = [
                reduce(np.maximum, (self._plane(plane[0])[region.slices] for plane in planes))
                for planes in self._channels
            ]
            return as_stored(np.stack(channels), self.meta.dtype)

    def close(self) -> None:
        """Drop the memory map."""
        del self._array

    def _plane(self, index: int) -> NDArray[np.generic]:
        return np.asarray(self._array[np.unravel_index(index, self._leading) if self._leading else ()])


def _axes(shape: tuple[int, ...], spec: SourceSpec) -> tuple[str, bool]:
    """Name the axes of an array, and tell whether its channels are colours."""
    stack = {"z": "z", "t": "t"}.get(spec.stack or "", "")
    inner = shape[1:] if stack else shape
    if 0 not in shape and len(inner) in (2, 3) and (len(inner) == 3 or spec.stack != "channels"):
        if len(inner) == 2:
            return f"{stack}yx", False
        if inner[2] in _COLORS and inner[0] > 4 and spec.stack != "channels":
            return f"{stack}yxc", True
        if inner[2] < min(inner[:2]) and inner[2] <= _MOST_CHANNELS:
            return f"{stack}yxc", False
        if inner[0] <= _MOST_CHANNELS or spec.stack == "channels":
            return f"{stack}cyx", False
    raise SourceError(
        f"{spec.path}: expected an array of shape (H, W), (C, H, W) or (H, W, C), got {shape}: say what its first axis "
        "is with --stack z|t|channels, or save one image a file"
    )
