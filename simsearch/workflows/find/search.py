"""Find what looks like the boxes that a person has drawn (paper sections 2.3.1 and 3.4)."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from simsearch.core.boxes import patch_shapes
from simsearch.core.checks.names import path_in
from simsearch.core.checks.options import LEAST_TILE, check_among, check_range
from simsearch.core.peaks import Peak, objects
from simsearch.io.ome_zarr.stores import remove_torn
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.pictures.overlay import Drawing, Mark
from simsearch.io.places import remove
from simsearch.io.tables.boxes import read_boxes
from simsearch.io.tables.frames import peak_frame
from simsearch.io.tables.peaks import write_peaks
from simsearch.io.tables.records.results_folder import RUN_NAME, only_writer, withdraw_run
from simsearch.nn.extractor import METHODS, make_extractor
from simsearch.nn.similarity import SOFTNESS, softness_of
from simsearch.nn.trunk_file import trunk_label
from simsearch.runtime.arithmetic import choose_arithmetic
from simsearch.runtime.events import Noted, Observer, ignore
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.overlay import OverlayTask, draw
from simsearch.runtime.worker import broadcast
from simsearch.workflows.event_log import logged
from simsearch.workflows.find.measure import measure, read_ranges, write_measurement
from simsearch.workflows.find.peaks import find_group_peaks, open_similarity, suggested_threshold
from simsearch.workflows.find.query import Group, Setting, group_boxes
from simsearch.workflows.find.tiles import check_free, open_log
from simsearch.workflows.find.trunks import read_chosen_trunk
from simsearch.workflows.image_set import ImageSet, channel_indices
from simsearch.workflows.provenance import Timings, arithmetic_key, fingerprint, write_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    import xarray as xr

    from simsearch.core.boxes import Box
    from simsearch.core.intensity import Range
    from simsearch.nn.device import Arithmetic
    from simsearch.runtime import Client


_RESULTS = (RUN_NAME, "peaks.parquet", "peaks.csv", "measure.json", "similarity", "overlays")


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search."""

    method: str = "template"
    """How images are compared with prototypes: template, template-fine, template-deep, pooled or patchwise (the
    paper's, and slow)."""
    trunk: str = "bundled"
    """bundled, imagenet, a file or its URL."""
    channels: tuple[str, ...] | None = None
    """Names of the channels to look at; all of them by default."""
    measurement: Path | None = None
    """JSON of `simsearch measure` with the intensity ranges; by default they are measured at the searched scale."""
    combine: str = "soft"
    """Prototypes of a class: max is the most similar alone (the paper's), mean all alike; soft lies between."""
    floor: float = 0.0
    """Peaks of lower similarity are not kept."""
    tile: int | None = None
    """Grid positions along a side of a tile; by default what takes a CPU a few seconds."""
    save_maps: bool = True
    """Whether similarity maps are written."""
    exact: bool = False
    """Whether the trunk computes in float32 also where bfloat16 is twice as fast."""
    overwrite: bool = False
    """Replace the results of an earlier search."""

    def __post_init__(self) -> None:
        check_among("method", self.method, METHODS)
        check_among("combine", self.combine, SOFTNESS)
        check_range("tile", self.tile, LEAST_TILE)


@dataclass(frozen=True, slots=True)
class SearchReport:
    """What a search has found."""

    folder: Path
    """Where the results are."""
    n_images: int
    """Number of images that were searched."""
    n_peaks: Mapping[str, int]
    """Number of peaks of each class."""
    n_objects: Mapping[str, int]
    """Number of them in the overlays: above the suggested thresholds, each place as its most similar class."""
    suggested_thresholds: Mapping[str, float]
    """Similarity that splits the peaks of each class best into two groups (Otsu): where to start looking."""
    failures: tuple[tuple[str, str], ...]
    """Names of images that were left out, and why."""
    seconds: Mapping[str, float]
    """How long each step took."""
    notes: tuple[str, ...] = ()
    """Which overlays could not be drawn, and why."""

    def peaks(self) -> pd.DataFrame:
        """Read the peaks, by image, class and descending similarity, with the columns of ``peaks.parquet``."""
        return peak_frame(self.folder / "peaks.parquet")

    def similarity(self, image: str, class_name: str) -> xr.DataArray:
        """Open the (y, x) similarity map of a class in an image lazily, as `open_similarity` does."""
        return open_similarity(self.folder / "similarity", image, class_name)


