"""What bfloat16 saves on CPUs and what it costs: CPU time and peaks of `detect`, beside float32 in one run.

Other work on the machine makes cores slower, not only fewer: both are measured by turns, and only ratios say much.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil
import torch
from scipy.spatial import KDTree

from benchmarks.detect_speed import write_model
from benchmarks.search_speed import use_one_thread, write_tissue
from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.image import describe_image
from simsearch.io.tables.peaks import read_peaks
from simsearch.nn.device import Arithmetic
from simsearch.nn.model_file import model_from_bytes, model_to_bytes
from simsearch.runtime import open_cluster
from simsearch.runtime.views import window_maps
from simsearch.workflows.find.model_views import model_view
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from simsearch.core.peaks import Peak
    from simsearch.nn.classifier import PatchClassifier
    from simsearch.runtime.views import View

ARITHMETICS: tuple[Arithmetic, ...] = ("float32", "bfloat16")
CONFIDENT = 0.3
_SAME = 8.0  # pixels: a step of the feature grid
_PROTOTYPES = ((361.0, 343.0), (410.0, 360.0), (120.0, 200.0))  # two nuclei, and tissue without
_SHARPNESS, _LEAST = 20.0, 0.25  # of the head: how fast confidence grows with similarity, and from where on

_LAYER1 = 4 * 9 * 64 * 64 / 4**2
_LAYER2 = (9 * 64 * 128 + 3 * 9 * 128 * 128 + 64 * 128) / 8**2
_LAYER3 = (9 * 128 * 256 + 3 * 9 * 256 * 256 + 128 * 256) / 16**2
TRUNK_OPERATIONS = 2e6 * (49 * 3 * 64 / 2**2 + _LAYER1 + _LAYER2 + _LAYER3)
"""Multiplications and additions in the trunk for a megapixel of RGB."""

Costs = dict[Arithmetic, float]


class Differences(NamedTuple):
    """How far peaks in bfloat16 are from those in float32."""

    n_peaks: int
    """Of float32 that are confident."""
    n_alone: int
    """Those of them, and of bfloat16's, that the other has nowhere within a step of the grid."""
    place: float
    """The largest distance between two of the same, in pixels."""
    confidence: float
    """The largest difference between their confidences."""


def on_a_worker(scratch: Path, trunk: str, side: int, rounds: int = 3) -> tuple[Costs, Differences]:
    """Return CPU-seconds per megapixel of `detect` in the process of one worker, and how far peaks differ."""
    image, _ = write_tissue(scratch, side)
    model, peaks = write_telling_model(scratch, trunk, image), {}
    with open_cluster("local:1") as client:
        client.run(use_one_thread)

        def work(arithmetic: Arithmetic) -> None:
            options = DetectOptions(overwrite=True, tissue_mask=False, exact=arithmetic == "float32")
            report = detect(client, find_image_set([image]), model, scratch / arithmetic, options)
            peaks[arithmetic] = read_peaks(report.folder / "detections.parquet")

        work("float32")  # loads torch
        costs = _costs(work, side**2, rounds, lambda: _worker_seconds(client))
    return costs, compare(peaks["float32"], peaks["bfloat16"])


def matrix_peaks(side: int = 2048) -> Costs:
    """Return how many multiplications and additions a CPU-second has in a product of large matrices, one thread."""
    matrices = {each: torch.rand(side, side).to(getattr(torch, each)) for each in ARITHMETICS}
    costs = _costs(lambda each: matrices[each] @ matrices[each], 1e6, rounds=5)
    return {each: 2 * side**3 / seconds for each, seconds in costs.items()}


def compare(exact: Sequence[Peak], short: Sequence[Peak]) -> Differences:
    """Compare confident peaks with those of the same class in the other arithmetic, whatever their confidence."""
    n_alone, places, confidences = 0, [0.0], [0.0]
    for own, others in ((exact, short), (short, exact)):
        for name in {peak.class_name for peak in own}:
            mine = _table(peak for peak in own if peak.class_name == name and peak.score >= CONFIDENT)
            theirs = _table(peak for peak in others if peak.class_name == name)
            distance, index = KDTree(theirs[:, :2]).query(mine[:, :2])
            is_shared = distance <= _SAME
            n_alone += int((~is_shared).sum())
            places.extend(distance[is_shared])
            confidences.extend(np.abs(mine[is_shared, 2] - theirs[index[is_shared], 2]))
    return Differences(sum(peak.score >= CONFIDENT for peak in exact), n_alone, max(places), max(confidences))


def _table(peaks: Iterable[Peak]) -> NDArray[np.float64]:
    return np.array([(peak.y, peak.x, peak.score) for peak in peaks]).reshape(-1, 3)


def _costs(
    work: Callable[[Arithmetic], object], n_pixels: float, rounds: int, clock: Callable[[], float] = time.process_time
) -> Costs:
    seconds: dict[Arithmetic, list[float]] = {arithmetic: [] for arithmetic in ARITHMETICS}
    for _ in range(rounds):
        for arithmetic in ARITHMETICS:
            begin = clock()
            work(arithmetic)
            seconds[arithmetic].append(clock() - begin)
    return {arithmetic: min(each) / (n_pixels / 1e6) for arithmetic, each in seconds.items()}


def _worker_seconds(client: Client) -> float:
    return float(sum(client.run(_process_seconds).values()))


def _process_seconds() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


def write_telling_model(scratch: Path, trunk: str, image: Path) -> Path:
    """Write a model whose head knows three patches by their features: it is sure of some places, and of others not."""
    path = write_model(scratch, "dense", trunk)
    model, header = model_from_bytes(path.read_bytes())
    view = model_view(describe_image(image), header, "")
    blocks = torch.stack([_block(model, view, y, x) for y, x in _PROTOTYPES])
    mean = torch.from_numpy(window_maps(model.trunk, view, Region(0, 64, 0, 64))).mean(dim=(1, 2))
    centred = blocks - mean[:, None, None]
    weight = torch.cat([torch.zeros_like(centred[:1]), centred / centred.pow(2).sum(dim=(1, 2, 3), keepdim=True)])
    bias = -(weight * mean[:, None, None]).sum(dim=(1, 2, 3)) - torch.tensor([0.0] + 3 * [_LEAST])
    model.head.load_state_dict({"weight": _SHARPNESS * weight, "bias": _SHARPNESS * bias})
    path.write_bytes(model_to_bytes(model, header))
    return path


def _block(model: PatchClassifier, view: View, y: float, x: float) -> torch.Tensor:
    row, column = round(y / view.extractor.grid.stride), round(x / view.extractor.grid.stride)
    margin = view.margin
    return torch.from_numpy(
        window_maps(model.trunk, view, Region(row - margin, row + margin + 1, column - margin, column + margin + 1))
    )
