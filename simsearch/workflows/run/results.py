"""Results of a study, as far as they are looked at and downloaded: read from the files that runs left."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsearch.core.checks.json_text import parse_json
from simsearch.core.checks.names import natural_key
from simsearch.errors import AnnotationError, SimSearchError, StoreError
from simsearch.io.ome_zarr.plates.wells import parse_well
from simsearch.io.tables.records.results_folder import RUN_NAME
from simsearch.workflows.run.image_counts import IMAGE_COUNTS_NAME, ImageCounts, read_image_counts
from simsearch.workflows.run.objects import GEOJSON_NAME, OBJECTS_NAME, PLATES_NAME, TABLE_NAME
from simsearch.workflows.run.plate_report import CURVES_NAME, DOSES_NAME, MAPS_NAME, REPORT_NAMES, WELLS_NAME
from simsearch.workflows.run.region_counts import OUTLINES_NAME, REGION_COUNTS_NAME, RegionCounts, read_region_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from simsearch.workflows.curate.study import Study

RESULTS_NAME = "results"
_COUNT, _FRACTION, _SCORE = "count ", "fraction ", "mean score "


@dataclass(frozen=True, slots=True)
class WellResult:
    """What a well holds."""

    well: str
    """Such as A01."""
    row: int
    """From 0."""
    column: int
    """From 0."""
    treatment: Mapping[str, str]
    """What the plate map says of it."""
    counts: Mapping[str, int]
    """Objects by class."""
    fractions: Mapping[str, float | None]
    """Share of each class in all objects that count; None of a well without any."""


@dataclass(frozen=True, slots=True)
class DoseFit:
    """How a class's share depends on the dose of a drug."""

    drug: str
    class_name: str
    ec50: float | None
    """None where no curve could be fitted."""
    interval: tuple[float, float] | None
    """95 % interval of it."""
    unit: str
    bottom: float | None
    top: float | None
    slope: float | None
    z_prime: float | None
    """Z'-factor; None without controls."""


@dataclass(frozen=True, slots=True)
class PlateResult:
    """What a plate holds."""

    name: str
    wells: tuple[WellResult, ...]
    doses: tuple[DoseFit, ...]
    """Empty without doses in the plate map."""
    heat_maps: Path | None
    """Picture of the wells, where there is one."""
    curves: Path | None
    """Picture of the dose response, where there is one."""


@dataclass(frozen=True, slots=True)
class AreaResult:
    """How much of an image is of a class."""

    image: str
    class_name: str
    n_pixels: int
    mm2: float | None
    """None where the size of pixels is not known."""
    of_tissue: float | None
    """Share of the tissue; None where there is none."""
    of_image: float


@dataclass(frozen=True, slots=True)
class ResultView:
    """A finished run over images."""

    id: str
    """Name of its folder."""
    kind: str
    """detect or segment."""
    folder: Path
    model: str
    """sha256 of the model."""
    finished: str
    """When, in ISO 8601."""
    classes: tuple[str, ...]
    n_images: int
    n_objects: Mapping[str, int]
    """Of a detection, by class, at its confidence thresholds."""
    confidence_thresholds: Mapping[str, float]
    """Of a detection."""
    aside: tuple[str, ...]
    """Of a detection: classes whose objects do not count in the shares of others."""
    images: tuple[ImageCounts, ...]
    """Of a detection: objects in each image."""
    plates: tuple[PlateResult, ...]
    """Of a detection on plates."""
    areas: tuple[AreaResult, ...]
    """Of a segmentation."""
    labels: tuple[str, ...]
    """Of a segmentation: OME-Zarr labels, path or URL, in the order of the images."""
    overlays: tuple[Path, ...]
    """Of a segmentation: pictures."""
    failures: tuple[tuple[str, str], ...]
    """What was left out, and why."""
    files: tuple[Path, ...]
    """What can be downloaded."""
    regions: tuple[RegionCounts, ...] = ()
    """Of a detection in named regions: objects in each."""


def read_results(study: Study) -> list[ResultView]:
    """List the finished runs of a study, the oldest first."""
    runs = (study.folder.absolute() / RESULTS_NAME).glob(f"*/{RUN_NAME}")
    found = [view for path in runs if (view := _read_if_whole(path)) is not None]
    return sorted(found, key=lambda view: view.finished)


def read_result(folder: Path) -> ResultView:
    """Read what a detection or a segmentation gave.

    Raises
    ------
    StoreError
        If there is none, or what is said of it cannot be understood.
    AnnotationError
        If one of its tables is damaged; the message names it.
    """
    try:
        return _read(folder / RUN_NAME)
    except SimSearchError:
        raise
    except FileNotFoundError as error:
        raise StoreError(
            f"{folder}: expected results of `simsearch detect` or `segment`, got none that are complete: check the "
            "path, or run it again"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{folder / RUN_NAME}: expected what `simsearch detect` or `segment` says of its results, got {error!r}: "
            "run it again"
        ) from error