def search(
    client: Client,
    images: ImageSet,
    boxes: Path,
    folder: Path,
    options: SearchOptions,
    *,
    observe: Observer = ignore,
) -> SearchReport:
    """Search images for what looks like the boxes, and write what is found.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    images : ImageSet
        Where to search; the boxes lie in some of them. Images that fail are left out of it, or end the search.
    boxes : Path
        CSV with image, class, y, x, height, width.
    folder : Path
        Gets peaks.parquet, peaks.csv, measure.json, run.json, similarity/ and overlays/.
    options : SearchOptions
        How to search.
    observe : callable
        Gets the events.

    Returns
    -------
    SearchReport
        The peaks do not depend on the cluster, on the order of tasks or on the size of tiles. A search that was killed
        goes on when it is started again.

    Raises
    ------
    AnnotationError
        If a box is wrong.
    SourceError
        If an image cannot be read, or they differ in channels or pixel type.
    ConfigError
        If options are wrong, or a channel is constant.
    TrunkError
        If the trunk cannot be had.
    StoreError
        If the folder cannot be written, or holds results already.
    """
    folder = folder.absolute()
    timings = Timings(logged(observe, folder))
    drawn = read_boxes(boxes, images.shapes, lambda note: timings(Noted(note)))
    groups = group_boxes(drawn)
    for group in groups:
        make_extractor(options.method, group.working_shape)  # refuses what cannot be searched before anything is done
    softness, trunk = softness_of(options.combine), read_chosen_trunk(options.trunk)
    check_free(folder, _RESULTS, overwrite=options.overwrite)
    arithmetic = choose_arithmetic(client, is_exact=options.exact)
    run = _run_of(images, drawn, trunk, options, arithmetic)
    with only_writer(folder), open_log(folder, run, images, overwrite=options.overwrite) as log:
        withdraw_run(folder)
        with store_errors(str(folder)):
            remove_torn(folder) if log.is_continued else _remove_stale(folder)
        setting = Setting(
            method=options.method,
            channels=channel_indices(next(iter(images)), options.channels),
            ranges=_ranges(client, images, groups, options, folder, timings),
            trunk=broadcast(client, trunk),
            floor=options.floor,
            softness=softness,
            tile=options.tile,
            maps=folder / "similarity" if options.save_maps else None,
            arithmetic=arithmetic,
        )
        found = [peak for group in groups for peak in find_group_peaks(client, images, group, setting, log, timings)]
        peaks = [peak for peak in found if peak.image in images]
        classes = tuple(patch_shapes(drawn))
        thresholds = {
            name: suggested_threshold(peaks, [box for box in drawn if box.class_name == name]) for name in classes
        }
        with store_errors(str(folder)):
            write_peaks(peaks, {image.name: image for image in images}, folder)
        shown = objects(peaks, thresholds)
        notes = _draw_overlays(client, images, shown, classes, setting, folder, timings)
        report = SearchReport(
            folder=folder,
            n_images=len(images),
            n_peaks={name: sum(p.class_name == name for p in peaks) for name in classes},
            n_objects={name: sum(p.class_name == name for p in shown) for name in classes},
            suggested_thresholds=thresholds,
            failures=images.failures,
            seconds=timings.seconds,
            notes=notes,
        )
        _write_run(folder, options, groups, images, setting, report)
    return report


def _run_of(
    images: ImageSet, drawn: Sequence[Box], trunk: bytes, options: SearchOptions, arithmetic: Arithmetic
) -> str:
    """Fingerprint all that peaks and maps depend on but the pixels."""
    chosen = asdict(replace(options, overwrite=False, measurement=None))
    del chosen["exact"]  # counts where it matters: in the arithmetic
    ranges = None if options.measurement is None else options.measurement.read_text(encoding="utf-8")
    return fingerprint(
        {
            **chosen,
            **arithmetic_key(arithmetic),
            "measurement": ranges,
            "trunk": hashlib.sha256(trunk).hexdigest(),
            "boxes": [asdict(box) for box in drawn],
            "images": images.sources,
        }
    )


def _remove_stale(folder: Path) -> None:
    """Remove what an earlier search wrote, and nothing else."""
    for name in _RESULTS:
        remove(folder / name)


def _ranges(
    client: Client, images: ImageSet, groups: Sequence[Group], options: SearchOptions, folder: Path, observe: Observer
) -> tuple[Range, ...]:
    """Take the intensity ranges of the channels from a file, or measure them at the finest scale that is searched."""
    first = next(iter(images))
    names = [first.channel_names[c] for c in channel_indices(first, options.channels)]
    if options.measurement:
        return read_ranges(options.measurement, names)
    kept = folder / "measure.json"
    if not kept.exists():  # by the search that goes on
        downsampling = min(group.downsampling for group in groups)
        write_measurement(measure(client, images, downsampling=downsampling, observe=observe), kept)
    return read_ranges(kept, names)


def _draw_overlays(
    client: Client,
    images: ImageSet,
    shown: Sequence[Peak],
    classes: tuple[str, ...],
    setting: Setting,
    folder: Path,
    observe: Observer,
) -> tuple[str, ...]:
    """Draw what was found into the images, and tell what could not be drawn."""
    marks: dict[str, list[Mark]] = {image.name: [] for image in images}
    for peak in shown:
        marks[peak.image].append(Mark(classes.index(peak.class_name), peak.y, peak.x, *peak.patch_shape))
    tasks = [
        OverlayTask(
            image,
            setting.channels,
            setting.ranges,
            Drawing(classes, tuple(marks[image.name])),
            path_in(folder / "overlays", image.name, ".png"),
        )
        for image in images
    ]
    outcomes = run_tasks(client, draw, tasks, step="overlays", observe=observe)
    return tuple(note for _, said in images.results(outcomes, lambda task: task.image.name) for note in said)


def _write_run(
    folder: Path,
    options: SearchOptions,
    groups: Sequence[Group],
    images: ImageSet,
    setting: Setting,
    report: SearchReport,
) -> None:
    content = {
        "options": options,
        "arithmetic": setting.arithmetic,
        "trunk": trunk_label(options.trunk, setting.trunk),
        "setting": setting,
        "groups": groups,
        "images": [image.path for image in images],
        "report": report,
    }
    with store_errors(str(folder)):
        write_run(folder, "search", content)
