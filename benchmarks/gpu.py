"""A GPU against the CPU cores of its machine, one worker on each: seconds, and how far results differ."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.parquet
from scipy.spatial import KDTree

from benchmarks.detect_speed import write_model
from benchmarks.search_speed import write_tissue
from simsearch.runtime import open_cluster
from simsearch.workflows.find.search import SearchOptions, search
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

DEVICES = ("GPU", "CPU")
_SAME = 8.0  # pixels between two peaks of the same object: a step of the feature grid


class Timed(NamedTuple):
    """What one worker took for the steps that compute features, the shortest of two runs: the first loads torch."""

    search: float
    detect: float
    peaks: NDArray[np.float64]
    """(N, 3) y, x and similarity of what the search found."""


class Agreement(NamedTuple):
    """What two searches have in common."""

    n_peaks: int
    """Of the first."""
    shared: float
    """Share of them that the second has too, within a step of the feature grid."""
    difference: float
    """The largest between the similarities of those."""
    alone: float
    """The highest similarity of one that the second has not; -1 if there is none."""


def run(scratch: Path, trunk: str, side: int) -> dict[str, Timed]:
    """Search a tissue slide of so many pixels a side, and detect in it with an untrained model, on each device."""
    found = {}
    for device in DEVICES:
        with only(device), open_cluster("local:1") as client:
            found[device] = _on(client, scratch, trunk, side)
    return found


def compare(first: NDArray[np.float64], second: NDArray[np.float64]) -> Agreement:
    """Compare the peaks of two searches."""
    distance, index = KDTree(second[:, :2]).query(first[:, :2])
    is_shared = distance <= _SAME
    differences = np.abs(first[is_shared, 2] - second[index[is_shared], 2])
    alone = float(first[~is_shared, 2].max(initial=-1.0))
    return Agreement(len(first), float(is_shared.mean()), float(differences.max(initial=0.0)), alone)


def _on(client: Client, scratch: Path, trunk: str, side: int) -> Timed:
    (image, boxes), model = write_tissue(scratch, side), write_model(scratch, "dense", trunk)
    images, searches, detections = find_image_set([image]), [], []
    for _ in range(2):
        options = SearchOptions(trunk=trunk, save_maps=False, overwrite=True)
        report = search(client, images, boxes, scratch / "out", options)
        searches.append(report.seconds["search"])
        table = pyarrow.parquet.read_table(report.folder / "peaks.parquet", columns=["y", "x", "similarity"])
        found = detect(client, images, model, scratch / "detected", DetectOptions(overwrite=True))
        detections.append(found.seconds["detect"])
    return Timed(min(searches), min(detections), np.stack([column.to_numpy() for column in table.columns], axis=1))


@contextmanager
def only(device: str) -> Iterator[None]:
    """Hide the GPU from workers that are started meanwhile, if that is asked for."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if device == "CPU":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        yield
    finally:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
