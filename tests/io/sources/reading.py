"""Reading test images whole and in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.tiles import tile_cores
from simsearch.io.sources.formats import open_source
from simsearch.io.sources.protocol import SourceMeta, SourceSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray


def read(
    path: Path,
    tile: int = 10_000,
    **choices: Any,  # noqa: ANN401  as many types as SourceSpec has fields
) -> tuple[NDArray[Any], SourceMeta]:
    """Read an image tile by tile."""
    with open_source(SourceSpec(str(path), **choices)) as source:
        pixels = np.zeros((len(source.meta.channel_names), *source.meta.shape), source.meta.dtype)
        for core in tile_cores(source.meta.shape, tile):
            block = source.read(core)
            assert block.dtype == pixels.dtype
            pixels[(slice(None), *core.slices)] = block
        return pixels, source.meta


def noise(*shape: int, dtype: DTypeLike = np.uint8, seed: int = 0) -> NDArray[Any]:
    """Make values that no two pixels share for long."""
    return np.random.default_rng(seed).integers(0, 255, shape).astype(dtype)
