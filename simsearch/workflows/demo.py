"""The main job on two data sets that every installation has: a real tissue image and a synthetic plate."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import skimage.data
from PIL import Image

from simsearch.core.accuracy.metrics import match, precision_recall
from simsearch.core.boxes import Box
from simsearch.core.peaks import objects
from simsearch.core.synthetic import CYTOPLASM, NO_GFP, NUCLEUS, CellField, cell_field, hill
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.tables.peaks import read_peaks
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.curate.exchange import import_annotations
from simsearch.workflows.curate.study import STUDY_NAME, StudyOptions, create_study, open_study
from simsearch.workflows.find.measure import Measurement, measure, write_measurement
from simsearch.workflows.find.search import SearchOptions, SearchReport, search
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.provenance import Timings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from simsearch.core.peaks import Peak
    from simsearch.runtime import Client

CLASSES = (NUCLEUS, CYTOPLASM, NO_GFP)
DOSES_NM = (0.0, 2.0, 8.0, 16.0, 64.0, 250.0)
"""Dose of each column of the synthetic plate, in nM."""

_ROWS, _HALF_DOSE_NM = "AB", 16.0
_FIELD_SHAPE, _N_CELLS, _PIXEL_SIZE_UM = (512, 512), 60, 0.65
_CELL_PATCH, _N_PROTOTYPES = 48, 5
_NUCLEUS_PATCH = 32

# Centres of nuclei in scikit-image's tissue image, pointed at by hand: y, x in pixels.
_NUCLEI = {
    "epithelial nucleus": ((345, 336), (361, 343), (367, 308), (386, 371), (410, 360)),
    "stromal nucleus": ((360, 406), (368, 418), (271, 333), (291, 316), (430, 407)),
}


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo has done and found."""

    folder: Path
    """Where everything is."""
    tissue: SearchReport
    """Search of the tissue image."""
    plate: SearchReport
    """Search of the plate."""
    study: Path
    """A study of the plate to go on with in the browser, with the prototypes drawn."""
    measurement: Measurement
    """Channels of the plate."""
    average_precision: Mapping[str, float]
    """For each class of cells, how well the peaks agree with where the cells are; 1 is perfect."""
    n_cells: Mapping[str, int]
    """How many cells of each class there are."""
    nuclear_fractions: Sequence[tuple[float, float, float]]
    """For each dose in nM, the fraction of GFP cells with GFP in the nucleus: as drawn, and as found."""
    seconds: Mapping[str, float]
    """How long each step took."""


