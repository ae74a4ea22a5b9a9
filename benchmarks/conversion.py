"""Conversion of a tiled TIFF: simsearch against plain Dask, with the same levels and codec."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dask
import dask.array as da
import numpy as np
import skimage.data
import tifffile
import zarr
from zarr.codecs import BloscCodec, BloscShuffle

from simsearch.runtime import open_cluster
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

_TILE = 512
_CODEC = BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.shuffle)
WAYS = "simsearch", "dask, the same arrays", "dask, as it comes"


class Cost(NamedTuple):
    """What a conversion takes, of all processes."""

    seconds: float
    cpu_seconds: float


def costs(scratch: Path, side: int = 8192, repeats: int = 3) -> list[dict[str, Cost]]:
    """Convert a slide in each way in turn: simsearch on warm processes, plain dask on as many threads.

    Returns
    -------
    list of dict
        For each repeat, by `WAYS`. The second writes what simsearch writes, pixel by pixel, in shards of the same
        chunks; the third large chunks in the order of the file.
    """
    source = write_slide(scratch / f"slide{side}.tif", side)
    ours, same, plain = (scratch / name for name in ("ours.ome.zarr", "same.zarr", "plain.zarr"))
    found = []
    with open_cluster("local") as client:
        client.run(_warm_up)

        def cpu_seconds() -> float:
            return float(time.process_time() + sum(client.run(time.process_time).values()))

        def timed(convert_it: Callable[[], object]) -> Cost:
            begin, cpu = time.perf_counter(), cpu_seconds()
            convert_it()
            return Cost(time.perf_counter() - begin, cpu_seconds() - cpu)

        # tifffile's store does not pickle: processes cannot share it
        with dask.config.set(scheduler="threads"):
            for _ in range(repeats):
                first = timed(lambda: convert(client, [source], ours, ConvertOptions(overwrite=True)))
                second, third = timed(lambda: _same_arrays(source, same)), timed(lambda: _plain_dask(source, plain))
                found.append(dict(zip(WAYS, (first, second, third), strict=True)))
    _check_same(ours, same)
    return found


def print_peaks(scratch: Path, side: int = 20_000) -> None:
    """Print the peak resident memory of the client and of each worker while a slide is converted."""
    # In a process of its own: workers import what the script that starts them does.
    script = "import sys; from benchmarks.conversion import print_peaks_here; print_peaks_here(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", script, str(scratch), str(side)], check=True, cwd=Path(__file__).parents[1])


def print_peaks_here(scratch: str, side: str) -> None:
    """Do so in this process."""
    source, made = write_slide(Path(scratch) / f"slide{side}.tif", int(side)), Path(scratch) / "large.ome.zarr"
    Path("/proc/self/clear_refs").write_text("5")  # forget what this process has needed before
    with open_cluster("local") as client:
        convert(client, [source], made, ConvertOptions(overwrite=True))
        peaks = {worker: _peak_mib(pid) for worker, pid in client.run(os.getpid).items()}
    for process, peak in {"client": _peak_mib(os.getpid()), **peaks}.items():
        print(f"| {process} | {peak:.0f} |", flush=True)
    shutil.rmtree(made)
    source.unlink()


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


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
    """Write levels as most would: large chunks with the channels last, means cut off."""
    shutil.rmtree(destination, ignore_errors=True)
    store = tifffile.imread(source, aszarr=True)
    level = da.from_zarr(zarr.open_array(store, mode="r")).rechunk((2048, 2048, 3))
    index = 0
    while True:
        da.to_zarr(level, str(destination), component=str(index), compressors=_CODEC)
        if max(level.shape[:2]) <= 512:
            return
        level = da.from_zarr(str(destination), component=str(index))
        level = da.coarsen(np.mean, level, {0: 2, 1: 2}, trim_excess=True).astype("uint8")
        level, index = level.rechunk((2048, 2048, 3)), index + 1


def _same_arrays(source: Path, destination: Path) -> None:
    """Write the levels, chunks and shards that simsearch writes, with Dask alone."""
    shutil.rmtree(destination, ignore_errors=True)
    group = zarr.open_group(destination, mode="w")
    file = zarr.open_array(tifffile.imread(source, aszarr=True), mode="r")
    level = da.from_zarr(file).transpose(2, 0, 1).rechunk((3, 2048, 2048))
    index = 0
    while True:
        sides = [min(2048, -(-side // 256) * 256) for side in level.shape[1:]]
        array = group.create_array(
            str(index), shape=level.shape, dtype="uint8", chunks=(3, 256, 256), shards=(3, *sides), compressors=_CODEC
        )
        da.store([level], [array], lock=False)  # type: ignore[list-item]  # it takes what Zarr has
        if max(level.shape[1:]) <= 512:
            return
        level = da.coarsen(np.mean, da.from_zarr(array), {1: 2, 2: 2}).round().astype("uint8")
        level, index = level.rechunk((3, 2048, 2048)), index + 1


def _check_same(one: Path, other: Path) -> None:
    first, second = zarr.open_group(one, mode="r"), zarr.open_group(other, mode="r")
    for name in sorted(second.array_keys()):
        a, b = first[name], second[name]
        if not (isinstance(a, zarr.Array) and isinstance(b, zarr.Array)):
            raise TypeError(f"{name}: expected an array in both")
        if (a.chunks, a.shards) != (b.chunks, b.shards) or not np.array_equal(a[:], b[:]):
            raise ValueError(f"level {name}: expected the same chunks, shards and pixels of {one} and {other}")


def _warm_up() -> None:
    import simsearch.workflows.convert.pipeline  # noqa: F401
