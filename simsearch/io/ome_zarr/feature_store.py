"""Feature maps and prototypes' blocks on disk: what was computed once is not computed again.

A feature map is written beside its place and moved there when it is complete, so that one that is there can be read.
All who compute the same one write the same values, so they may meet.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.errors import ContainsArrayError

from simsearch.errors import StoreError
from simsearch.io.ome_zarr.chunks import WHOLE, WRITE_ALL, writing_all
from simsearch.io.ome_zarr.stores import open_array
from simsearch.io.ome_zarr.writing import store_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

_OPEN_ARRAYS = 64


def has_features(path: str) -> bool:
    """Tell whether a feature map is complete."""
    return Path(path).is_dir()


def create_features(path: str, shape: tuple[int, int, int], tile: int, key: Mapping[str, Any]) -> None:
    """Create an empty feature map, or keep what is there of it; what was begun in other tiles is begun anew.

    Parameters
    ----------
    path : str
        Where it will be when it is complete.
    shape : (int, int, int)
        Length of a vector, and how many positions lie along y and x.
    tile : int
        Positions along a side of a chunk; tiles are written as wholes.
    key : mapping
        What the features are of, for who finds the folder.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    location, chunks = _partial(path), (shape[0], min(tile, shape[1]), min(tile, shape[2]))
    with store_errors(path), suppress(ContainsArrayError, FileExistsError):  # another writer creates it just now
        begun = _chunks(location)
        if begun and begun != chunks:
            shutil.rmtree(location)
        if begun != chunks:
            # Not compressed: half floats of features shrink by a few percent, and reading is what a person waits for.
            zarr.create_array(
                location,
                shape=shape,
                chunks=chunks,
                dtype="float16",
                compressors=None,
                dimension_names=("feature", "y", "x"),
                attributes={**key, **WHOLE},
                config=WRITE_ALL,
            )


def write_features(path: str, region: Region, features: NDArray[np.float16]) -> None:
    """Write a (D, h, w) tile of an incomplete feature map.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    with store_errors(path):
        if has_features(path):
            return
        try:
            array = writing_all(zarr.open_array(_partial(path), mode="r+"))
            array[(slice(None), *region.slices)] = features
        except OSError:
            if not has_features(path):  # else another writer has finished it just now
                raise


def finish_features(path: str) -> None:
    """Say that all tiles are written.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    with store_errors(path):
        try:
            Path(_partial(path)).rename(path)
        except OSError:
            if not has_features(path):  # else another writer has finished it
                raise


def read_features(path: str, region: Region) -> NDArray[np.float16]:
    """Read a (D, h, w) region of a complete feature map.

    Raises
    ------
    StoreError
        If it is not there, or damaged.
    """
    try:
        return np.asarray(_open(path)[(slice(None), *region.slices)])
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{path}: expected a feature map, got {error}: delete the folder, it is computed anew") from (
            error
        )


def write_blocks(path: str, blocks: Sequence[NDArray[np.float32]]) -> None:
    """Keep the blocks of a prototype.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    partial = Path(f"{path}.{os.getpid()}.partial")
    with store_errors(path):
        with partial.open("wb") as file:
            np.savez(file, *blocks)
        partial.replace(path)


def read_blocks(path: str) -> list[NDArray[np.float32]] | None:
    """Read what `write_blocks` kept; None if there is nothing that can be read."""
    try:
        # Opened here: NumPy leaves a file open in which it finds no archive.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as blocks:
            return [blocks[name] for name in blocks.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _partial(path: str) -> str:
    return f"{path}.partial"


def _chunks(path: str) -> tuple[int, ...] | None:
    """Return the shape of the chunks of an array, if there is one: it may be moved away just now."""
    with suppress(FileNotFoundError):
        return zarr.open_array(path, mode="r").chunks
    return None


@lru_cache(maxsize=_OPEN_ARRAYS)
def _open(path: str) -> zarr.Array[Any]:
    return open_array(path)
