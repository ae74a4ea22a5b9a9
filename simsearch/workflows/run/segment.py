"""Semantic segmentation of images and slides with a trained model (paper section 3.2)."""

from __future__ import annotations

import csv
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.checks.names import path_in
from simsearch.errors import ConfigError, StoreError
from simsearch.io.ome_zarr.image import open_image
from simsearch.io.ome_zarr.labels import can_hold_labels, create_labels, finish_labels, labels_template, run_of_labels
from simsearch.io.ome_zarr.stores import remove_torn
from simsearch.io.ome_zarr.writing import ImageTemplate, store_errors
from simsearch.io.pictures.overlay import CLASS_COLORS
from simsearch.io.places import in_store, remove
from simsearch.io.tables.cells import written
from simsearch.io.tables.frames import csv_frame
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.io.tables.records.results_folder import only_writer, withdraw_run
from simsearch.nn.trunk_file import label_of_digest
from simsearch.runtime.arithmetic import choose_arithmetic
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.tasks.segment import (
    DrawTask,
    LevelTask,
    SegmentTask,
    draw_segmentation,
    segment_tile,
    write_level,
)
from simsearch.runtime.worker import lent
from simsearch.workflows.event_log import logged
from simsearch.workflows.find.model_views import model_view
from simsearch.workflows.find.tiles import finish_tasks, open_log, run_tiles
from simsearch.workflows.find.tissue import Tissue, find_tissues
from simsearch.workflows.provenance import Timings, arithmetic_key, fingerprint, image_fingerprint, write_run
from simsearch.workflows.run.models import check_images, read_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.nn.device import Arithmetic
    from simsearch.nn.model_file import ModelHeader
    from simsearch.runtime import Client
    from simsearch.workflows.image_set import ImageSet
    from simsearch.workflows.run.models import ModelFile

_SHARD = 1024  # pixels of the working scale along a side of a tile: seconds of work for a CPU
_AREAS_NAME = "areas.csv"
_AREA_TYPES = {
    **dict.fromkeys(("image", "class"), "string"),
    "pixels": "int64",
    **dict.fromkeys(("mm2", "fraction_of_tissue", "fraction_of_image"), "double"),
}
_MAX_DOWNSAMPLING = 4  # of a tile in level-0 pixels: its labels and probabilities must fit in memory


@dataclass(frozen=True, slots=True)
class SegmentOptions:
    """How to segment."""

    tissue_mask: bool = True
    """Whether glass is left out of RGB images."""
    beside_image: bool = True
    """Whether labels are written into the images, where that can be; otherwise into the results."""
    name: str = "simsearch"
    """Of the labels in an image."""
    exact: bool = False
    """Whether the trunk computes in float32 also where bfloat16 is twice as fast."""
    overwrite: bool = False
    """Replace labels of that name, and the results of another run."""


