"""What a model costs on an image: dense against patchwise, on one Dask worker and in one process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from benchmarks.search_speed import write_tissue
from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.colors import RGB_NAMES
from simsearch.nn.classifier import KINDS, Kind, PatchClassifier, classifier_extractor
from simsearch.nn.extractor import needed_region, vectors
from simsearch.nn.model_file import ModelHeader, model_to_bytes
from simsearch.nn.trunk import fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.runtime import open_cluster
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect

if TYPE_CHECKING:
    from pathlib import Path

_PATCH = (48, 48)


def on_a_worker(scratch: Path, trunk: str, side: int = 1024) -> dict[str, float]:
    """Return the seconds per megapixel of the detection step of both kinds, on one worker, warmed up."""
    image, _ = write_tissue(scratch, side)
    found: dict[str, float] = {}
    with open_cluster("local:1") as client:
        for kind in KINDS:
            path = write_model(scratch, kind, trunk)
            seconds = []
            for _ in range(2):  # the first loads torch
                report = detect(client, find_image_set([image]), path, scratch / "out", DetectOptions(overwrite=True))
                seconds.append(report.seconds["detect"])
                if kind == "patchwise":
                    break  # minutes; what loading adds is nothing beside it
            found[kind] = min(seconds) / (side**2 / 1e6)
    return found


def in_process(trunk: str, side: int = 512) -> dict[str, float]:
    """Return the seconds per megapixel of vectors and head of both kinds, without a cluster, the best of two runs."""
    pixels = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))
    found: dict[str, float] = {}
    for kind in KINDS:
        model = _classifier(kind, trunk)
        model.trunk = fused(model.trunk)
        model = model.to(memory_format=torch.channels_last).eval()
        window = Region(0, model.extractor.grid.size(side), 0, model.extractor.grid.size(side))
        window = window.grown(max(model.extractor.block_shape) // 2)
        region = needed_region(model.extractor, window, (side, side))
        height, width = region.shape
        padding = (-region.x0, width + region.x0 - side, -region.y0, height + region.y0 - side)
        padded = torch.nn.functional.pad(pixels[None], padding, mode="replicate")[0]
        seconds = []
        for _ in range(2):
            begin = time.perf_counter()
            with torch.inference_mode():
                model.log_odds_maps(vectors(model.trunk, padded, model.extractor, window, region))
            seconds.append(time.perf_counter() - begin)
        found[kind] = min(seconds) / (side**2 / 1e6)
    return found


def write_model(scratch: Path, kind: Kind, trunk: str) -> Path:
    """Write a model that has learned nothing: it costs as much."""
    path = scratch / f"{kind}.safetensors"
    path.write_bytes(_model(kind, trunk))
    return path


def _classifier(kind: Kind, trunk: str) -> PatchClassifier:
    return PatchClassifier(trunk_from_bytes(read_trunk(trunk), 3), classifier_extractor(kind, _PATCH), n_classes=4)


def _model(kind: Kind, trunk: str) -> bytes:
    header = ModelHeader(
        kind=kind,
        classes=("background", "a", "b", "c"),
        patch_shapes=(_PATCH,) * 3,
        downsampling=1,
        channels=RGB_NAMES,
        ranges=((0.0, 255.0),) * 3,
        dtype="uint8",
        pixel_size_um=None,
        confidence_thresholds=(0.5,) * 3,
        trunk="",
        training={},
    )
    return model_to_bytes(_classifier(kind, trunk), header)
