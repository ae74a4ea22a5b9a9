"""What the results of a detection cost the client: memory and seconds for slides of many objects.

A run whose tiles are all done is started again, so that nothing but the results is computed: the log is read, and
tables, GeoJSON and run.json are written. Each measurement is a process of its own, since a peak of memory never falls.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch

from simsearch.core.tiles import tile_cores
from simsearch.io.ome_zarr.image import describe_image
from simsearch.io.ome_zarr.writing import ImageTemplate, Window, create_image, finish_image
from simsearch.io.tables.records.tile_log import TileLog
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.model_file import ModelHeader, model_to_bytes
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.runtime.views import window_name
from simsearch.workflows.find.model_views import model_view
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, run_of
from simsearch.workflows.run.models import read_model

if TYPE_CHECKING:
    from pathlib import Path

_CLASSES = ("nucleus", "cytoplasm", "mitosis")
_PATCH = (48, 48)
_SIDE = 32_768  # pixels
_TILE = 128  # grid positions, of `detect`
DONE = DetectOptions(exact=True, tile=_TILE)
"""With these, all tiles are done."""
_SCRIPT = """
import json, sys, time
from pathlib import Path
from simsearch.workflows.{module} import {names}
{imports}

def peak_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024

folder, before, start = Path(sys.argv[1]), peak_mib(), time.perf_counter()
{call}
print(json.dumps([before, time.perf_counter() - start, peak_mib()]))
"""
_STEPS = {
    "detect": _SCRIPT.format(
        module="run.detect",
        names="detect",
        imports="from benchmarks.results_memory import DONE; from simsearch.runtime import open_cluster; "
        "from simsearch.workflows.image_set import find_image_set",
        call="""with open_cluster("threads") as client:
    images = find_image_set([folder / "slide.ome.zarr"])
    detect(client, images, folder / "model.safetensors", folder / "out", DONE)""",
    ),
    "rethreshold": _SCRIPT.format(
        module="run.objects",
        names="rethreshold",
        imports="",
        call=f"""rethreshold(folder / "out", dict.fromkeys({_CLASSES!r}, 0.05))""",
    ),
}


def run(scratch: Path, n_detections: int) -> dict[str, tuple[float, float, float]]:
    """Return for a detection and for other thresholds the seconds, the peak MiB, and that of importing alone."""
    folder = scratch / f"results-{n_detections}"
    write_done_run(folder, n_detections)
    found = {}
    for step in ("detect", "rethreshold"):
        command = [sys.executable, "-c", _STEPS[step], str(folder)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        before, seconds, mib = json.loads(output.splitlines()[-1])
        found[step] = seconds, mib, before
    return found


def count_written(scratch: Path, n_detections: int) -> tuple[int, int]:
    """Return how many detections and how many objects the files of `run` hold."""
    folder = scratch / f"results-{n_detections}" / "out"
    with (folder / "detections.csv").open() as rows, (folder / "geojson" / "slide.geojson").open() as features:
        return sum(1 for _ in rows) - 1, sum(1 for _ in features) - 2


def write_done_run(folder: Path, n_detections: int) -> None:
    """Write a sparse slide, a random model, and the log of a run that found so many objects but has no results."""
    folder.mkdir(parents=True, exist_ok=True)
    slide, model = folder / "slide.ome.zarr", folder / "model.safetensors"
    if not slide.exists():
        template = ImageTemplate(
            n_channels=3,
            shape=(_SIDE, _SIDE),
            dtype="uint8",
            channel_names=("R", "G", "B"),
            channel_colors=("FF0000", "00FF00", "0000FF"),
            pixel_size_um=(0.5, 0.5),
            windows=(Window(0.0, 255.0, 0.0, 255.0),) * 3,
            is_sparse=True,
        )
        create_image(slide, template)
        finish_image(slide, template)
    model.write_bytes(_random_model())
    header = read_model(model).header
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    run = run_of(find_image_set([slide]), digest, DONE, "float32")
    view = model_view(describe_image(slide), header, digest)
    windows = list(tile_cores(view.grid_shape, _TILE))
    rng = np.random.default_rng(0)

    with TileLog(folder / "out" / "tiles.jsonl", run, overwrite=True) as log:
        for number, window in enumerate(windows):
            n = n_detections // len(windows) + (number < n_detections % len(windows))
            y, x = rng.uniform(window.y0, window.y1, n), rng.uniform(window.x0, window.x1, n)
            log.add(window_name(view, window), np.stack([rng.integers(0, 3, n), y, x, rng.uniform(0.05, 1, n)], axis=1))


def _random_model() -> bytes:
    torch.manual_seed(0)
    model = PatchClassifier(trunk_from_bytes(read_trunk("bundled"), 3), classifier_extractor("dense", _PATCH), 4)
    header = ModelHeader(
        kind="dense",
        classes=("background", *_CLASSES),
        patch_shapes=((float(_PATCH[0]), float(_PATCH[1])),) * 3,
        downsampling=1,
        channels=("R", "G", "B"),
        ranges=((0.0, 255.0),) * 3,
        dtype="uint8",
        pixel_size_um=None,
        confidence_thresholds=(0.05,) * 3,
        trunk="0" * 64,
        training={},
    )
    return model_to_bytes(model.eval(), header)
