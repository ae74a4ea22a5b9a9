"""One tile of a detection, taken apart: what each part takes, and what other ways to compute it would."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.synthetic import FLOOR, write_model
from simsearch.core.tiles import Region, tile_cores
from simsearch.io.ome_zarr.scaled import read_scaled
from simsearch.nn import windowed
from simsearch.nn.device import fast_inference, whole_float32
from simsearch.nn.extractor import needed_region, vectors
from simsearch.nn.features import dense_features
from simsearch.nn.raw_pixels import RawPixels
from simsearch.runtime.models import model_on_worker
from simsearch.runtime.tasks.detect import DetectTask, detect_tile
from simsearch.runtime.views import framed_maps, peak_table, read_raw
from simsearch.runtime.worker import hold
from simsearch.workflows.find.model_views import model_view
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.models import read_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from simsearch.nn.classifier import PatchClassifier
    from simsearch.runtime.views import View

    Way = tuple[Callable[[], torch.Tensor], int]  # what computes, and how many tiles

_POSITIONS = {"cuda": 256, "cpu": 64}  # along a side of a tile
_ROUNDS = {"cuda": 20, "cpu": 3}
_THREADS_S = 6.0  # seconds of work for each number of threads
_BANDS = (64, 128, 256, 512, 1024)
_TOP = 20  # operations


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile from within a slide, and what looks at it."""

    device: torch.device
    view: View
    model: PatchClassifier
    blob: bytes
    tasks: tuple[DetectTask, ...]
    """All of the slide."""
    window: Region
    """Of the tile."""

    @property
    def seen(self) -> Region:
        """The window with what its peaks and heads look at."""
        return self.window.grown(self.view.peak_radius + self.view.margin)

    @property
    def region(self) -> Region:
        """The pixels that are read."""
        return needed_region(self.view.extractor, self.seen, self.view.image.shape)

    @property
    def mpx(self) -> float:
        """Megapixels that the tile stands for."""
        return float(np.prod(self.window.shape)) * self.view.extractor.grid.stride**2 / 1e6

    @property
    def n_rounds(self) -> int:
        """How often something is done."""
        return _ROUNDS[self.device.type]

    def compute(self, raw: RawPixels) -> torch.Tensor:
        """Do what the network does, as a worker does."""
        found = vectors(self.model.trunk, raw, self.view.extractor, self.seen, self.region)
        with torch.autocast(self.device.type, enabled=False):
            return self.model.log_odds_maps(found.half().float())[1:]


def model_of(scratch: Path) -> Path:
    """Write a model that finds so many places, unless it is there."""
    path = scratch / "pipeline.safetensors"
    return path if path.exists() else write_model(path, plate=False)


def open_tile(slide: Path, scratch: Path, device: str) -> Tile:
    """Open a slide, and prepare a model as a worker does, in bfloat16."""
    read = read_model(model_of(scratch))
    digest = hold(read.blob)
    assert digest == hashlib.sha256(read.blob).hexdigest()
    (image,) = find_image_set([slide])
    view, side = model_view(image, read.header, digest, "bfloat16"), _POSITIONS[device]
    tasks = [DetectTask(view, window, FLOOR) for window in tile_cores(view.grid_shape, side)]
    first = side // 4
    window = Region(first, first + side, first, first + side)
    return Tile(torch.device(device), view, model_on_worker(digest, "bfloat16"), read.blob, tuple(tasks), window)


def parts(tile: Tile) -> Iterator[tuple[str, float, float]]:
    """Yield what each part of a tile is, and its seconds and CPU-seconds: medians."""
    view = tile.view
    pixels = torch.from_numpy(read_scaled(view.image, tile.region, view.channels))
    raw = read_raw(view, tile.region)
    with _computing(tile):
        found = vectors(tile.model.trunk, raw, view.extractor, tile.seen, tile.region).half().float()
        maps = tile.model.log_odds_maps(found)[1:]
    jobs: dict[str, Callable[[], object]] = {
        "read and decode": lambda: read_scaled(view.image, tile.region, view.channels),
        "travel": lambda: (pixels.pin_memory() if tile.device.type == "cuda" else pixels).to(tile.device),
        "intensities of all at once": raw.intensities,
        "vectors": lambda: vectors(tile.model.trunk, raw, view.extractor, tile.seen, tile.region),
        "heads": lambda: tile.model.log_odds_maps(found),
        "peaks": lambda: peak_table(maps, view, tile.window, -3.0),
        "maps": lambda: framed_maps(tile.model.trunk, view, tile.window, lambda v: tile.model.log_odds_maps(v)[1:]),
        "all": lambda: detect_tile(DetectTask(view, tile.window, FLOOR)),
    }
    for name, job in jobs.items():
        with _computing(tile) if name == "vectors" else nullcontext(), torch.inference_mode():
            yield name, *_median(tile, job)
            if name == "vectors" and tile.device.type == "cuda":
                yield "vectors, until all is asked for", *_median(tile, job, is_awaited=False)


def in_threads(tile: Tile, n: int) -> float:
    """Return the megapixels a second of so many threads, as a worker has them."""
    detect_tile(tile.tasks[0])
    begin = time.perf_counter()
    detect_tile(tile.tasks[0])
    n_tiles = max(2 * n, round(n * _THREADS_S / 2 / max(time.perf_counter() - begin, 1e-3)))
    chosen, begin = list(islice(cycle(tile.tasks), n_tiles)), time.perf_counter()
    with ThreadPoolExecutor(n) as pool:
        for task, future in [(task, pool.submit(detect_tile, task)) for task in chosen]:
            future.result()
            if time.perf_counter() - begin > 2 * _THREADS_S:
                pool.shutdown(cancel_futures=True)
                chosen = chosen[: chosen.index(task) + 1]
                break
    return sum(task.n_pixels for task in chosen) / 1e6 / (time.perf_counter() - begin)


