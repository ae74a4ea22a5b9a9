"""Which wells of a plate tell how it responds to a drug: its doses and its controls, and why others do not."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.notes import but_for
from simsearch.errors import AnnotationError
from simsearch.io.tables.plate_maps.control_words import EMPTY, NEGATIVE, POSITIVE, is_nothing, role_of_drug
from simsearch.io.tables.plate_maps.treatments import DOSE, DRUG, ROLE, UNIT, named_wells, understand_treatments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simsearch.workflows.run.plate_summary import WellSummary

MIN_DOSES = 5
"""Different doses that a dose response needs."""


@dataclass(frozen=True, slots=True)
class DoseSeries:
    """The wells of a drug."""

    drug: str
    """Empty where the plate map names none."""
    unit: str
    wells: tuple[WellSummary, ...]
    """With a dose and with objects; negative controls at dose 0, where the drug has no well of that dose."""
    doses: NDArray[np.float64]
    """Of each well."""
    positive: tuple[WellSummary, ...]
    """Positive controls: those of the drug, or else all of the plate."""
    negative: tuple[WellSummary, ...]


def understood_wells(wells: Sequence[WellSummary]) -> tuple[list[WellSummary], list[str]]:
    """Read the treatments of wells again: a plate may have been made before simsearch knew its words.

    Returns
    -------
    (list of WellSummary, list of str)
        With drug, dose, unit and role where they are known, and what was not understood.
    """
    names = [well.well for well in wells]
    try:
        found = understand_treatments([well.treatment for well in wells], [f"well {name}" for name in names], names)
    except AnnotationError as error:
        return list(wells), [str(error)]
    read = [replace(well, treatment=treatment) for well, treatment in zip(wells, found.rows, strict=True)]
    return read, list(found.notes)


def find_dose_series(wells: Sequence[WellSummary]) -> tuple[list[DoseSeries], list[str]]:
    """Find the drugs of a plate that have doses enough for a dose response.

    Parameters
    ----------
    wells : sequence of WellSummary
        All wells of a plate, as `understood_wells` returns them. Controls count for all drugs of the plate, but where a
        drug has controls of its own.

    Returns
    -------
    (list of DoseSeries, list of str)
        In the order of the wells; and which drugs and wells are left out, and why.
    """
    columns = list(dict.fromkeys(column for well in wells for column in well.treatment))
    if not columns:
        return [], []
    if DOSE not in columns:
        return [], [f"no dose response: the plate map has no column {DOSE}, but {', '.join(columns)}"]
    by_drug: dict[str, list[WellSummary]] = defaultdict(list)
    for well in wells:
        if (drug := _drug_of(well, wells)) is not None:
            by_drug[drug.casefold()].append(well)
    series: list[DoseSeries] = []
    notes: list[str] = []
    for own in by_drug.values():
        if all(_role(well) in (POSITIVE, NEGATIVE, EMPTY) for well in own):
            continue  # a control and no more
        one, said = _series(own, wells)
        notes += said
        if (n_doses := len(np.unique(one.doses))) < MIN_DOSES:
            notes.append(f"{_called(one)} has no dose response: {n_doses} different doses, {MIN_DOSES} are needed")
        else:
            series.append(one)
    if not by_drug:
        notes.append(f"no dose response: the column {DRUG} names controls only")
    return series, notes


def _drug_of(well: WellSummary, wells: Sequence[WellSummary]) -> str | None:
    """Name the drug of a well; None where it is a control of any, or nothing."""
    name = _text(well, DRUG)
    if name and not is_nothing(name):
        return None if role_of_drug(name) and _role(well) in (POSITIVE, NEGATIVE, EMPTY) else name
    has_names = any(_text(each, DRUG) for each in wells)
    return None if has_names else ""


def _series(own: Sequence[WellSummary], wells: Sequence[WellSummary]) -> tuple[DoseSeries, list[str]]:
    """Gather the doses and controls of a drug, and tell of wells that are left out."""
    drug = _text(own[0], DRUG)
    positive, negative = (_controls(role, own, wells) for role in (POSITIVE, NEGATIVE))
    usable = [well for well in own if _holds_some(well)]
    dosed = [(well, dose) for well in usable if (dose := _dose(well)) is not None]
    if not any(dose == 0 for _, dose in dosed):
        names = {well.well for well, _ in dosed}
        dosed = [(well, 0.0) for well in negative if well.well not in names] + dosed
    unit = next((_text(well, UNIT) for well in own if _dose(well) and _text(well, UNIT)), _text(own[0], UNIT))
    series = DoseSeries(
        drug, unit, tuple(well for well, _ in dosed), np.array([dose for _, dose in dosed], float), positive, negative
    )
    lacking = [well.well for well in usable if _dose(well) is None and _role(well) not in (POSITIVE, NEGATIVE)]
    empty = [well.well for well in own if not _holds_some(well) and _role(well) != EMPTY]
    notes = (
        [f"{_called(series)}: wells without a dose of 0 or more are left out: {named_wells(lacking)}"]
        if lacking
        else []
    )
    if empty:
        notes.append(
            f"{_called(series)}: wells without objects{but_for(own[0].aside)} are left out: {named_wells(empty)}"
        )
    return series, notes + _borrowed(series)


def _controls(role: str, own: Sequence[WellSummary], wells: Sequence[WellSummary]) -> tuple[WellSummary, ...]:
    mine, all_of_them = (
        tuple(well for well in some if _role(well) == role and _holds_some(well)) for some in (own, wells)
    )
    return mine or all_of_them


def _borrowed(series: DoseSeries) -> list[str]:
    """Tell of controls that carry the name of something else."""
    notes = []
    for role, controls in ((NEGATIVE, series.negative), (POSITIVE, series.positive)):
        if controls and _text(controls[0], DRUG).casefold() != series.drug.casefold():
            of = ", ".join(dict.fromkeys(_text(well, DRUG) or "no drug" for well in controls))
            names = named_wells([well.well for well in controls])
            notes.append(f"{_called(series)}: {role.replace('_', ' ')}s are wells of {of}: {names}")
    return notes


def _holds_some(well: WellSummary) -> bool:
    return any(n for name, n in well.counts.items() if name not in well.aside) and _role(well) != EMPTY


def _dose(well: WellSummary) -> float | None:
    """Return the dose of a well; some plate maps write -1 for none."""
    dose = well.treatment.get(DOSE)
    if isinstance(dose, int | float) and not isinstance(dose, bool):
        return float(dose) if 0 <= dose < math.inf else None
    return 0.0 if _role(well) == NEGATIVE else None


def _role(well: WellSummary) -> str:
    return _text(well, ROLE)


def _text(well: WellSummary, column: str) -> str:
    value = well.treatment.get(column)
    return "" if value is None else str(value).strip()


def _called(series: DoseSeries) -> str:
    return series.drug or "the drug without a name"
