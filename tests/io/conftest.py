"""Small images in OME-Zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from simsearch.io.ome_zarr.pyramid import halved
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="session")
def write_image() -> Callable[..., ImageTemplate]:
    """Write an image without a cluster; keywords change fields of its template."""

    def write(path: Path, pixels: NDArray[Any], **changes: object) -> ImageTemplate:
        n_channels, height, width = pixels.shape
        fields: dict[str, Any] = {
            "n_channels": n_channels,
            "shape": (height, width),
            "dtype": str(pixels.dtype),
            "channel_names": tuple(f"c{i}" for i in range(n_channels)),
            "channel_colors": ("FFFFFF",) * n_channels,
            "chunk": 64,
            "shard": 128,
        }
        template = ImageTemplate(**{**fields, **changes})
        create_image(path, template)
        for level in range(len(template.level_shapes)):
            pixels = halved(pixels) if level else pixels
            for region in template.regions(level):
                write_region(path, level, region, pixels[(slice(None), *region.slices)])
        finish_image(path, template)
        return template

    return write


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint16]:
    """Two channels with odd sides, larger than a shard, with three levels."""
    return np.random.default_rng(7).integers(0, 4000, (2, 1301, 723), dtype=np.uint16)
