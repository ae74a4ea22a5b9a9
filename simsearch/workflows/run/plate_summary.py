"""What each well of a plate holds: objects of each class, beside its treatment (paper section 3.1)."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.peaks import object_mask, peak_columns
from simsearch.errors import AnnotationError, ConfigError
from simsearch.io.ome_zarr.plates.hierarchy import plate_fields, read_plate_map
from simsearch.io.ome_zarr.plates.wells import Well, make_well, parse_well
from simsearch.io.ome_zarr.stores import as_location, image_name, stem
from simsearch.io.tables.cells import written
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.workflows.run.image_counts import share_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.core.peaks import Peak, PeakColumns

    Scores = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class WellSummary:
    """Objects of a well."""

    plate: str
    """Name of the plate."""
    well: str
    """Name of the well, such as A01."""
    treatment: Mapping[str, Any]
    """The other columns of its row in the plate map; empty if it has none."""
    counts: Mapping[str, int]
    """Number of objects by the name of the class, over all fields of the well."""
    mean_scores: Mapping[str, float]
    """Their mean score; NaN of a class without objects."""
    aside: tuple[str, ...] = ()
    """Classes whose objects do not count in the shares of others."""

    def fraction(self, class_name: str) -> float:
        """Share of a class in all objects that count, see `share_in`; NaN of a well without any.

        Examples
        --------
        >>> WellSummary("P1", "A01", {}, {"nucleus": 3, "debris": 1}, {}).fraction("nucleus")
        0.75
        """
        return share_in(self.counts, class_name, self.aside)


def summarise_wells(
    peaks: Sequence[Peak], plate_path: str | Path, thresholds: Mapping[str, float]
) -> list[WellSummary]:
    """Count the objects of each well of a plate.

    Parameters
    ----------
    peaks : sequence of Peak
        Of a search or a detection in the plate. Those of other images are not counted.
    plate_path : str or Path
        The plate, path or URL.
    thresholds : mapping of str to float
        By the name of each class, the lowest score of an object. A place counts once, as its best class.

    Returns
    -------
    list of WellSummary
        A summary for each well with a field, in the order of the plate's metadata, also where nothing was found.

    Raises
    ------
    SourceError
        If it is not a plate, or breaks the specification.
    AnnotationError
        If there are peaks, but none in this plate.
    ConfigError
        If a class has no threshold.
    """
    missing = sorted({peak.class_name for peak in peaks} - set(thresholds))
    if missing:
        raise ConfigError(
            f"expected a threshold for each class, got none for {', '.join(missing)}: add it, or leave its peaks out"
        )
    scores = {here.image: object_scores(here, object_mask(here, thresholds)) for here in peak_columns(peaks)}
    return summarise_scores(scores, plate_path, list(thresholds))


def object_scores(peaks: PeakColumns, is_object: NDArray[np.bool_]) -> Scores:
    """Gather the scores of the objects among peaks of an image by the names of their classes."""
    indices, scores = peaks.class_index[is_object], peaks.score[is_object]
    return {name: scores[indices == i] for i, name in enumerate(peaks.classes)}


def summarise_scores(
    scores: Mapping[str, Scores], plate_path: str | Path, classes: Sequence[str], aside: Sequence[str] = ()
) -> list[WellSummary]:
    """Summarise what is known to be objects.

    Parameters
    ----------
    scores : mapping of str to mapping of str to (N,) array
        By the name of the image and of the class, the scores of its objects. Other images are not counted.
    plate_path : str or Path
        The plate, path or URL.
    classes : sequence of str
        Names of all classes.
    aside : sequence of str
        Those that do not count in the shares of others.

    Returns
    -------
    list of WellSummary
        As of `summarise_wells`.

    Raises
    ------
    SourceError
        If it is not a plate, or breaks the specification.
    AnnotationError
        If there are images, but none of this plate.
    """
    location = as_location(plate_path)
    fields = plate_fields(location)
    wells = {image_name(field.path): field.well for field in fields}
    plate = stem(location.rsplit("/", 1)[-1])
    if scores and not any(image in wells for image in scores):
        raise AnnotationError(
            f"{plate}: expected peaks in its fields, such as {next(iter(wells), 'none')}, got peaks in "
            f"{next(iter(scores))} and others: name the plate that was searched"
        )
    found: dict[str, list[Scores]] = defaultdict(list)
    for image, here in scores.items():
        if image in wells:
            found[wells[image]].append(here)
    treatments, kept = _treatments(location), tuple(aside)
    return [
        replace(_summary(plate, well, treatments.get(_standard_well(well), {}), found[well], classes), aside=kept)
        for well in dict.fromkeys(field.well for field in fields)
    ]


def write_well_table(summaries: Sequence[WellSummary], path: Path) -> None:
    """Write a CSV file with a row for each well; the plate map's columns stand between its name and its numbers.

    Parameters
    ----------
    summaries : sequence of WellSummary
        Of one plate or more, with the same classes.
    path : Path
        Where to write. What is not known is empty. A column of the plate map with the name of another one gets
        `` (plate map)`` behind it.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    classes = list(dict.fromkeys(name for summary in summaries for name in summary.counts))
    treatment = list(dict.fromkeys(column for summary in summaries for column in summary.treatment))
    numbers = [f"{noun} {name}" for name in classes for noun in ("count", "fraction", "mean score")]
    taken = {"plate", "well", *numbers}
    with replacing_text(path) as file:
        rows = csv.writer(file)
        named = [f"{column} (plate map)" if column in taken else column for column in treatment]
        rows.writerow(["plate", "well", *map(written, named), *numbers])
        for summary in summaries:
            said = (summary.treatment.get(column, "") for column in treatment)
            known = [written(value) if isinstance(value, str) else value for value in said]
            rows.writerow([written(summary.plate), summary.well, *known, *_numbers(summary, classes)])


def _treatments(location: str) -> dict[Well | None, dict[str, Any]]:
    """Return what the plate map says of each well, but for its name."""
    rows = {parse_well(str(row.pop("well", ""))): row for row in read_plate_map(location)}
    rows.pop(None, None)
    return rows


def _standard_well(path: str) -> Well | None:
    row, _, column = path.partition("/")
    return make_well(row, column)


def _summary(
    plate: str,
    well: str,
    treatment: Mapping[str, Any],
    found: Sequence[Scores],
    classes: Sequence[str],
) -> WellSummary:
    standard = _standard_well(well)
    scores = {name: np.concatenate([[], *(here[name] for here in found if name in here)]) for name in classes}
    return WellSummary(
        plate=plate,
        well=standard.name if standard else well,
        treatment=treatment,
        counts={name: len(here) for name, here in scores.items()},
        mean_scores={name: math.fsum(here) / len(here) if len(here) else math.nan for name, here in scores.items()},
    )


def _numbers(summary: WellSummary, classes: Sequence[str]) -> Iterator[str]:
    for name in classes:
        yield str(summary.counts[name])
        for value in (summary.fraction(name), summary.mean_scores[name]):
            yield "" if math.isnan(value) else f"{value:.6f}"
