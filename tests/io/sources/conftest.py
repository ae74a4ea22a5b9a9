"""What tests of sources share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest

from simsearch.core.tiles import tile_cores
from simsearch.io.sources.formats import open_source
from simsearch.io.sources.protocol import SourceMeta, SourceSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class ReadTiles(Protocol):
    """Reads an image tile by tile; keywords are those of `SourceSpec`."""

    def __call__(self, path: Path, tile: int = 37, **spec: Any) -> tuple[NDArray[Any], SourceMeta]:  # noqa: ANN401
        """Read all of it."""


@pytest.fixture(scope="session")
def read_tiles() -> ReadTiles:
    def read(path: Path, tile: int = 37, **spec: Any) -> tuple[NDArray[Any], SourceMeta]:  # noqa: ANN401
        with open_source(SourceSpec(str(path), **spec)) as source:
            pixels = np.zeros((len(source.meta.channel_names), *source.meta.shape), source.meta.dtype)
            for core in tile_cores(source.meta.shape, tile):
                block = source.read(core)
                assert block.dtype == pixels.dtype
                assert block.flags.c_contiguous
                pixels[(slice(None), *core.slices)] = block
            return pixels, source.meta

    return read
