"""What a worker takes for tiles of one kind, beside what `simsearch.runtime.tasks.needs` foretells.

Each line is of a new worker that does the same tile, from within an image, several times, two at a time. It is called
from a script without imports: what the main module imports, workers import too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.image import ImageMeta, describe_image
from simsearch.io.ome_zarr.labels import create_labels, labels_template
from simsearch.io.ome_zarr.scaled import scaled
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.io.sources.protocol import SourceSpec
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.extractor import Extractor, make_extractor
from simsearch.nn.model_file import ModelHeader, model_to_bytes
from simsearch.nn.similarity import make_query, query_to_bytes
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.runtime import open_cluster
from simsearch.runtime.clusters.workers import TASKS
from simsearch.runtime.outcomes import Failed
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.detect import DetectTask, detect_tile
from simsearch.runtime.tasks.search import SearchTask, search_tile
from simsearch.runtime.tasks.segment import SegmentTask, segment_tile
from simsearch.runtime.views import View
from simsearch.runtime.worker import broadcast
from simsearch.workflows.convert.tasks import PixelTask, write_pixels
from simsearch.workflows.find.counting import CountTask, count_intensities

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.runtime import Client

    Job = tuple[Callable[[Any], Any], Any]

POINTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("detect", {"tile": 32}),
    ("detect", {}),
    ("detect", {"tile": 256}),
    ("detect", {"tile": 256, "arithmetic": "bfloat16"}),
    ("detect", {"n_channels": 1}),
    ("detect", {"n_channels": 8, "dtype": "uint16"}),
    ("detect", {"patch": 90}),
    ("detect", {"n_classes": 12}),
    ("search", {}),
    ("search", {"tile": 256}),
    ("search", {"n_prototypes": 40}),
    ("search", {"patch": 90}),
    ("search", {"method": "template-deep"}),
    ("search", {"method": "pooled"}),
    ("search", {"method": "patchwise", "tile": 32, "patch": 90}),
    ("segment", {}),
    ("segment", {"n_classes": 12}),
    ("segment", {"downsampling": 4}),
    ("measure", {}),
    ("measure", {"n_channels": 8, "dtype": "uint16"}),
    ("convert", {}),
    ("convert", {"n_channels": 8, "dtype": "uint16"}),
    ("convert", {"n_channels": 8, "dtype": "uint16", "level": 1}),
    ("convert", {"n_channels": 8, "dtype": "uint16", "shard": 4096}),
    ("convert", {"n_levels": 2}),
    ("convert", {"n_channels": 8, "dtype": "uint16", "n_levels": 2}),
)
_SCRIPT = "import sys; from benchmarks.tile_memory import print_point; print_point(*sys.argv[1:])"
_RANGE = (0.0, 200.0)
_AROUND = 256  # pixels around a tile: more than it sees
_N_TILES = 5


def detect(
    folder: Path, client: Client, *, tile: int = 128, n_channels: int = 3, dtype: str = "uint8", patch: int = 48,
    n_classes: int = 2,
) -> Job:  # fmt: skip
    """Make a tile of a detection."""
    view, window = _view(folder, tile, n_channels, dtype, classifier_extractor("dense", (patch, patch)))
    digest = broadcast(client, _model(n_channels, patch, n_classes))
    return detect_tile, DetectTask(_with_trunk(view, digest, 1 / 6), window, 0.99)


def search(
    folder: Path, client: Client, *, tile: int = 128, patch: int = 48, n_prototypes: int = 1, method: str = "template"
) -> Job:
    """Make a tile of a search."""
    extractor = make_extractor(method, (patch, patch))
    view, window = _view(folder, tile, 3, "uint8", extractor)
    block = torch.rand((extractor.dim, *extractor.block_shape), generator=torch.Generator().manual_seed(0))
    query = make_query([[[block] * 4] * n_prototypes], torch.zeros(extractor.dim))
    digest, trunk = broadcast(client, query_to_bytes(query)), broadcast(client, read_trunk("bundled"))
    return search_tile, SearchTask(_with_trunk(view, trunk, 1 / 2), window, digest, 0.99)


def segment(
    folder: Path, client: Client, *, n_channels: int = 3, dtype: str = "uint8", patch: int = 48, n_classes: int = 4,
    downsampling: int = 1,
) -> Job:  # fmt: skip
    """Make a shard of a segmentation."""
    side = 1024 * downsampling
    meta = _image(folder, 3 * side, n_channels, dtype)
    digest = broadcast(client, _model(n_channels, patch, n_classes))
    extractor = classifier_extractor("dense", (patch, patch))
    view = View(scaled(meta, downsampling), tuple(range(n_channels)), (_RANGE,) * n_channels, extractor, digest)
    labels = folder / "labels.ome.zarr"
    create_labels(labels, labels_template(meta, side), "run")
    thresholds = (0.5,) * (n_classes - 1)
    return segment_tile, SegmentTask(view, Region(side, 2 * side, side, 2 * side), str(labels), thresholds)


def measure(folder: Path, client: Client, *, n_channels: int = 3, dtype: str = "uint8") -> Job:
    """Make a tile of a measurement."""
    meta = _image(folder, 2048, n_channels, dtype)
    return count_intensities, CountTask(scaled(meta), Region(0, 2048, 0, 2048))


def convert(
    folder: Path, client: Client, *, n_channels: int = 3, dtype: str = "uint8", shard: int = 2048, level: int = 0,
    n_levels: int = 1,
) -> Job:  # fmt: skip
    """Make a shard of a conversion, or 2 x 2 and the one above them."""
    source = _image(folder, 2 * shard, n_channels, dtype, shard)
    template = _template(2 * shard, n_channels, dtype, shard)
    region = next(iter(template.regions(level))) if n_levels == 1 else Region(0, 2 * shard, 0, 2 * shard)
    made = Path(source.path) if level else folder / "made.ome.zarr"
    if not level:
        create_image(made, template)
    return write_pixels, PixelTask("image", str(made), SourceSpec(source.path), template, level, region, n_levels)


JOBS: dict[str, Callable[..., Job]] = {
    "detect": detect, "search": search, "segment": segment, "measure": measure, "convert": convert,
}  # fmt: skip


def print_point(job: str, options: str) -> None:
    """Measure one kind of tile, and print what a worker takes and is foretold, in MiB."""
    with TemporaryDirectory() as folder, open_cluster("local:1") as client:
        (pid,) = client.run(os.getpid).values()  # what the worker imports for an answer of ours would count
        chosen = json.loads(options)
        arithmetic = chosen.pop("arithmetic", None)
        function, task = JOBS[job](Path(folder), client, **chosen)
        if arithmetic:
            task = replace(task, view=replace(task.view, arithmetic=arithmetic))
        for outcome in run_tasks(client, function, [task] * _N_TILES, step=job):
            if isinstance(outcome, Failed):
                raise outcome.error
        status = Path(f"/proc/{pid}/status").read_text()
        peak = float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
        print(f"| {job} | {options.strip('{}')} | {peak:.0f} | {task.need.of(TASKS) / 2**20:.0f} |", flush=True)


def main() -> None:
    """Measure all."""
    print("| tile of | options | measured, MiB | foretold, MiB |\n| --- | --- | --- | --- |", flush=True)
    for job, options in POINTS:
        subprocess.run([sys.executable, "-c", _SCRIPT, job, json.dumps(options)], check=True)


def _template(side: int, n_channels: int, dtype: str, shard: int) -> ImageTemplate:
    names = tuple(f"c{index}" for index in range(n_channels))
    return ImageTemplate(n_channels, (side, side), dtype, names, ("FFFFFF",) * n_channels, (0.5, 0.5), shard=shard)


def _image(folder: Path, side: int, n_channels: int, dtype: str, shard: int = 2048) -> ImageMeta:
    """Write noise."""
    path, template = folder / "noise.ome.zarr", _template(side, n_channels, dtype, shard)
    create_image(path, template)
    rng = np.random.default_rng(0)
    for level in range(len(template.level_shapes)):
        for region in template.regions(level):
            write_region(path, level, region, rng.integers(0, 200, (n_channels, *region.shape)).astype(dtype))
    finish_image(path, template)
    return describe_image(path)


def _view(folder: Path, tile: int, n_channels: int, dtype: str, extractor: Extractor) -> tuple[View, Region]:
    stride = extractor.grid.stride
    meta = _image(folder, int(tile * stride) // 16 * 16 + 2 * _AROUND, n_channels, dtype)
    first = int(_AROUND / stride)
    view = View(scaled(meta), tuple(range(n_channels)), (_RANGE,) * n_channels, extractor, "")
    return view, Region(first, first + tile, first, first + tile)


def _with_trunk(view: View, digest: str, spacing: float) -> View:
    return View(view.image, view.channels, view.ranges, view.extractor, digest, spacing=spacing)


def _model(n_channels: int, patch: int, n_classes: int) -> bytes:
    """Make a model that has learned nothing."""
    torch.manual_seed(0)
    extractor = classifier_extractor("dense", (patch, patch))
    model = PatchClassifier(trunk_from_bytes(read_trunk("bundled"), n_channels), extractor, n_classes)
    header = ModelHeader(
        kind="dense",
        classes=tuple(f"k{index}" for index in range(n_classes)),
        patch_shapes=((patch, patch),) * (n_classes - 1),
        downsampling=1,
        channels=tuple(f"c{index}" for index in range(n_channels)),
        ranges=(_RANGE,) * n_channels,
        dtype="uint8",
        pixel_size_um=(0.5, 0.5),
        confidence_thresholds=(0.5,) * (n_classes - 1),
        trunk="",
        training={},
    )
    return model_to_bytes(model, header)


if __name__ == "__main__":
    main()
