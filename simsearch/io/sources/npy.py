"""NumPy arrays on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.sources.protocol import SourceMeta, SourceSpec, as_stored, source_errors, stored_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

_MOST_CHANNELS = 64  # a longer first axis is planes or time points, which the file cannot tell


class NpySource:
    """An array of shape (H, W), (C, H, W), (H, W, 3) or (H, W, 4)."""

    def __init__(self, spec: SourceSpec) -> None:
        self._path = spec.path
        with source_errors(spec.path, "an array"):
            array = np.load(spec.path, mmap_mode="r", allow_pickle=False)
        self._array, rgb = _channels_first(array, spec.path)
        dtype, notes = stored_dtype(array.dtype, spec.path)
        n_channels, height, width = self._array.shape
        if n_channels > 1:
            notes += (f"shape {array.shape} is read as {n_channels} channels of {height} x {width} px",)
        self.meta = SourceMeta(
            shape=(height, width),
            dtype=dtype,
            channel_names=RGB_NAMES if rgb else tuple(f"Channel {i + 1}" for i in range(n_channels)),
            channel_colors=RGB_COLORS if rgb else None,
            notes=notes,
        )

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read a region of the memory map."""
        with source_errors(self._path, "pixels"):
            return as_stored(self._array[(slice(None), *region.slices)], self.meta.dtype)

    def close(self) -> None:
        """Drop the memory map."""
        del self._array


def _channels_first(array: NDArray[np.generic], path: str) -> tuple[NDArray[np.generic], bool]:
    if array.ndim == 2 and array.size:
        return array[np.newaxis], False
    if array.ndim == 3 and array.size:
        if array.shape[-1] in (3, 4) and array.shape[0] > 4:
            return array[..., :3].transpose(2, 0, 1), True
        if array.shape[0] <= _MOST_CHANNELS:
            return array, False
    raise SourceError(
        f"{path}: expected an array of shape (H, W), (C, H, W) or (H, W, 3), got {array.shape}: save one image a file"
    )
