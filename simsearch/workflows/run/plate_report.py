"""What a plate says: a table of its wells, heat maps, and dose response where its plate map has doses."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.dose_response import DoseResponse, fit_dose_response, z_prime
from simsearch.core.notes import but_for
from simsearch.errors import ConfigError
from simsearch.io.ome_zarr.plates.well_grid import WellVariable, well_grid, write_well_grid
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.pictures.dose_curves import DosePanel, draw_dose_response
from simsearch.io.pictures.drawing import try_to_draw, vector_of
from simsearch.io.pictures.heat_maps import draw_heat_maps
from simsearch.io.tables.cells import written
from simsearch.io.tables.plate_maps.control_words import EMPTY
from simsearch.io.tables.plate_maps.treatments import ROLE
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.workflows.run.dose_series import DoseSeries, find_dose_series, understood_wells
from simsearch.workflows.run.plate_summary import WellSummary, write_well_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

WELLS_NAME, GRID_NAME, MAPS_NAME = "wells.csv", "wells.zarr", "heat_maps.png"
DOSES_NAME, CURVES_NAME = "dose_response.csv", "dose_response.png"
_VECTOR_NAMES = tuple(vector_of(Path(name)).name for name in (MAPS_NAME, CURVES_NAME))
REPORT_NAMES = (WELLS_NAME, GRID_NAME, MAPS_NAME, _VECTOR_NAMES[0], DOSES_NAME, CURVES_NAME, _VECTOR_NAMES[1])
"""Files of a report; the last three only where there are doses."""
_N_ALWAYS = 4
_DOSE_COLUMNS = ("drug", "class", "ec50", "low", "high", "unit", "bottom", "top", "slope", "z_prime")
DOSE_TYPES = {name: "string" if name in ("drug", "class", "unit") else "double" for name in _DOSE_COLUMNS}
"""Columns of the table of dose response, and their types."""


@dataclass(frozen=True, slots=True)
class PlateReport:
    """What was written of a plate."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    """What is not in them, and why."""


def write_plate_report(
    wells: Sequence[WellSummary],
    folder: Path,
    *,
    model: str = "",
    confidence_thresholds: Mapping[str, float] | None = None,
) -> PlateReport:
    """Write what the wells of one plate hold.

    Parameters
    ----------
    wells : sequence of WellSummary
        All wells of a plate. Dose response needs a column ``dose`` in its plate map; ``drug``, ``unit`` and ``role``
        (positive_control, negative_control, empty) are used where they are, see `find_dose_series`.
    folder : Path
        Gets ``wells.csv``, ``wells.zarr`` (for xarray) and ``heat_maps.png``, and with at least five doses of a drug
        ``dose_response.csv`` and ``dose_response.png``; pictures also as SVG.
    model : str
        sha256 of the model, to be noted in ``wells.zarr``.
    confidence_thresholds : mapping of str to float, optional
        Of the objects that were counted, to be noted too.

    Returns
    -------
    PlateReport
        The files, and which drugs and wells have no dose response, and why.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    classes = _names(wells)
    wells, notes = understood_wells(wells)
    drugs, left_out = find_dose_series(wells)
    notes += left_out
    maps, curves = folder / MAPS_NAME, folder / CURVES_NAME
    with store_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        write_well_table(wells, folder / WELLS_NAME)
        write_well_grid(_dataset(wells, model, confidence_thresholds or {}), folder / GRID_NAME)
        empty = [well.well for well in wells if well.treatment.get(ROLE) == EMPTY]
        notes += try_to_draw(maps, lambda: draw_heat_maps(_maps(wells), wells[0].plate, maps, crossed=empty))
        if drugs:
            panels, said = zip(*(_panel(drug, classes) for drug in drugs), strict=True)
            notes += [note for some in said for note in some]
            _write_fits(panels, folder / DOSES_NAME)
            notes += try_to_draw(curves, lambda: draw_dose_response(panels, curves, wells[0].aside))
    files = (folder / name for name in (REPORT_NAMES if drugs else REPORT_NAMES[:_N_ALWAYS]))
    return PlateReport(tuple(file for file in files if file.exists()), tuple(dict.fromkeys(notes)))


