"""CPU time of what workers do with a tile in each workflow, and of the trunk alone, in either arithmetic.

It needs nothing that is new: copied into a worktree of an older commit it measures that, with the tiles of then.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.detect_speed import write_model
from benchmarks.search_speed import write_tissue
from simsearch.core.segmentation import grid_window, label_pixels
from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.image import describe_image
from simsearch.nn.device import Arithmetic, fast_inference, with_weights_for
from simsearch.nn.extractor import make_extractor, prototype_blocks, prototype_region
from simsearch.nn.model_file import model_from_bytes
from simsearch.nn.similarity import class_maps, make_query, prototype_maps
from simsearch.nn.trunk import fused
from simsearch.runtime.tasks import needs
from simsearch.runtime.views import framed_maps, peak_table, read_pixels, window_maps
from simsearch.workflows.find.model_views import model_view

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simsearch.nn.classifier import PatchClassifier
    from simsearch.nn.similarity import Query
    from simsearch.runtime.views import View

ARITHMETICS: tuple[Arithmetic, ...] = ("float32", "bfloat16")
WORKS = ("detect", "search", "segment", "features of a study")
TILES_OF_THEN = {"detect": 144, "search": 128}
"""Where a commit has no `LARGEST_TILE`."""
_PATCH = (48, 48)
_PROTOTYPES = ((361.0, 343.0), (410.0, 360.0))
_SHARD = 1024  # pixels along a side of what is segmented at a time
_KEPT = 128  # positions along a side of what is kept of features at a time
_ALONE = 1024  # pixels along a side of what the trunk sees without surroundings
_FIRST = 64  # position of the first tile: more than it sees lies before it


@dataclass(frozen=True, slots=True)
class Bench:
    """Image, models and query for all that is measured."""

    view: View
    models: dict[Arithmetic, PatchClassifier]
    query: Query

    def tile(self, work: str, arithmetic: Arithmetic) -> int:
        """Tell how many positions a tile has along a side."""
        if work in TILES_OF_THEN:
            return int(getattr(needs, "LARGEST_TILE", {}).get(arithmetic, TILES_OF_THEN[work]))
        return _SHARD // 8 if work == "segment" else _KEPT

    def do(self, work: str, arithmetic: Arithmetic) -> None:
        """Do what a worker does with a tile."""
        model, view = self.models[arithmetic], replace(self.view, arithmetic=arithmetic)
        searched = replace(view, extractor=make_extractor("template", _PATCH), spacing=1 / 2)
        side = self.tile(work, arithmetic)
        window = Region(_FIRST, _FIRST + side, _FIRST, _FIRST + side)
        if work == "detect":
            peak_table(framed_maps(model.trunk, view, window, model.log_odds_maps), view, window, -3.0)
        elif work == "search":
            maps = framed_maps(model.trunk, searched, window, self.similarity)
            peak_table(maps, searched, window, 0.2)
        elif work == "segment":
            region, step = Region(*(8 * edge for edge in (window.y0, window.y1, window.x0, window.x1))), (1, 8.0)
            window = grid_window(region, step, view.grid_shape)
            found = window_maps(model.trunk, view, window, model.probability_maps, view.margin)
            label_pixels(found, window, region, step, (0.5,) * (len(found) - 1))
        else:
            window_maps(model.trunk, searched, window).astype(np.float16)

    def similarity(self, found: torch.Tensor) -> torch.Tensor:
        """Compare vectors with the prototypes."""
        return class_maps(found, prototype_maps(found, self.query), self.query)


def open_bench(scratch: Path, trunk: str, side: int) -> Bench:
    """Write an image and a model, and read them."""
    image, path = write_tissue(scratch, side)[0], write_model(scratch, "dense", trunk)
    view = model_view(describe_image(image), model_from_bytes(path.read_bytes())[1], "")
    models = {arithmetic: _model(path, arithmetic) for arithmetic in ARITHMETICS}
    extractor, blocks = make_extractor("template", _PATCH), []
    with fast_inference(torch.device("cpu")):
        for y, x in _PROTOTYPES:
            pixels = read_pixels(view, prototype_region(extractor, y, x))
            blocks.append(list(prototype_blocks(models["float32"].trunk, pixels, extractor)))
    return Bench(view, models, make_query([blocks], torch.zeros(extractor.dim)))


def costs(bench: Bench, rounds: int = 3) -> dict[tuple[str, Arithmetic], float]:
    """Return CPU-seconds per megapixel of the image, the least of some rounds, by turns, with one thread."""
    torch.set_num_threads(1)
    jobs: dict[tuple[str, Arithmetic], tuple[Callable[[], object], float]] = {}
    inside = read_pixels(bench.view, Region(0, _ALONE, 0, _ALONE))[None]
    for arithmetic in ARITHMETICS:
        for work in WORKS:
            jobs[work, arithmetic] = _job(bench, work, arithmetic)

        def alone(arithmetic: Arithmetic = arithmetic) -> None:
            with fast_inference(inside.device, arithmetic):
                bench.models[arithmetic].trunk(inside)

        jobs["trunk without surroundings", arithmetic] = alone, _ALONE**2
    found = dict.fromkeys(jobs, np.inf)
    for _ in range(rounds + 1):
        for key, (job, n_pixels) in jobs.items():
            begin = time.process_time()
            job()
            found[key] = min(found[key], (time.process_time() - begin) / (n_pixels / 1e6))
    return found


def _job(bench: Bench, work: str, arithmetic: Arithmetic) -> tuple[Callable[[], object], float]:
    return lambda: bench.do(work, arithmetic), float((8 * bench.tile(work, arithmetic)) ** 2)


def _model(path: Path, arithmetic: Arithmetic) -> PatchClassifier:
    model, _ = model_from_bytes(path.read_bytes())
    model.trunk = fused(model.trunk)
    with_weights_for(arithmetic, model.trunk)
    return model.to(memory_format=torch.channels_last)
