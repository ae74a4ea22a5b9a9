"""Wells of a plate with what was found in them."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from simsearch.core.peaks import Peak
from simsearch.errors import AnnotationError, ConfigError, SourceError
from simsearch.io.ome_zarr.plates.hierarchy import write_plate
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.workflows.run.plate_summary import WellSummary, summarise_wells, write_well_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simsearch.io.ome_zarr.image import ImageMeta

    SaveImage = Callable[..., ImageMeta]

THRESHOLDS = {"nucleus": 0.5, "cytoplasm": 0.4}


@pytest.fixture(scope="module")
def plate(save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a plate of three wells, the last without a row in the plate map."""
    path = tmp_path_factory.mktemp("plate") / "P1.ome.zarr"
    fields = {Well(0, 0): ["0", "1"], Well(0, 1): ["0"], Well(1, 2): ["0"]}
    zarr.create_group(path, zarr_format=3)
    for well, names in fields.items():
        for name in names:
            save_image(path / well.path / name, np.zeros((1, 8, 8), np.uint8))
    plate_map = [
        {"well": "A01", "drug": "Wortmannin", "dose": 0.9766},
        {"well": "A02", "drug": "DMSO", "dose": 0},
        {"well": "H12", "drug": "none", "dose": 0},
    ]
    write_plate(str(path), fields, name="P1", version="0.5", provenance={"plate_map": plate_map})
    return path


def peak(image: str, class_name: str, score: float, x: float = 100.0) -> Peak:
    return Peak(image, class_name, 100.0, x, (40.0, 40.0), score)


def test_objects_of_all_fields_of_a_well_are_counted(plate: Path) -> None:
    peaks = [
        peak("P1/A/01/0", "nucleus", 0.9),
        peak("P1/A/01/1", "nucleus", 0.7),
        peak("P1/A/01/1", "cytoplasm", 0.5, x=300),
        peak("P1/A/02/0", "cytoplasm", 0.8),
    ]

    first, second, third = summarise_wells(peaks, plate, THRESHOLDS)

    assert (first.plate, first.well) == ("P1", "A01")
    assert first.treatment == {"drug": "Wortmannin", "dose": 0.9766}
    assert first.counts == {"nucleus": 2, "cytoplasm": 1}
    assert first.mean_scores == pytest.approx({"nucleus": 0.8, "cytoplasm": 0.5})
    assert first.fraction("nucleus") == pytest.approx(2 / 3)
    assert second.counts == {"nucleus": 0, "cytoplasm": 1}
    assert math.isnan(second.mean_scores["nucleus"])
    assert second.fraction("nucleus") == 0
    assert (third.well, third.treatment) == ("B03", {})


def test_a_place_counts_once_as_its_best_class(plate: Path) -> None:
    peaks = [
        peak("P1/A/01/0", "nucleus", 0.6),
        peak("P1/A/01/0", "cytoplasm", 0.7, x=110),
        peak("P1/A/01/0", "nucleus", 0.49, x=300),
        peak("P1/A/01/0", "cytoplasm", 0.4, x=500),
    ]

    assert summarise_wells(peaks, plate, THRESHOLDS)[0].counts == {"nucleus": 0, "cytoplasm": 2}


def test_every_well_appears_also_where_nothing_was_found(plate: Path) -> None:
    summaries = summarise_wells([], plate, THRESHOLDS)

    assert [summary.well for summary in summaries] == ["A01", "A02", "B03"]
    assert all(summary.counts == {"nucleus": 0, "cytoplasm": 0} for summary in summaries)
    assert all(math.isnan(summary.fraction("nucleus")) for summary in summaries)


def test_peaks_of_other_images_are_not_counted(plate: Path) -> None:
    peaks = [peak("P1/A/01/0", "nucleus", 0.9), peak("P2/A/01/0", "nucleus", 0.9), peak("slide", "nucleus", 0.9)]

    summaries = summarise_wells(peaks, plate, THRESHOLDS)

    assert [summary.counts["nucleus"] for summary in summaries] == [1, 0, 0]


def test_what_does_not_fit_the_plate_is_refused(plate: Path) -> None:
    with pytest.raises(AnnotationError, match=r"such as P1/A/01/0, got peaks in P2/A/01/0"):
        summarise_wells([peak("P2/A/01/0", "nucleus", 0.9)], plate, THRESHOLDS)
    with pytest.raises(ConfigError, match="got none for debris"):
        summarise_wells([peak("P1/A/01/0", "debris", 0.9)], plate, THRESHOLDS)
    with pytest.raises(SourceError, match="expected a plate"):
        summarise_wells([], plate / "A/01/0", THRESHOLDS)


def test_the_table_has_a_row_for_each_well(plate: Path, tmp_path: Path) -> None:
    peaks = [peak("P1/A/01/0", "nucleus", 0.9), peak("P1/A/01/1", "cytoplasm", 0.5), peak("P1/A/02/0", "nucleus", 0.6)]
    path = tmp_path / "out" / "wells.csv"

    write_well_table(summarise_wells(peaks, plate, THRESHOLDS), path)

    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [
        *("plate", "well", "drug", "dose"),
        *("count nucleus", "fraction nucleus", "mean score nucleus"),
        *("count cytoplasm", "fraction cytoplasm", "mean score cytoplasm"),
    ]
    assert rows == [
        ["P1", "A01", "Wortmannin", "0.9766", "1", "0.500000", "0.900000", "1", "0.500000", "0.500000"],
        ["P1", "A02", "DMSO", "0", "1", "1.000000", "0.600000", "0", "0.000000", ""],
        ["P1", "B03", "", "", "0", "", "", "0", "", ""],
    ]


def test_no_two_columns_have_the_same_name(tmp_path: Path) -> None:
    summary = WellSummary("P1", "A01", {"plate": "barcode 7", "count nucleus": 3}, {"nucleus": 1}, {"nucleus": 0.9})

    write_well_table([summary], tmp_path / "wells.csv")

    header, row = (tmp_path / "wells.csv").read_text().splitlines()
    assert header.split(",")[:4] == ["plate", "well", "plate (plate map)", "count nucleus (plate map)"]
    assert row.split(",")[:5] == ["P1", "A01", "barcode 7", "3", "1"]
