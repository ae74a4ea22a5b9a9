"""From detections to objects: what is above the thresholds, as tables, GeoJSON and plate reports. No pixel is read."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.peaks import Peak, object_indices
from simsearch.errors import ConfigError, StoreError
from simsearch.io.geojson import write_detections as write_geojson
from simsearch.io.overlay import CLASS_COLORS
from simsearch.io.peak_table import read_peaks, write_chosen_rows
from simsearch.io.stores import image_name
from simsearch.io.writing import store_errors
from simsearch.workflows.plate_report import REPORT_NAMES, write_plate_report
from simsearch.workflows.plate_summary import summarise_wells
from simsearch.workflows.tiles import LOG_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simsearch.workflows.plate_summary import WellSummary

TABLE_NAME, RUN_NAME = "detections.parquet", "run.json"
OBJECTS_NAME, GEOJSON_NAME, PLATES_NAME = "objects.csv", "geojson", "plates"


@dataclass(frozen=True, slots=True)
class ObjectsReport:
    """What is above the thresholds."""

    folder: Path
    """Where the results are."""
    confidence_thresholds: Mapping[str, float]
    """For each class."""
    n_objects: Mapping[str, int]
    """Number of objects of each class, each place as its most probable class."""


def write_objects(folder: Path, confidence_thresholds: Mapping[str, float], plates: Sequence[str]) -> ObjectsReport:
    """Write the objects among the detections of a folder, in place of those of other thresholds.

    Parameters
    ----------
    folder : Path
        With ``detections.parquet``. Gets ``objects.csv``, ``geojson/IMAGE.geojson`` for QuPath, and ``plates/PLATE``
        with a table of wells, heat maps and dose response.
    confidence_thresholds : mapping of str to float
        Lowest confidence of an object of each class.
    plates : sequence of str
        Paths or URLs of the plates that were looked at.

    Raises
    ------
    AnnotationError
        If there is no such table.
    StoreError
        If the folder cannot be written.
    """
    peaks = read_peaks(folder / TABLE_NAME)
    indices = sorted(object_indices(peaks, confidence_thresholds))
    colors = {name: CLASS_COLORS[i % len(CLASS_COLORS)] for i, name in enumerate(confidence_thresholds)}
    by_image: dict[str, list[Peak]] = defaultdict(list)
    for index in indices:
        by_image[peaks[index].image].append(peaks[index])
    objects = [peak for here in by_image.values() for peak in here]
    wells_of_plates = [_wells(objects, plate, confidence_thresholds) for plate in plates]  # if one is gone, all stays
    with store_errors(str(folder)):
        write_chosen_rows(folder / TABLE_NAME, indices, folder / OBJECTS_NAME)
        _remove_stale(folder)
        for name, here in by_image.items():
            write_geojson(here, colors, folder / GEOJSON_NAME / f"{name}.geojson")
        for wells in wells_of_plates:
            write_plate_report(wells, folder / PLATES_NAME / wells[0].plate)
    counts = {name: sum(peaks[i].class_name == name for i in indices) for name in confidence_thresholds}
    return ObjectsReport(folder, dict(confidence_thresholds), counts)


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse to begin in a folder that holds something else by the names of results.

    Raises
    ------
    StoreError
        If there is something, no detection was begun there, and it is not to be overwritten.
    """
    names = (TABLE_NAME, RUN_NAME, OBJECTS_NAME, GEOJSON_NAME, PLATES_NAME)
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite and not (folder / LOG_NAME).exists():
        raise StoreError(f"{folder}: expected a new folder, got {there[0]} in it: add --overwrite or name another")


def _remove_stale(folder: Path) -> None:
    """Remove what an earlier run wrote, and nothing else: the folder may be one that somebody works in."""
    for path in (folder / GEOJSON_NAME).rglob("*.geojson"):
        path.unlink()
    for name in REPORT_NAMES:
        for path in (folder / PLATES_NAME).glob(f"*/{name}"):
            path.unlink()


def _wells(objects: Sequence[Peak], plate: str, confidence_thresholds: Mapping[str, float]) -> list[WellSummary]:
    prefix = f"{image_name(plate)}/"
    return summarise_wells([peak for peak in objects if peak.image.startswith(prefix)], plate, confidence_thresholds)


def rethreshold(folder: Path, confidence_thresholds: Mapping[str, float]) -> ObjectsReport:
    """Choose other confidence thresholds for the results of a detection.

    Parameters
    ----------
    folder : Path
        Results of `detect`.
    confidence_thresholds : mapping of str to float
        By class; those of other classes stay as they are.

    Raises
    ------
    StoreError
        If there are no results, or they cannot be written.
    ConfigError
        If there is no such class, or a threshold is below what was kept.
    """
    path = folder / RUN_NAME
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        known, floor, plates = run["confidence_thresholds"], run["options"]["floor"], run["plates"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder}: expected results of `simsearch detect`, got {error!r}: detect again") from error
    for name, value in confidence_thresholds.items():
        if name not in known:
            raise ConfigError(f"expected a class out of {', '.join(known)}, got {name!r}: correct the name")
        if not floor <= value <= 1:
            raise ConfigError(
                f"class {name}: expected a confidence from {floor:g}, below which nothing was kept, to 1, got "
                f"{value:g}: detect again with a lower --floor"
            )
    report = write_objects(folder, {**known, **confidence_thresholds}, plates)
    with store_errors(str(path)):
        partial = path.with_suffix(".partial")
        partial.write_text(
            json.dumps({**run, "confidence_thresholds": report.confidence_thresholds}, indent=1), encoding="utf-8"
        )
        partial.replace(path)
    return report