def run_demo(client: Client, folder: Path, *, trunk: str = "bundled", observe: Observer = ignore) -> DemoReport:
    """Convert, measure and search both data sets.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    folder : Path
        Gets the images, the boxes, the results and a study of the plate. What an earlier demo left there is replaced,
        but for the study: somebody may have worked in it.
    trunk : str
        bundled, imagenet or a file.
    observe : callable
        Gets the events.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    folder = folder.absolute()
    timings = Timings(observe)
    with store_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("tissue", "plate"):
            shutil.rmtree(folder / name, ignore_errors=True)
    tissue = _search_tissue(client, folder / "tissue", trunk, timings)
    fields = _draw_plate(np.random.default_rng(0))
    measurement, plate = _search_plate(client, folder / "plate", fields, trunk, timings)
    peaks = read_peaks(plate.folder / "peaks.parquet")
    cells = [cell for field in fields.values() for cell in field.cells]
    return DemoReport(
        folder=folder,
        tissue=tissue,
        plate=plate,
        study=_begin_study(folder, trunk),
        measurement=measurement,
        average_precision={name: _average_precision(peaks, fields, name) for name in CLASSES},
        n_cells={name: sum(cell.class_name == name for cell in cells) for name in CLASSES},
        nuclear_fractions=_dose_response(peaks, fields, plate.suggested_thresholds),
        seconds=timings.seconds,
    )


def _search_tissue(client: Client, folder: Path, trunk: str, observe: Observer) -> SearchReport:
    source, image, boxes = folder / "source/tissue.png", folder / "tissue.ome.zarr", folder / "boxes.csv"
    with store_errors(str(folder)):
        source.parent.mkdir(parents=True)
        Image.fromarray(skimage.data.immunohistochemistry()).save(source)
        side = _NUCLEUS_PATCH
        _write_boxes(boxes, (Box("tissue", c, y, x, side, side) for c, spots in _NUCLEI.items() for y, x in spots))
    convert(client, [source], image, ConvertOptions(), observe)
    return search(
        client, find_image_set([image]), boxes, folder / "results", SearchOptions(trunk=trunk), observe=observe
    )


def _draw_plate(rng: np.random.Generator) -> dict[str, CellField]:
    """Draw a field for each well; more cells have GFP in the nucleus where the dose is higher."""
    return {
        f"{row}/{column:02d}": cell_field(
            rng, _FIELD_SHAPE, n_cells=_N_CELLS, nuclear_fraction=0.05 + 0.9 * hill(dose, _HALF_DOSE_NM)
        )
        for row in _ROWS
        for column, dose in enumerate(DOSES_NM, start=1)
    }


def _search_plate(
    client: Client, folder: Path, fields: Mapping[str, CellField], trunk: str, observe: Observer
) -> tuple[Measurement, SearchReport]:
    with store_errors(str(folder)):
        _write_plate(folder / "source", fields)
        _write_boxes(folder / "boxes.csv", _plate_prototypes(fields))
    options = ConvertOptions(
        plate_pattern=r"(?P<row>[A-P])(?P<column>\d\d)_(?P<channel>\w+)\.tif",
        plate_map=folder / "source/platemap.csv",
        pixel_size_um=(_PIXEL_SIZE_UM, _PIXEL_SIZE_UM),
    )
    convert(client, [folder / "source"], folder / "plate.ome.zarr", options, observe)
    images = find_image_set([folder / "plate.ome.zarr"])
    measurement = measure(client, images, observe=observe)
    write_measurement(measurement, folder / "measure.json")
    chosen = SearchOptions(trunk=trunk, measurement=folder / "measure.json")
    return measurement, search(client, images, folder / "boxes.csv", folder / "results", chosen, observe=observe)


def _begin_study(folder: Path, trunk: str) -> Path:
    """Create a study of the plate, unless there is one, with the prototypes of the search."""
    study, plate = folder / "study", folder / "plate"
    if not (study / STUDY_NAME).exists():
        wells = (f"{row}/{column:02d}" for row in _ROWS for column in (1, len(DOSES_NM) // 2, len(DOSES_NM)))
        options = StudyOptions(
            display=tuple(f"plate/{well}/0" for well in wells), trunk=trunk, measurement=plate / "measure.json"
        )
        create_study(study, [plate / "plate.ome.zarr"], options)
        import_annotations(open_study(study), plate / "boxes.csv", user="demo")
    return study


def _write_plate(folder: Path, fields: Mapping[str, CellField]) -> None:
    folder.mkdir(parents=True)
    for well, field in fields.items():
        for channel, pixels in zip(("GFP", "DNA"), field.image, strict=True):
            Image.fromarray(pixels).save(folder / f"{well.replace('/', '')}_{channel}.tif")
    with (folder / "platemap.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("well", "drug", "dose", "unit"))
        rows.writerows((f"{row}{c:02d}", "synthetic", d, "nM") for row in _ROWS for c, d in enumerate(DOSES_NM, 1))


def _plate_prototypes(fields: Mapping[str, CellField]) -> Iterable[Box]:
    """Point at the first cells of each class that lie wholly inside two wells: lowest and highest dose."""
    half, (height, width) = _CELL_PATCH / 2, _FIELD_SHAPE
    wells = [f"A/{column:02d}" for column in (1, len(DOSES_NM))]
    for name in CLASSES:
        boxes = [
            Box(f"plate/{well}/0", name, round(cell.y, 1), round(cell.x, 1), _CELL_PATCH, _CELL_PATCH)
            for well in wells
            for cell in fields[well].cells
            if cell.class_name == name and half < cell.y < height - half and half < cell.x < width - half
        ]
        yield from boxes[:_N_PROTOTYPES]


def _write_boxes(path: Path, boxes: Iterable[Box]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        # With the role, a study can import what a search reads.
        rows.writerow(("image", "class", "role", "y", "x", "height", "width"))
        rows.writerows((b.image, b.class_name, "prototype", b.y, b.x, b.height, b.width) for b in boxes)


def _average_precision(peaks: Sequence[Peak], fields: Mapping[str, CellField], class_name: str) -> float:
    hits, scores, n_cells = [], [], 0
    for well, field in fields.items():
        found = [p for p in peaks if p.image == f"plate/{well}/0" and p.class_name == class_name]
        truth = np.array([(c.y, c.x) for c in field.cells if c.class_name == class_name]).reshape(-1, 2)
        scores.append(np.array([p.score for p in found]))
        points = np.array([(p.y, p.x) for p in found]).reshape(-1, 2)
        hits.append(match(points, scores[-1], truth, distance=0.3 * _CELL_PATCH))
        n_cells += len(truth)
    return precision_recall(hits, scores, n_cells).average_precision


def _dose_response(
    peaks: Sequence[Peak], fields: Mapping[str, CellField], thresholds: Mapping[str, float]
) -> list[tuple[float, float, float]]:
    """Return for each dose the fraction of GFP cells with GFP in the nucleus, as drawn and as found."""
    response = []
    for column, dose in enumerate(DOSES_NM, start=1):
        wells = [f"{row}/{column:02d}" for row in _ROWS]
        drawn = [cell.class_name for well in wells for cell in fields[well].cells]
        images = {f"plate/{well}/0" for well in wells}
        found = [p.class_name for p in objects([p for p in peaks if p.image in images], thresholds)]
        response.append((dose, _nuclear_fraction(drawn), _nuclear_fraction(found)))
    return response


def _nuclear_fraction(classes: Sequence[str]) -> float:
    n_nuclear, n_cytoplasm = (sum(name == wanted for name in classes) for wanted in (NUCLEUS, CYTOPLASM))
    return n_nuclear / max(n_nuclear + n_cytoplasm, 1)
