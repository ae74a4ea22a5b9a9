"""A trained model over images and plates (paper section 2.5)."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.checks.names import natural_key
from simsearch.core.checks.options import LEAST_TILE, check_range
from simsearch.core.named_regions import are_in_any
from simsearch.core.tiles import even_tile, tile_cores
from simsearch.io.ome_zarr.plates.hierarchy import is_plate
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.tables.peaks import write_detections
from simsearch.io.tables.records.results_folder import only_writer, withdraw_run
from simsearch.nn.trunk_file import label_of_digest
from simsearch.runtime.arithmetic import choose_arithmetic
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.tasks.detect import DetectTask, detect_tile
from simsearch.runtime.tasks.needs import LARGEST_TILE
from simsearch.runtime.views import window_region
from simsearch.runtime.worker import lent
from simsearch.workflows.event_log import logged
from simsearch.workflows.find.model_views import DETECTION_SPACING, finer_views, model_view
from simsearch.workflows.find.peaks import peaks_of
from simsearch.workflows.find.tiles import check_free, open_log, run_tiles
from simsearch.workflows.find.tissue import find_tissues, is_slide
from simsearch.workflows.provenance import Timings, arithmetic_key, fingerprint, write_run
from simsearch.workflows.run.models import check_images, read_model
from simsearch.workflows.run.objects import RESULT_NAMES, DetectionTables, chosen_before, write_objects
from simsearch.workflows.run.region_counts import by_image, write_outlines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from simsearch.core.named_regions import NamedRegion
    from simsearch.core.peaks import PeakColumns
    from simsearch.io.tables.records.tile_log import TileLog
    from simsearch.nn.device import Arithmetic
    from simsearch.nn.model_file import ModelHeader
    from simsearch.runtime import Client
    from simsearch.runtime.views import View
    from simsearch.workflows.find.tissue import Tissue
    from simsearch.workflows.image_set import ImageSet
    from simsearch.workflows.run.models import ModelFile

# Grid positions along a side: seconds of work for a CPU, as large as what is planned for a worker holds. A field of
# 1,152 px is one tile.
_PATCHWISE_TILE = 96


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """How to detect."""

    floor: float = 0.05
    """Detections of lower confidence are not kept."""
    tile: int | None = None
    """Grid positions along a side of a tile; by default what takes a CPU a few seconds."""
    tissue_mask: bool = True
    """Whether glass is left out of RGB images: tiles without tissue, and detections whose centre is not on tissue."""
    exact: bool = False
    """Whether the trunk computes in float32 also where bfloat16 is twice as fast."""
    overwrite: bool = False
    """Replace the results of another run."""

    def __post_init__(self) -> None:
        check_range("floor", self.floor, 0, 1)
        check_range("tile", self.tile, LEAST_TILE)


@dataclass(frozen=True, slots=True)
class DetectReport(DetectionTables):
    """What was detected."""

    folder: Path
    """Where the results are."""
    n_images: int
    """Number of images."""
    n_pixels: int
    """Level-0 pixels of all images."""
    n_tissue: int
    """How many of them have tissue: all, where there is no mask."""
    n_skipped: int
    """How many lie in tiles without tissue, or that no region touches, which were not computed."""
    n_tiles: int
    """Number of tiles, those without tissue not counted."""
    n_done_before: int
    """How many of them an earlier run had done."""
    n_objects: Mapping[str, int]
    """Number of objects of each class: at their confidence thresholds, each place as its most probable class."""
    confidence_thresholds: Mapping[str, float]
    """For each class."""
    failures: tuple[tuple[str, str], ...]
    """Names of images and tiles that were left out, and why."""
    notes: tuple[str, ...]
    """Which drugs and wells of plates have no dose response or no Z', and why."""
    seconds: Mapping[str, float]
    """How long each step took."""


def detect(
    client: Client,
    images: ImageSet,
    model: Path,
    folder: Path,
    options: DetectOptions,
    *,
    regions: Sequence[NamedRegion] = (),
    observe: Observer = ignore,
) -> DetectReport:
    """Run a model over images, and write what it finds.

    A run that was killed goes on when it is started again: what tiles gave is kept in the folder. Tiles that failed
    are tried again.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    images : ImageSet
        Where to look. If it skips errors, images that the model was not trained for are left out, and of others the
        tiles that cannot be read; otherwise the first error ends the run.
    model : Path
        A model file of `train_study`.
    folder : Path
        Gets detections.parquet, detections.csv, objects.csv, images.csv, geojson/, plates/ and run.json; with regions
        also regions.geojson and regions.csv.
    options : DetectOptions
        How to detect.
    regions : sequence of NamedRegion, optional
        Look only there: images without any are not looked at, nor are tiles that none touches.
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
    SourceError, StoreError
        If an image cannot be read, or the folder cannot be written or holds other results.
    ConfigError
        If there are regions, but none in an image that is looked at.
    """
    chosen = read_model(model)
    inside = by_image(regions, images) if regions else {}
    images = images.among(inside) if inside else images
    check_images(images, chosen.header)
    check_free(folder, RESULT_NAMES, overwrite=options.overwrite)
    with only_writer(folder):
        return _detect(client, images, chosen, folder, options, inside, Timings(logged(observe, folder)))


