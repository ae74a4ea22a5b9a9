"""A trained model over images and plates (paper section 2.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.peaks import Peak, objects
from simsearch.core.tiles import tile_cores
from simsearch.errors import ModelFileError, StoreError
from simsearch.io.peak_table import write_peaks
from simsearch.io.scaled import scaled
from simsearch.io.writing import store_errors
from simsearch.nn.classifier import classifier_extractor
from simsearch.nn.model_file import ModelHeader, check_fits, model_from_bytes
from simsearch.runtime.detect_tasks import DetectTask, detect_tile
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.views import View
from simsearch.runtime.worker import lent
from simsearch.workflows.peaks import peaks_of
from simsearch.workflows.provenance import Timings, write_run
from simsearch.workflows.query import image_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from simsearch.io.image import ImageMeta
    from simsearch.runtime import Client
    from simsearch.workflows.image_set import ImageSet

_TILE = {"dense": 128, "patchwise": 96}  # grid positions along a side: seconds of work for a CPU
_RESULTS = ("detections.parquet", "detections.csv", "run.json")


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """How to detect."""

    floor: float = 0.05
    """Detections of lower confidence are not kept."""
    tile: int | None = None
    """Grid positions along a side of a tile; by default what takes a CPU a few seconds."""
    overwrite: bool = False
    """Replace the results of an earlier run."""


@dataclass(frozen=True, slots=True)
class DetectReport:
    """What was detected."""

    folder: Path
    """Where the results are."""
    n_images: int
    """Number of images."""
    n_objects: Mapping[str, int]
    """Number of objects of each class: at their confidence thresholds, each place as its most probable class."""
    confidence_thresholds: Mapping[str, float]
    """Of the model, for each class."""
    failures: tuple[tuple[str, str], ...]
    """Names of images that were left out, and why."""
    seconds: Mapping[str, float]
    """How long each step took."""


def detect(
    client: Client, images: ImageSet, model: Path, folder: Path, options: DetectOptions, *, observe: Observer = ignore
) -> DetectReport:
    """Run a model over images, and write what it finds.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    images : ImageSet
        Where to look. Images that fail, or that the model was not trained for, are left out of it, or end the run.
    model : Path
        A model file of `train_study`.
    folder : Path
        Gets detections.parquet, detections.csv and run.json.
    options : DetectOptions
        How to detect.
    observe : callable
        Gets the events.

    Returns
    -------
    DetectReport
        Detections do not depend on the cluster, on the order of tasks or on the size of tiles.

    Raises
    ------
    ModelFileError
        If the file is no model, or the model was not trained for an image.
    SourceError
        If an image cannot be read.
    StoreError
        If the folder cannot be written, or holds results already.
    """
    timings = Timings(observe)
    blob, header = _read_model(model)
    for image in images:
        _check(images, image, header)
    there = [name for name in _RESULTS if (folder / name).exists()]
    if there and not options.overwrite:
        raise StoreError(f"{folder}: expected a new folder, got {there[0]} in it: add --overwrite or name another")
    peaks: list[Peak] = []
    with lent(client, blob) as digest:
        tasks = [task for image in images for task in _tasks(image, header, digest, options)]
        outcomes = run_tasks(client, detect_tile, tasks, step="detect", observe=timings)
        for task, table in images.results(outcomes, image_name):
            peaks += peaks_of(table, task.view, header.classes[1:], header.patch_shape)
    peaks = [peak for peak in peaks if peak.image in images]
    thresholds = dict(zip(header.classes[1:], header.confidence_thresholds, strict=True))
    counted = objects(peaks, thresholds)
    report = DetectReport(
        folder=folder,
        n_images=len(images),
        n_objects={name: sum(peak.class_name == name for peak in counted) for name in header.classes[1:]},
        confidence_thresholds=thresholds,
        failures=images.failures,
        seconds=timings.seconds,
    )
    with store_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        write_peaks(peaks, {image.name: image for image in images}, folder, score="confidence")
        content = {"options": options, "model": f"{model}@{digest[:16]}", "header": header, "report": report}
        write_run(folder / "run.json", "detect", content | {"images": [image.path for image in images]})
    return report


def _read_model(path: Path) -> tuple[bytes, ModelHeader]:
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: expected a model, got {error.strerror}: `simsearch train` makes one") from error
    return blob, model_from_bytes(blob, str(path))[1]


def _check(images: ImageSet, image: ImageMeta, header: ModelHeader) -> None:
    try:
        check_fits(header, image.name, image.channel_names, image.dtype, image.pixel_size_um)
    except ModelFileError as error:
        images.leave_out(image.name, error)


def _tasks(image: ImageMeta, header: ModelHeader, digest: str, options: DetectOptions) -> Iterator[DetectTask]:
    view = View(
        image=scaled(image, header.downsampling),
        channels=tuple(image.channel_names.index(name) for name in header.channels),
        ranges=header.ranges,
        extractor=classifier_extractor(header.kind, header.working_shape),
        trunk=digest,
    )
    for window in tile_cores(view.grid_shape, options.tile or _TILE[header.kind]):
        yield DetectTask(view, window, options.floor)