def _maps(wells: Sequence[WellSummary]) -> dict[str, dict[str, float]]:
    """Choose what heat maps show: the share of each class, and how many objects there are."""
    maps = {}
    for name in _names(wells):
        others = "" if name in wells[0].aside else but_for(wells[0].aside)
        maps[f"{name}: fraction of objects{others}"] = {well.well: well.fraction(name) for well in wells}
    return {**maps, "number of objects": {well.well: float(sum(well.counts.values())) for well in wells}}


def _names(wells: Sequence[WellSummary]) -> list[str]:
    return list(wells[0].counts)


def _dataset(wells: Sequence[WellSummary], model: str, confidence_thresholds: Mapping[str, float]) -> xr.Dataset:
    classes = _names(wells)
    counts = np.array([[well.counts[name] for well in wells] for name in classes], np.float64)
    scores = np.array([[well.mean_scores.get(name, math.nan) for well in wells] for name in classes])
    variables = {
        "count": WellVariable(counts, "number of objects"),
        "fraction": WellVariable(np.array([_fractions(wells, name) for name in classes]), "fraction of objects"),
        "mean_confidence": WellVariable(scores, "mean confidence of objects"),
    }
    dataset = well_grid(variables, classes, [well.well for well in wells], [well.treatment for well in wells])
    thresholds = [confidence_thresholds.get(name, math.nan) for name in classes]
    dataset = dataset.assign_coords(confidence_threshold=("class", thresholds))
    return dataset.assign_attrs(
        plate=wells[0].plate,
        model_sha256=model,
        aside=list(wells[0].aside),
        written_by=f"simsearch {version('simsearch')}",
    )


def _fractions(wells: Sequence[WellSummary], name: str) -> NDArray[np.float64]:
    return np.array([well.fraction(name) for well in wells])


def _panel(series: DoseSeries, classes: Sequence[str]) -> tuple[DosePanel, list[str]]:
    """Fit the response of each class to a drug, and tell of what could not be."""
    fractions = {name: _fractions(series.wells, name) for name in classes}
    fits = {name: fit for name in classes if (fit := _fit(series.doses, fractions[name])) is not None}
    determined = {name: fit for name, fit in fits.items() if math.isfinite(fit.ec50_interval[1])}
    missing: dict[str, list[str]] = {}
    for name in classes:
        if name not in determined:
            why = "the doses do not determine it" if name in fits else "the fraction is the same everywhere"
            missing.setdefault(f"EC50: {why}", []).append(name)
    z_primes = {}
    for name in classes:
        try:
            z_primes[name] = z_prime(_fractions(series.positive, name), _fractions(series.negative, name))
        except ConfigError as error:
            missing.setdefault(f"Z': {error}", []).append(name)
    drug = series.drug or "the drug without a name"
    notes = []
    for what, those in missing.items():
        value, _, why = what.partition(": ")
        notes.append(f"{drug}: no {value} of {', '.join(those)}: {why}")
    return DosePanel(series.drug, series.unit, series.doses, fractions, determined, z_primes), notes


def _fit(doses: NDArray[np.float64], responses: NDArray[np.float64]) -> DoseResponse | None:
    try:
        return fit_dose_response(doses, responses)
    except ConfigError:  # a class whose fraction is the same everywhere has no curve
        return None


def _write_fits(panels: Sequence[DosePanel], path: Path) -> None:
    with replacing_text(path) as file:
        rows = csv.writer(file)
        rows.writerow(DOSE_TYPES)
        for panel in panels:
            for name in panel.fractions:
                fit = panel.fits.get(name)
                curve = (fit.ec50, *fit.ec50_interval) if fit else ("", "", "")
                shape = (fit.bottom, fit.top, fit.slope) if fit else ("", "", "")
                names = written(panel.title), written(name)
                rows.writerow((*names, *curve, written(panel.unit), *shape, panel.z_primes.get(name, "")))