def _detect(
    client: Client,
    images: ImageSet,
    model: ModelFile,
    folder: Path,
    options: DetectOptions,
    regions: Mapping[str, Sequence[NamedRegion]],
    timings: Timings,
) -> DetectReport:
    header, digest = model.header, model.digest
    arithmetic = choose_arithmetic(client, is_exact=options.exact)
    run = run_of(images, digest, options, arithmetic, regions)
    with open_log(folder, run, images, overwrite=options.overwrite) as log:
        chosen, aside = ({}, ()) if options.overwrite else chosen_before(folder, run)
        is_masked = options.tissue_mask
        tissues = find_tissues(client, images, header.downsampling, timings, among=is_slide) if is_masked else {}
        views = [model_view(image, header, digest, arithmetic) for image in images]
        tasks = [
            task
            for view in views
            for task in _tasks(view, header, options, tissues.get(view.image.meta.name))
            if not regions or _is_touched(task, regions[view.image.meta.name])
        ]
        missing = [task for task in tasks if str(task) not in log.done]
        with lent(client, model.blob) if missing else nullcontext():
            failures = run_tiles(client, detect_tile, missing, "detect", log, images, timings)
        with store_errors(str(folder)):
            withdraw_run(folder)
            write_outlines(regions, folder)
            found = _found(tasks, log, header, tissues, regions)
            write_detections(found, {image.name: image for image in images}, digest, folder)
    thresholds = dict(zip(header.classes[1:], header.confidence_thresholds, strict=True)) | chosen
    with store_errors(str(folder)):
        plates, paths = _plates(images), [image.path for image in images]
        written = write_objects(folder, thresholds, plates, paths, digest, aside)
        report = DetectReport(
            folder=folder,
            n_images=len(images),
            **_areas(images, tissues, tasks),
            n_tiles=len(tasks),
            n_done_before=len(tasks) - len(missing),
            n_objects=written.n_objects,
            confidence_thresholds=thresholds,
            failures=(*images.failures, *failures),
            notes=written.notes,
            seconds=timings.seconds,
        )
        content = {
            "run": run,
            "options": options,
            "arithmetic": arithmetic,
            "model": f"{model.path}@{digest}",
            "header": header,
            "plates": plates,
        }
        content |= {"trunk": label_of_digest(header.trunk)}
        content |= {"confidence_thresholds": thresholds, "aside": aside, "images": paths, "report": report}
        write_run(folder, "detect", content)
    return report


def run_of(
    images: ImageSet,
    model: str,
    options: DetectOptions,
    arithmetic: Arithmetic,
    regions: Mapping[str, Sequence[NamedRegion]] | None = None,
) -> str:
    """Fingerprint all that detections depend on but the pixels; `model` is the digest of its file."""
    chosen: dict[str, object] = {"floor": options.floor, "tile": options.tile, "tissue_mask": options.tissue_mask}
    if regions:
        chosen["regions"] = {name: [asdict(each) for each in here] for name, here in regions.items()}
    return fingerprint(
        {**chosen, **arithmetic_key(arithmetic), "spacing": DETECTION_SPACING, "model": model, "images": images.sources}
    )


def _found(
    tasks: Sequence[DetectTask],
    log: TileLog,
    header: ModelHeader,
    tissues: Mapping[str, Tissue],
    regions: Mapping[str, Sequence[NamedRegion]],
) -> Iterator[PeakColumns]:
    """Yield what was found in each image, on its tissue and in its regions, in natural order."""
    by_image: dict[str, list[DetectTask]] = defaultdict(list)
    for task in tasks:
        if str(task) in log.done:
            by_image[task.view.image.meta.name].append(task)
    for name, own in sorted(by_image.items(), key=lambda each: natural_key(each[0])):
        rows = np.concatenate([log.done[str(task)].reshape(-1, 4) for task in own])
        peaks = peaks_of(rows, own[0].view, header.classes[1:], header.patch_shapes)
        peaks = peaks.take(tissues[name].are_at(peaks.y, peaks.x)) if name in tissues else peaks
        yield peaks.take(are_in_any(regions[name], peaks.y, peaks.x)) if name in regions else peaks


def _areas(images: ImageSet, tissues: Mapping[str, Tissue], tasks: Sequence[DetectTask]) -> dict[str, int]:
    n_pixels = sum(image.shape[0] * image.shape[1] for image in images)
    without = sum(image.shape[0] * image.shape[1] - tissues[image.name].area(image.shape)
                  for image in images if image.name in tissues)  # fmt: skip
    return {
        "n_pixels": n_pixels,
        "n_tissue": n_pixels - without,
        "n_skipped": n_pixels - sum(task.n_pixels for task in tasks),
    }


def _plates(images: ImageSet) -> list[str]:
    """List the plates that images are fields of."""
    inner = ((image.path, image.name.partition("/")[2]) for image in images)
    outer = {path.removesuffix(f"/{way_down}") for path, way_down in inner if way_down}
    return [path for path in sorted(outer) if is_plate(path)]


def _is_touched(task: DetectTask, regions: Sequence[NamedRegion]) -> bool:
    """Tell whether regions reach into a tile with a step around it: detections lie up to half a step off the grid."""
    tile = window_region(task.view, task.window.grown(1))
    return any(region.touches(tile) for region in regions)


def _tasks(view: View, header: ModelHeader, options: DetectOptions, tissue: Tissue | None) -> Iterator[DetectTask]:
    largest = LARGEST_TILE[view.arithmetic] if header.kind == "dense" else _PATCHWISE_TILE
    finer = finer_views(view, header)
    closest = min((each.image.downsampling for each, _ in finer), default=view.image.downsampling)
    tile = options.tile or even_tile(view.grid_shape, largest * closest // view.image.downsampling)
    for window in tile_cores(view.grid_shape, tile):
        # Detections lie up to half a step off the grid: with a step around it, no tile is left out that has one.
        if tissue is None or tissue.within(window_region(view, window.grown(1)).clipped(view.image.meta.shape)).any():
            yield DetectTask(view, window, options.floor, finer)