def _read_if_whole(path: Path) -> ResultView | None:
    """Read a run; None where it is just being written, is none, or is damaged."""
    try:
        return _read(path)
    except (SimSearchError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _read(path: Path) -> ResultView:
    folder = path.parent
    run = parse_json(path.read_text(encoding="utf-8"))
    report, classes = run["report"], tuple(run["header"]["classes"][1:])
    is_detection = run["workflow"] == "detect"
    thresholds = {name: float(value) for name, value in run.get("confidence_thresholds", {}).items()}
    with _naming(folder / IMAGE_COUNTS_NAME):
        images = read_image_counts(folder / IMAGE_COUNTS_NAME, classes)
    with _naming(folder / REGION_COUNTS_NAME):
        regions = read_region_counts(folder / REGION_COUNTS_NAME, classes)
    return ResultView(
        id=folder.name,
        kind=run["workflow"],
        folder=folder,
        model=run["model"].rpartition("@")[2],
        finished=run["finished"],
        classes=classes,
        n_images=report["n_images"] if is_detection else len(report["images"]),
        n_objects={name: int(n) for name, n in report["n_objects"].items()} if is_detection else {},
        confidence_thresholds=thresholds,
        aside=tuple(run.get("aside", ())),
        images=tuple(images),
        plates=tuple(_plates(folder, classes)),
        areas=tuple(_areas(folder / "areas.csv")),
        labels=() if is_detection else tuple(each["labels"] for each in report["images"]),
        overlays=tuple(_found(folder / "overlays", "*.png")),
        failures=tuple((name, message) for name, message in report["failures"]),
        files=tuple(_files(folder)),
        regions=tuple(regions),
    )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name a table of results in what is wrong with it."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        got = {KeyError: f"no column {error}", TypeError: "a row that is cut short"}.get(type(error), str(error))
        raise AnnotationError(
            f"{path}: expected a table of results as it was written, got {got}: run it again"
        ) from error


def _plates(folder: Path, classes: Sequence[str]) -> Iterable[PlateResult]:
    for path in sorted((folder / PLATES_NAME).glob(f"*/{WELLS_NAME}")):
        with _naming(path):
            wells = [_well(row, classes) for row in _rows(path)]
        with _naming(path.with_name(DOSES_NAME)):
            doses = [_dose(row) for row in _rows(path.with_name(DOSES_NAME))]
        maps, curves = (each if each.exists() else None for each in map(path.with_name, (MAPS_NAME, CURVES_NAME)))
        yield PlateResult(path.parent.name, tuple(wells), tuple(doses), maps, curves)


def _well(row: Mapping[str, str], classes: Sequence[str]) -> WellResult:
    numbers = {f"{kind}{name}" for name in classes for kind in (_COUNT, _FRACTION, _SCORE)}
    well = parse_well(row["well"])
    return WellResult(
        well=row["well"],
        row=well.row if well else 0,
        column=well.column if well else 0,
        treatment={name: value for name, value in row.items() if name not in numbers | {"plate", "well"}},
        counts={name: int(row[f"{_COUNT}{name}"]) for name in classes},
        fractions={name: _number(row[f"{_FRACTION}{name}"]) for name in classes},
    )


def _dose(row: Mapping[str, str]) -> DoseFit:
    low, high = _number(row["low"]), _number(row["high"])
    return DoseFit(
        drug=row["drug"],
        class_name=row["class"],
        ec50=_number(row["ec50"]),
        interval=(low, high) if low is not None and high is not None else None,
        unit=row["unit"],
        bottom=_number(row["bottom"]),
        top=_number(row["top"]),
        slope=_number(row["slope"]),
        z_prime=_number(row["z_prime"]),
    )


def _areas(path: Path) -> Iterable[AreaResult]:
    with _naming(path):
        for row in _rows(path):
            yield AreaResult(
                image=row["image"],
                class_name=row["class"],
                n_pixels=int(row["pixels"]),
                mm2=_number(row["mm2"]),
                of_tissue=_number(row["fraction_of_tissue"]),
                of_image=float(row["fraction_of_image"]),
            )


def _files(folder: Path) -> Iterable[Path]:
    """List tables, outlines and reports, those that people want most first."""
    tables = OBJECTS_NAME, IMAGE_COUNTS_NAME, REGION_COUNTS_NAME, Path(TABLE_NAME).with_suffix(".csv").name, TABLE_NAME
    for name in (*tables, OUTLINES_NAME, "areas.csv"):
        if (folder / name).exists():
            yield folder / name
    for name in REPORT_NAMES:
        yield from sorted(path for path in (folder / PLATES_NAME).glob(f"*/{name}") if not path.is_dir())
    yield from _found(folder / GEOJSON_NAME, "*.geojson")
    yield folder / RUN_NAME


def _found(folder: Path, pattern: str) -> list[Path]:
    """List the files of images, in natural order."""
    return sorted(folder.rglob(pattern), key=lambda path: natural_key(str(path.with_suffix(""))))


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return list(csv.DictReader(StringIO(path.read_text(encoding="utf-8"), newline="")))


def _number(text: str) -> float | None:
    return float(text) if text else None
