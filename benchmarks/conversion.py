"""Conversion of a tiled TIFF: simsearch against a plain dask.array.to_zarr of the same levels and codec."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import dask
import dask.array as da
import numpy as np
import skimage.data
import tifffile
import zarr
from zarr.codecs import BloscCodec, BloscShuffle

from benchmarks.memory import peak_mib
from simsearch.runtime import open_cluster
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_TILE = 512


def megabytes_per_second(scratch: Path, side: int = 8192) -> dict[str, float]:
    """Return the level-0 megabytes per second: simsearch on warm processes, plain dask on as many threads."""
    source = write_slide(scratch / f"slide{side}.tif", side)
    megabytes = 3 * side**2 / 1e6
    with open_cluster("local") as client:
        client.run(_warm_up)
        begin = time.perf_counter()
        convert(client, [source], scratch / "ours.ome.zarr", ConvertOptions(overwrite=True))
        ours = time.perf_counter() - begin
    begin = time.perf_counter()
    with dask.config.set(scheduler="threads"):  # tifffile's store does not pickle: processes cannot share it
        _plain_dask(source, scratch / "plain.zarr")
    plain = time.perf_counter() - begin
    return {"simsearch": megabytes / ours, "dask": megabytes / plain}


def peak_memory_mib(scratch: Path, side: int = 20_000) -> dict[str, float]:
    """Return the peak resident memory of the client and of each worker while a slide is converted."""
    source = write_slide(scratch / f"slide{side}.tif", side)
    Path("/proc/self/clear_refs").write_text("5")  # forget what this process has needed before
    with open_cluster("local") as client:
        convert(client, [source], scratch / "large.ome.zarr", ConvertOptions(overwrite=True))
        peaks = dict(client.run(peak_mib))
    shutil.rmtree(scratch / "large.ome.zarr")
    source.unlink()
    return {"client": peak_mib(), **peaks}


def write_slide(path: Path, side: int) -> Path:
    """Write an RGB TIFF of tissue with JPEG-less tiles, without ever holding it whole."""
    if not path.exists():
        tissue = skimage.data.immunohistochemistry()
        rows = -(-side // _TILE)

        def tiles() -> Iterator[NDArray[np.uint8]]:
            for index in range(rows * rows):
                yield np.roll(tissue, 37 * index, axis=(0, 1))

        shape, tile = (side, side, 3), (_TILE, _TILE)
        tifffile.imwrite(path, tiles(), photometric="rgb", compression="zlib", shape=shape, dtype="uint8", tile=tile)
    return path


def _plain_dask(source: Path, destination: Path) -> None:
    shutil.rmtree(destination, ignore_errors=True)
    store = tifffile.imread(source, aszarr=True)
    level = da.from_zarr(zarr.open_array(store, mode="r")).rechunk((2048, 2048, 3))
    index = 0
    while True:
        codec = BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.shuffle)
        da.to_zarr(level, str(destination), component=str(index), compressors=codec)
        if max(level.shape[:2]) <= 512:
            return
        level = da.from_zarr(str(destination), component=str(index))
        level = da.coarsen(np.mean, level, {0: 2, 1: 2}, trim_excess=True).astype("uint8")
        level, index = level.rechunk((2048, 2048, 3)), index + 1


def _warm_up() -> None:
    import simsearch.workflows.convert.pipeline  # noqa: F401
