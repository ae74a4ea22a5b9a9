"""The usual way, beside simsearch: a classifier of patches slides over the image in plain PyTorch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from benchmarks.synthetic import CELL, FLOOR, PATCH, write_model, write_slide
from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.image import read_region
from simsearch.nn.trunk import Trunk, fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.runtime import open_cluster
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect

if TYPE_CHECKING:
    from pathlib import Path

_BATCH = 128
_N_THREADS = 2


class SlidingWindow(nn.Module):
    """The trunk, the mean over a patch, and a linear head: as patch classifiers of slides are written."""

    def __init__(self, trunk: Trunk, n_classes: int) -> None:
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(256, n_classes)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return the (B, classes) probabilities of (B, C, h, w) patches."""
        return torch.softmax(self.head(self.trunk(patches).mean(dim=(2, 3))), dim=1)


def slide_over(model: SlidingWindow, pixels: torch.Tensor, stride: int) -> torch.Tensor:
    """Return the (classes, ny, nx) probabilities of the patches of a (C, H, W) image that lie in it."""
    patches = pixels.unfold(1, PATCH[0], stride).unfold(2, PATCH[1], stride)
    ny, nx = patches.shape[1:3]
    found = []
    with torch.inference_mode():
        for places in torch.arange(ny * nx).split(_BATCH):
            batch = patches[:, places // nx, places % nx].transpose(0, 1)
            found.append(model(batch.contiguous(memory_format=torch.channels_last)))
    return torch.cat(found).T.reshape(-1, ny, nx)


def compare(scratch: Path, side: int = 2048, strides: tuple[int, ...] = (8, 24)) -> dict[str, float]:
    """Return the megapixels per second on one slide full of tissue: of a detection on one worker, and the usual way.

    Both have one process with two threads, the same trunk with folded BatchNorms in channels last, and patches of 48
    px; both read the same Zarr, after something smaller to warm up. The detection also finds peaks and pays for Dask;
    writing its tables is not counted.
    """
    n_cells = -(-side // CELL)
    slide = write_slide(scratch / "compared.ome.zarr", side, np.ones((n_cells, n_cells), bool))
    megapixels = side**2 / 1e6
    found = {"simsearch detect, stride 8": megapixels / _detection_seconds(scratch, slide)}
    image = find_image_set([slide])["compared"]
    threads = torch.get_num_threads()
    torch.set_num_threads(_N_THREADS)
    model = SlidingWindow(fused(trunk_from_bytes(read_trunk("bundled"), 3)), n_classes=2)
    model = model.to(memory_format=torch.channels_last).eval()
    for stride in strides:
        for part in (min(side, 256), side):
            begin = time.perf_counter()
            pixels = read_region(image, 0, Region(0, part, 0, part)).astype(np.float32) / 255
            slide_over(model, torch.from_numpy(pixels), stride)
            seconds = time.perf_counter() - begin
        found[f"sliding window, stride {stride}"] = megapixels / seconds
    torch.set_num_threads(threads)
    return found


def _detection_seconds(scratch: Path, slide: Path) -> float:
    model = write_model(scratch / "compared.safetensors", plate=False)
    with open_cluster("local:1") as client:
        for _ in range(2):  # the first loads torch
            options = DetectOptions(floor=FLOOR, tissue_mask=False, overwrite=True)
            report = detect(client, find_image_set([slide]), model, scratch / "compared", options)
    return report.seconds["detect"]