def variants(tile: Tile) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield other ways to compute a tile: milliseconds, seconds to prepare, and how far maps are from those of now."""
    raw = read_raw(tile.view, tile.region)
    with _computing(tile):
        expected = tile.compute(raw)
    for name, way in _ways(tile, raw).items():
        begin = time.perf_counter()
        try:
            with way() as (compute, n_tiles), torch.inference_mode():
                difference = float((compute() - expected).abs().max())
                prepared_s = time.perf_counter() - begin
                ms = 1e3 * _in_a_row(tile, compute) / n_tiles
            yield name, {"ms": ms, "mpx_per_s": 1e3 * tile.mpx / ms, "prepare_s": prepared_s, "difference": difference}
        except Exception as error:  # noqa: BLE001  one way that fails says so, and others go on
            yield name, {"error": f"{type(error).__name__}: {error}"[:500]}


def profile(tile: Tile) -> list[dict[str, Any]]:
    """Return which operations of a few tiles take the time: of the device, or of cores where there is none."""
    task, kinds = DetectTask(tile.view, tile.window, FLOOR), [torch.profiler.ProfilerActivity.CPU]
    if tile.device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    detect_tile(task)
    with torch.profiler.profile(activities=kinds) as found:
        for _ in range(3):
            detect_tile(task)
    rows = [
        {
            "what": e.key,
            "n": e.count,
            "device_ms": e.self_device_time_total / 3e3,
            "cpu_ms": e.self_cpu_time_total / 3e3,
        }
        for e in found.key_averages()
    ]
    key = "device_ms" if tile.device.type == "cuda" else "cpu_ms"
    return sorted(rows, key=lambda row: -row[key])[:_TOP]


@contextmanager
def _computing(tile: Tile) -> Iterator[None]:
    with whole_float32(tile.device), fast_inference(tile.device, tile.view.arithmetic):
        yield


def _ways(tile: Tile, raw: RawPixels) -> dict[str, Callable[[], Any]]:
    usual = partial(tile.compute, raw)
    ways: dict[str, Callable[[], Any]] = {
        f"rows of layer1 at a time: {n}": partial(_banded, tile, usual, n) for n in _BANDS
    }
    ways["cuDNN chooses by trying"] = partial(_tried, tile, usual)
    ways["four tiles at once"] = partial(_together, tile, raw)
    if tile.device.type == "cuda":
        ways["a CUDA graph"] = partial(_graphed, tile, raw)
    ways["compiled"] = partial(_compiled, tile, raw)
    return ways


@contextmanager
def _banded(tile: Tile, compute: Callable[[], torch.Tensor], n: int) -> Iterator[Way]:
    before = windowed._BAND
    windowed._BAND = n
    try:
        with _computing(tile):
            yield compute, 1
    finally:
        windowed._BAND = before


@contextmanager
def _tried(tile: Tile, compute: Callable[[], torch.Tensor]) -> Iterator[Way]:
    short = torch.autocast(tile.device.type, torch.bfloat16)
    with torch.inference_mode(), short, torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        yield compute, 1


@contextmanager
def _together(tile: Tile, raw: RawPixels) -> Iterator[Way]:
    extractor, (y0, _, x0, _), n = tile.view.extractor, (tile.region.y0, 0, tile.region.x0, 0), 4
    stride = int(extractor.grid.stride)
    own = tile.seen.shifted_by(-(y0 // stride), -(x0 // stride))

    def compute() -> torch.Tensor:
        images = raw.intensities()[None].expand(n, -1, -1, -1)
        found = dense_features(tile.model.trunk, images, layers=extractor.layers, is_exact=False, window=own)
        with torch.autocast(tile.device.type, enabled=False):
            return torch.stack([tile.model.log_odds_maps(each.half().float())[1:] for each in found])[-1]

    with _computing(tile):
        yield compute, n


@contextmanager
def _graphed(tile: Tile, raw: RawPixels) -> Iterator[Way]:
    with _computing(tile):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                tile.compute(raw)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = tile.compute(raw)

        def replay() -> torch.Tensor:
            graph.replay()
            return found

        yield replay, 1


@contextmanager
def _compiled(tile: Tile, raw: RawPixels) -> Iterator[Way]:
    ranges, inside, region = raw.ranges, raw.inside, raw.region

    def of_values(values: torch.Tensor) -> torch.Tensor:
        return tile.compute(RawPixels(values, ranges, inside, region))

    with _banded(tile, lambda: raw.values, _BANDS[-1]):  # one band: fewer operations to compile
        yield partial(torch.compile(of_values, dynamic=False), raw.values), 1


def _in_a_row(tile: Tile, job: Callable[[], object]) -> float:
    """Return the seconds of one of several that are asked for in a row, as a worker asks for them."""
    _wait(tile)
    begin = time.perf_counter()
    for _ in range(tile.n_rounds):
        job()
    _wait(tile)
    return (time.perf_counter() - begin) / tile.n_rounds


def _median(tile: Tile, job: Callable[[], object], *, is_awaited: bool = True) -> tuple[float, float]:
    times = []
    job()
    for _ in range(tile.n_rounds):
        _wait(tile)
        begin, cpu_begin = time.perf_counter(), time.process_time()
        job()
        if is_awaited:
            _wait(tile)
        times.append((time.perf_counter() - begin, time.process_time() - cpu_begin))
    seconds, cpu_seconds = np.median(times, axis=0).tolist()
    return seconds, cpu_seconds


def _wait(tile: Tile) -> None:
    if tile.device.type == "cuda":
        torch.cuda.synchronize()