@dataclass(frozen=True, slots=True)
class SegmentedImage:
    """What was segmented of an image."""

    image: str
    """Name of the image."""
    labels: str
    """Where the labels are."""
    n_pixels: Mapping[str, int]
    """Level-0 pixels of each class."""
    n_tissue: int
    """Level-0 pixels with tissue: all, where there is no mask."""
    n_image: int
    """Level-0 pixels."""
    n_skipped: int
    """Level-0 pixels of tiles without tissue, which were not computed."""
    pixel_mm2: float | None
    """Area of a pixel, where known."""


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What was segmented."""

    folder: Path
    """Where the results are."""
    images: tuple[SegmentedImage, ...]
    """One by one."""
    n_tiles: int
    """Number of tiles with tissue."""
    n_done_before: int
    """How many of them an earlier run had done."""
    failures: tuple[tuple[str, str], ...]
    """Names of images and tiles that were left out, and why."""
    seconds: Mapping[str, float]
    """How long each step took."""
    notes: tuple[str, ...]
    """What else is to be known."""

    def areas(self) -> pd.DataFrame:
        """Read the area of each class in each image, with the columns of ``areas.csv``."""
        return csv_frame(self.folder / _AREAS_NAME, _AREA_TYPES)

    def labels(self, image: str) -> xr.DataArray:
        """Open the (y, x) labels of an image lazily: 0 is background, and classes count from 1.

        Raises
        ------
        ConfigError
            If no image of this name was segmented.
        """
        paths = {each.image: each.labels for each in self.images}
        if image not in paths:
            raise ConfigError(f"expected an image out of {', '.join(paths)}, got {image!r}: correct the name")
        return open_image(paths[image]).isel(c=0, drop=True)


@dataclass(frozen=True, slots=True)
class _Target:
    """Labels of an image, on their way."""

    image: ImageMeta
    path: Path
    template: ImageTemplate
    is_kept: bool
    """Whether an earlier run began them."""
    tissue: Tissue | None = None


def segment(
    client: Client, images: ImageSet, model: Path, folder: Path, options: SegmentOptions, *, observe: Observer = ignore
) -> SegmentReport:
    """Give each pixel of images a class, as OME-Zarr labels, and measure areas.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    images : ImageSet
        What to segment. If it skips errors, images that the model was not trained for are left out, and of others the
        tiles that cannot be read; otherwise the first error ends the run.
    model : Path
        A model file of `train_study`.
    folder : Path
        Gets areas.csv, overlays/, geojson/, run.json, and labels/ of images that cannot hold them.
    options : SegmentOptions
        How to segment.
    observe : callable
        Gets the events.

    Returns
    -------
    SegmentReport
        Labels do not depend on the cluster or on the order of tasks. A run that was killed goes on when it is started
        again.

    Raises
    ------
    ModelFileError
        If the file is no model, or the model was not trained for an image.
    SourceError, StoreError
        If an image cannot be read, or labels or the folder cannot be written or are there already.
    """
    folder = folder.absolute()
    chosen = read_model(model)
    check_images(images, chosen.header)
    with only_writer(folder):
        return _segment(client, images, chosen, folder, options, Timings(logged(observe, folder)))


def _segment(
    client: Client, images: ImageSet, model: ModelFile, folder: Path, options: SegmentOptions, timings: Timings
) -> SegmentReport:
    header, digest = model.header, model.digest
    arithmetic = choose_arithmetic(client, is_exact=options.exact)
    run = _run_of(images, digest, options, arithmetic)
    with open_log(folder, run, images, overwrite=options.overwrite) as log:
        withdraw_run(folder)
        remove_torn(folder / "labels")
        targets = [_target(image, header, folder, options, run) for image in images]
        tissues = find_tissues(client, images, header.downsampling, timings) if options.tissue_mask else {}
        kept_targets = (target for target in targets if target.image.name in images)
        targets = [replace(target, tissue=tissues.get(target.image.name)) for target in kept_targets]
        tasks = [task for target in targets for task in _tasks(target, header, digest, arithmetic)]
        kept = {str(target.path) for target in targets if target.is_kept}
        missing = [task for task in tasks if str(task) not in log.done or task.path not in kept]
        with lent(client, model.blob) if missing else nullcontext():
            failures = run_tiles(client, segment_tile, missing, "segment", log, images, timings)
        failed = {name for name, _ in failures}
        counts = {str(task): log.done[str(task)] for task in tasks if str(task) not in failed}
    _write_levels(client, targets, timings)
    for target in targets:
        provenance = {"model": digest, "run": _run_on(run, target.image)}
        finish_labels(target.path, target.template, header.classes[1:], _colors(header), provenance)
    undrawn, notes = _draw(client, targets, header, folder, images, timings)
    failures += undrawn
    found = tuple(_measured(target, tasks, counts, header) for target in targets)
    with store_errors(str(folder)):
        _write_areas(found, folder / _AREAS_NAME)
        report = SegmentReport(
            folder=folder,
            images=found,
            n_tiles=len(tasks),
            n_done_before=len(tasks) - len(missing),
            failures=(*images.failures, *failures),
            seconds=timings.seconds,
            notes=(*_notes(model.path, header), *notes),
        )
        content = {
            "options": options,
            "arithmetic": arithmetic,
            "model": f"{model.path}@{digest}",
            "trunk": label_of_digest(header.trunk),
            "header": header,
            "report": report,
        }
        write_run(folder, "segment", content)
    return report


def _target(image: ImageMeta, header: ModelHeader, folder: Path, options: SegmentOptions, run: str) -> _Target:
    """Create the labels of an image, without pixels yet; those that an earlier run of the same began are kept."""
    shard = _SHARD * min(header.downsampling, _MAX_DOWNSAMPLING)
    path = path_in(folder / "labels", image.name, ".ome.zarr")
    if options.beside_image and can_hold_labels(image):
        path = Path(image.path) / "labels" / options.name
    run = _run_on(run, image)
    is_kept = run_of_labels(path) == run
    if path.exists() and not is_kept:
        if not options.overwrite:
            raise StoreError(f"{path}: expected no labels of this name, got some: add --overwrite or another --name")
        remove(path)
    template = labels_template(image, shard)
    if is_kept and not in_store(path):
        with store_errors(str(path)):
            remove_torn(path)
    else:
        create_labels(path, template, run)
    return _Target(image, path, template, is_kept)


def _tasks(target: _Target, header: ModelHeader, model: str, arithmetic: Arithmetic) -> Iterator[SegmentTask]:
    view = model_view(target.image, header, model, arithmetic)
    for region in target.template.regions(0):
        tissue = target.tissue.within(region) if target.tissue else None
        if tissue is None or tissue.any():
            thresholds, factor = header.confidence_thresholds, target.tissue.downsampling if target.tissue else 1
            yield SegmentTask(view, region, str(target.path), thresholds, tissue, factor)


def _write_levels(client: Client, targets: Sequence[_Target], observe: Observer) -> None:
    """Write the levels of all pyramids, each after the one below it."""
    n_levels = max((len(target.template.level_shapes) for target in targets), default=0)
    for level in range(1, n_levels):
        tasks = [
            LevelTask(t.image.name, str(t.path), t.template, level, region)
            for t in targets
            if level < len(t.template.level_shapes)
            for region in t.template.regions(level)
        ]
        finish_tasks(client, write_level, tasks, f"level {level}", observe)


def _draw(
    client: Client,
    targets: Sequence[_Target],
    header: ModelHeader,
    folder: Path,
    images: ImageSet,
    observe: Observer,
) -> tuple[list[tuple[str, str]], list[str]]:
    """Draw the labels of all images; tell which of them were left out, where errors are skipped, and not drawn."""
    notes: list[str] = []
    tasks = [
        DrawTask(
            model_view(t.image, header, ""),
            str(t.path),
            t.template,
            header.classes[1:],
            path_in(folder / "overlays", t.image.name, ".png"),
            path_in(folder / "geojson", t.image.name, ".geojson"),
        )
        for t in targets
    ]
    failures = finish_tasks(
        client,
        draw_segmentation,
        tasks,
        "overlays",
        observe,
        skip_errors=images.skips_errors,
        keep=lambda task, said: notes.extend(said),
    )
    return failures, notes


def _measured(
    target: _Target, tasks: Sequence[SegmentTask], counts: Mapping[str, NDArray[np.float64]], header: ModelHeader
) -> SegmentedImage:
    own = [task for task in tasks if task.path == str(target.path)]
    total = sum((counts[str(task)] for task in own if str(task) in counts), np.zeros(len(header.classes)))
    height, width = target.image.shape
    computed = sum(task.region.shape[0] * task.region.shape[1] for task in own)
    size_um = target.image.pixel_size_um
    return SegmentedImage(
        image=target.image.name,
        labels=str(target.path),
        n_pixels={name: int(total[value]) for value, name in enumerate(header.classes) if value},
        n_tissue=target.tissue.area(target.image.shape) if target.tissue else height * width,
        n_image=height * width,
        n_skipped=height * width - computed,
        pixel_mm2=size_um[0] * size_um[1] / 1e6 if size_um else None,
    )


def _write_areas(images: Sequence[SegmentedImage], path: Path) -> None:
    with replacing_text(path) as file:
        rows = csv.writer(file)
        rows.writerow(_AREA_TYPES)
        for each in images:
            for name, n in each.n_pixels.items():
                area = "" if each.pixel_mm2 is None else n * each.pixel_mm2
                of_tissue = n / each.n_tissue if each.n_tissue else ""
                rows.writerow((written(each.image), written(name), n, area, of_tissue, n / each.n_image))


def _notes(model: Path, header: ModelHeader) -> tuple[str, ...]:
    if header.training.get("n_beside"):
        return (f"{model} was trained on objects, to which their surroundings do not belong: train it with --areas",)
    return ()


def _run_of(images: ImageSet, model: str, options: SegmentOptions, arithmetic: Arithmetic) -> str:
    """Name a run by all that its labels depend on but the pixels, and where they are."""
    place = [options.beside_image, options.name]
    chosen = {"tissue_mask": options.tissue_mask, "place": place, **arithmetic_key(arithmetic)}
    return fingerprint({"model": model, "images": images.sources, **chosen})


def _run_on(run: str, image: ImageMeta) -> str:
    """Name a run on an image: labels of what it showed before are of another."""
    return fingerprint({"run": run, "image": image_fingerprint(image)})


def _colors(header: ModelHeader) -> list[str]:
    return [CLASS_COLORS[index % len(CLASS_COLORS)] for index in range(len(header.classes) - 1)]
