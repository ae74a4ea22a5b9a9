"""From detections to objects: what is above the thresholds, as tables, GeoJSON and plate reports. No pixel is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.checks.names import check_name, natural_key, path_in
from simsearch.core.peaks import object_mask
from simsearch.errors import AnnotationError, ConfigError, StoreError
from simsearch.io.ome_zarr.plates.well_grid import open_well_grid
from simsearch.io.ome_zarr.stores import image_name
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.pictures.overlay import CLASS_COLORS
from simsearch.io.places import remove
from simsearch.io.tables.frames import csv_frame, object_frame, peak_frame
from simsearch.io.tables.geojson import write_detections as write_geojson
from simsearch.io.tables.peaks import read_detections, write_chosen_rows
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.io.tables.records.results_folder import RUN_NAME, forget_withdrawn, only_writer, read_run, withdraw_run
from simsearch.io.tables.strict_json import strict
from simsearch.workflows.run.image_counts import IMAGE_COUNTS_NAME, ImageCounts, write_image_counts
from simsearch.workflows.run.plate_report import (
    DOSE_TYPES,
    DOSES_NAME,
    GRID_NAME,
    REPORT_NAMES,
    WELLS_NAME,
    write_plate_report,
)
from simsearch.workflows.run.plate_summary import object_scores, summarise_scores
from simsearch.workflows.run.region_counts import (
    OUTLINES_NAME,
    REGION_COUNTS_NAME,
    count_in_regions,
    outlines_of,
    write_region_counts,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from simsearch.core.peaks import PeakColumns
    from simsearch.workflows.run.plate_summary import Scores, WellSummary

TABLE_NAME = "detections.parquet"
OBJECTS_NAME, GEOJSON_NAME, PLATES_NAME = "objects.csv", "geojson", "plates"
_WELL_TYPES = {"plate": "string", "well": "string"}


class DetectionTables:
    """What can be read in a folder with results of a detection."""

    __slots__ = ()
    folder: Path

    def detections(self) -> pd.DataFrame:
        """Read what was detected at any confidence, with the columns of ``detections.parquet``."""
        return peak_frame(self.folder / TABLE_NAME)

    def objects(self) -> pd.DataFrame:
        """Read the detections above the confidence thresholds, each place as its most probable class."""
        return object_frame(self.folder / OBJECTS_NAME)

    def image_counts(self) -> pd.DataFrame:
        """Read the objects in each image, with the columns of ``images.csv``."""
        return csv_frame(self.folder / IMAGE_COUNTS_NAME, {"image": "string"})

    def region_counts(self) -> pd.DataFrame:
        """Read the objects in each named region, with the columns of ``regions.csv``; none of a run that had none."""
        path = self.folder / REGION_COUNTS_NAME
        if not path.exists():
            raise ConfigError(f"{self.folder}: expected a run in named regions, got one that looked everywhere")
        return csv_frame(path, {"image": "string", "region": "string"})

    def wells(self, plate: str | None = None) -> pd.DataFrame:
        """Read the objects in each well of a plate, with the columns of ``wells.csv``.

        Parameters
        ----------
        plate : str, optional
            Its name; not needed for one plate.
        """
        return csv_frame(self._report_of(plate) / WELLS_NAME, _WELL_TYPES)

    def well_grid(self, plate: str | None = None) -> xr.Dataset:
        """Open the same lazily as an array of class, row and column, with the plate map as coordinates."""
        return open_well_grid(self._report_of(plate) / GRID_NAME)

    def dose_response(self, plate: str | None = None) -> pd.DataFrame:
        """Read the curve of each drug and class, with the columns of ``dose_response.csv``."""
        return csv_frame(self._report_of(plate) / DOSES_NAME, DOSE_TYPES)

    def _report_of(self, plate: str | None) -> Path:
        known = sorted(path.name for path in (self.folder / PLATES_NAME).glob("*"))
        if plate is None and len(known) == 1:
            return self.folder / PLATES_NAME / known[0]
        if plate not in known:
            raise ConfigError(
                f"{self.folder}: expected the name of a plate out of {', '.join(known) or 'none'}, got {plate}"
            )
        return self.folder / PLATES_NAME / str(plate)


@dataclass(frozen=True, slots=True)
class ObjectsReport(DetectionTables):
    """What is above the thresholds."""

    folder: Path
    """Where the results are."""
    confidence_thresholds: Mapping[str, float]
    """For each class."""
    n_objects: Mapping[str, int]
    """Number of objects of each class, each place as its most probable class."""
    aside: tuple[str, ...] = ()
    """Classes whose objects do not count in the shares of others."""
    notes: tuple[str, ...] = ()
    """Which drugs and wells of plates have no dose response or no Z', and why."""


