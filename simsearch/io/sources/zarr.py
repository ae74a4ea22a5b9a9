"""OME-Zarr images as sources: local, zipped, or over the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.io.ome_zarr.image import describe_image, read_region
from simsearch.io.sources.protocol import SourceMeta, SourceSpec, as_stored, source_errors, stored_dtype

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simsearch.core.tiles import Region


class ZarrSource:
    """Level 0 of an OME-Zarr image."""

    def __init__(self, spec: SourceSpec) -> None:
        self._path = spec.path
        self._image = image = describe_image(spec.path, z=spec.z, t=spec.t)
        dtype, notes = stored_dtype(image.dtype, spec.path)
        self.meta = SourceMeta(
            shape=image.shape,
            dtype=dtype,
            channel_names=image.channel_names,
            channel_colors=image.channel_colors,
            pixel_size_um=image.pixel_size_um,
            spacing=(1.0, 1.0) if image.pixel_size_um else image.spacing,
            translation=(image.origin[0] / image.spacing[0], image.origin[1] / image.spacing[1]),
            notes=notes + image.notes,
        )

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read a region."""
        with source_errors(self._path, f"pixels of {region}"):
            return as_stored(read_region(self._image, 0, region), self.meta.dtype)

    def close(self) -> None:
        """Leave the arrays to the process, which keeps them open."""