def write_objects(
    folder: Path,
    confidence_thresholds: Mapping[str, float],
    plates: Sequence[str],
    images: Sequence[str],
    model: str,
    aside: Sequence[str] = (),
) -> ObjectsReport:
    """Write the objects among the detections of a folder, in place of those of other thresholds.

    Parameters
    ----------
    folder : Path
        With ``detections.parquet``. Gets ``objects.csv``, ``images.csv``, ``regions.csv`` where there is a
        ``regions.geojson``, ``geojson/IMAGE.geojson`` for QuPath, and ``plates/PLATE`` with a table of wells, heat maps
        and dose response.
    confidence_thresholds : mapping of str to float
        Lowest confidence of an object of each class.
    plates : sequence of str
        Paths or URLs of the plates that were looked at.
    images : sequence of str
        Paths or URLs of the images that were looked at.
    model : str
        sha256 of the model file.
    aside : sequence of str
        Classes whose objects do not count in the shares of others.

    Raises
    ------
    AnnotationError
        If there is no such table, or it has other classes.
    StoreError
        If the folder cannot be written.
    """
    table, classes = folder / TABLE_NAME, list(confidence_thresholds)
    masks, scores = _choose(table, confidence_thresholds)
    regions = outlines_of(folder)
    counts_of_images = _count_in_images(scores, images)
    wells_of_plates = [_wells(scores, plate, classes, aside) for plate in plates]  # if one is gone, all stays
    with store_errors(str(folder)):
        withdraw_run(folder)
        write_chosen_rows(table, np.concatenate([np.empty(0, bool), *masks.values()]), folder / OBJECTS_NAME)
        write_image_counts(counts_of_images, classes, folder / IMAGE_COUNTS_NAME, aside)
        if regions:
            chosen = (peaks.take(masks[peaks.image]) for peaks in read_detections(table))
            write_region_counts(count_in_regions(regions, chosen), classes, folder / REGION_COUNTS_NAME, aside)
        _remove_stale(folder)
        _write_geojson(folder, masks, classes)
        notes: list[str] = []
        for wells in wells_of_plates:
            plate = wells[0].plate
            target = path_in(folder / PLATES_NAME, plate)
            written = write_plate_report(wells, target, model=model, confidence_thresholds=confidence_thresholds)
            notes += [f"{plate}: {note}" for note in written.notes]
    counts = {name: sum(len(here.get(name, ())) for here in scores.values()) for name in classes}
    return ObjectsReport(folder, dict(confidence_thresholds), counts, tuple(aside), tuple(notes))


def _choose(
    table: Path, confidence_thresholds: Mapping[str, float]
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, Scores]]:
    """Tell for each image which of its rows are objects, and their scores."""
    masks, scores = {}, {}
    for peaks in read_known_detections(table, confidence_thresholds):
        check_name(peaks.image, str(table))
        mask = masks[peaks.image] = object_mask(peaks, confidence_thresholds)
        scores[peaks.image] = object_scores(peaks, mask)
    return masks, scores


def read_known_detections(table: Path, classes: Collection[str]) -> Iterator[PeakColumns]:
    """Read a table of detections image by image, as long as it has no class but these of its run.

    Raises
    ------
    AnnotationError
        If it has others, or cannot be read.
    """
    for peaks in read_detections(table):
        if unknown := sorted(set(peaks.classes) - set(classes)):
            raise AnnotationError(
                f"{table}: expected the classes that {RUN_NAME} names ({', '.join(classes)}), got "
                f"{', '.join(unknown)}: detect again"
            )
        yield peaks


def _count_in_images(scores: Mapping[str, Scores], images: Sequence[str]) -> list[ImageCounts]:
    """Count the objects of each image that was looked at, also where nothing was detected."""
    names = sorted({*map(image_name, images), *scores}, key=natural_key)
    return [ImageCounts(name, {own: len(here) for own, here in scores.get(name, {}).items()}) for name in names]


def _write_geojson(folder: Path, masks: Mapping[str, NDArray[np.bool_]], classes: Sequence[str]) -> None:
    """Write the objects of each image that has some."""
    colors = {name: CLASS_COLORS[i % len(CLASS_COLORS)] for i, name in enumerate(classes)}
    for peaks in read_detections(folder / TABLE_NAME):
        if masks[peaks.image].any():
            path = path_in(folder / GEOJSON_NAME, peaks.image, ".geojson")
            write_geojson(peaks.take(masks[peaks.image]), colors, path)


RESULT_NAMES = (
    *(TABLE_NAME, RUN_NAME, OBJECTS_NAME, IMAGE_COUNTS_NAME, GEOJSON_NAME, PLATES_NAME),
    *(OUTLINES_NAME, REGION_COUNTS_NAME),
)
"""What a detection writes."""


def chosen_before(folder: Path, run: str) -> tuple[dict[str, float], tuple[str, ...]]:
    """Tell what was chosen for results of a run; nothing if there are no results of it.

    Parameters
    ----------
    folder : Path
        Results of `detect`.
    run : str
        Fingerprint of the run.

    Returns
    -------
    (dict of str to float, tuple of str)
        Confidence thresholds by class, and classes whose objects do not count in the shares of others.

    Raises
    ------
    StoreError
        If they are of a newer simsearch.
    """
    try:
        known = read_run(folder)
        if known["run"] == run:
            return dict(known["confidence_thresholds"]), tuple(known.get("aside", ()))
    except StoreError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}, ()


def _remove_stale(folder: Path) -> None:
    """Remove what an earlier run wrote, and nothing else: the folder may be one that somebody works in."""
    for path in (folder / GEOJSON_NAME).rglob("*.geojson"):
        path.unlink()
    for name in REPORT_NAMES:
        for path in (folder / PLATES_NAME).glob(f"*/{name}"):
            remove(path)


def _wells(scores: Mapping[str, Scores], plate: str, classes: Sequence[str], aside: Sequence[str]) -> list[WellSummary]:
    prefix = f"{image_name(plate)}/"
    here = {name: found for name, found in scores.items() if name.startswith(prefix)}
    return summarise_scores(here, plate, classes, aside)


def rethreshold(
    folder: Path, confidence_thresholds: Mapping[str, float], aside: Sequence[str] | None = None
) -> ObjectsReport:
    """Choose other confidence thresholds for the results of a detection, or other objects that shares are of.

    Parameters
    ----------
    folder : Path
        Results of `detect`.
    confidence_thresholds : mapping of str to float
        By class; those of other classes stay as they are.
    aside : sequence of str, optional
        Classes whose objects do not count in the shares of others; by default as it was chosen before.

    Raises
    ------
    StoreError
        If there are no results, or they cannot be written.
    ConfigError
        If there is no such class, a threshold is below what was kept, or no class is left to count.
    """
    finished_run(folder)  # before anything is touched
    with only_writer(folder):
        run = finished_run(folder)
        aside = run.aside if aside is None else list(dict.fromkeys(aside))
        _check_chosen(run, confidence_thresholds, aside)
        thresholds = {**run.thresholds, **confidence_thresholds}
        report = write_objects(folder, thresholds, run.plates, run.images, run.model, aside)
        chosen = {"confidence_thresholds": report.confidence_thresholds, "aside": report.aside}
        said = {**run.content["report"], **chosen, "n_objects": report.n_objects, "notes": report.notes}
        with replacing_text(folder / RUN_NAME) as file:
            json.dump(strict({**run.content, **chosen, "report": said}), file, indent=1, allow_nan=False)
        forget_withdrawn(folder)
    return report


def _check_chosen(run: FinishedRun, confidence_thresholds: Mapping[str, float], aside: Sequence[str]) -> None:
    for name in (*confidence_thresholds, *aside):
        if name not in run.thresholds:
            raise ConfigError(f"expected a class out of {', '.join(run.thresholds)}, got {name!r}: correct the name")
    for name, value in confidence_thresholds.items():
        if not run.floor <= value <= 1:
            raise ConfigError(
                f"class {name}: expected a confidence from {run.floor:g}, below which nothing was kept, to 1, got "
                f"{value:g}: detect again with a lower --floor"
            )
    if aside and set(run.thresholds) == set(aside):
        raise ConfigError(f"expected a class that counts, got all aside ({', '.join(aside)}): name fewer")


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What run.json says of a detection."""

    content: dict[str, Any]
    """All of it."""
    thresholds: dict[str, float]
    """Confidence threshold of each class."""
    floor: float
    """What is of lower confidence was not kept."""
    plates: list[str]
    """Paths or URLs of the plates that were looked at."""
    images: list[str]
    """Paths or URLs of the images."""
    model: str
    """sha256 of the model file."""
    aside: list[str]
    """Classes whose objects do not count in the shares of others."""


_WANTED = "{}: expected results of `simsearch detect`"


def finished_run(folder: Path) -> FinishedRun:
    """Read what is said of the results of a detection.

    Raises
    ------
    StoreError
        If there are none, or they are of a newer simsearch.
    """
    try:
        content = read_run(folder)
        if (workflow := content.get("workflow", "detect")) != "detect":
            raise StoreError(f"{_WANTED.format(folder)}, got those of {workflow!r}: detect again")
        dict(content["report"])
        thresholds = {str(name): float(value) for name, value in content["confidence_thresholds"].items()}
        floor = float(content["options"]["floor"])
        plates, images, aside = ([str(each) for each in content.get(key, ())] for key in ("plates", "images", "aside"))
        return FinishedRun(content, thresholds, floor, plates, images, str(content["model"]).rpartition("@")[2], aside)
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"{_WANTED.format(folder)}, got no {RUN_NAME}: detect again, or check the path") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{_WANTED.format(folder)}, got {error!r}: detect again") from error
