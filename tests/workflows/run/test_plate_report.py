"""What is written of a plate: planted dose responses come back, and what is missing is no trouble."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from simsearch.core.dose_response import z_prime
from simsearch.errors import StoreError
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.workflows.run.plate_report import write_plate_report
from simsearch.workflows.run.plate_summary import WellSummary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DOSES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
EC50 = {"Wortmannin": 12.0, "LY294002": 40.0}
CONTROL = {"negative_control": 0.1, "positive_control": 0.9}
"""Fraction of nuclei in controls."""
ALWAYS = ["wells.csv", "wells.zarr", "heat_maps.png", "heat_maps.svg"]
FITS = ["dose_response.csv", "dose_response.png", "dose_response.svg"]


def well(index: int, treatment: dict[str, Any], counts: dict[str, int]) -> WellSummary:
    scores = {name: 0.9 if count else math.nan for name, count in counts.items()}
    return WellSummary("P1", Well(index // 12, index % 12).name, treatment, counts, scores)


def planted(drug: str, first: int = 0, seed: int = 0) -> list[WellSummary]:
    """Give a drug three wells a dose, in which cells go from the cytoplasm to the nucleus, and controls."""
    rng, wells = np.random.default_rng(seed), []
    series = [(dose, "dose_series", 0.1 + 0.8 * dose / (dose + EC50[drug])) for dose in DOSES[1:]]
    series += [(0.0 if role == "negative_control" else 9000.0, role, share) for role, share in CONTROL.items()]
    for dose, role, share in [each for each in series for _ in range(3)]:
        n_nuclei = int(rng.binomial(500, share))
        treatment = {"drug": drug, "dose": dose, "unit": "nM", "role": role}
        wells.append(well(first + len(wells), treatment, {"nucleus": n_nuclei, "cytoplasm": 500 - n_nuclei, "none": 0}))
    return wells


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fits_of(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["drug"], row["class"]): row for row in rows_of(folder / "dose_response.csv")}


def report(wells: Sequence[WellSummary], folder: Path) -> list[str]:
    """Write the report, check that the files that it names are there and no other, and name them."""
    thresholds = dict.fromkeys(wells[0].counts, 0.6)
    files = write_plate_report(wells, folder, model="ab" * 32, confidence_thresholds=thresholds).files
    assert sorted(files) == sorted(folder.iterdir())
    for file in files:
        if file.suffix == ".png":
            with Image.open(file) as image:
                assert image.format == "PNG"
                assert len(np.unique(np.asarray(image.convert("L")))) > 10
    return [file.name for file in files]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[WellSummary], Path]:
    """Write a report of two drugs."""
    wells = planted("Wortmannin") + planted("LY294002", first=48, seed=1)
    folder = tmp_path_factory.mktemp("report") / "P1"
    assert report(wells, folder) == ALWAYS + FITS
    return wells, folder


@pytest.mark.parametrize("drug", EC50)
@pytest.mark.parametrize(("class_name", "bottom", "top"), [("nucleus", 0.1, 0.9), ("cytoplasm", 0.9, 0.1)])
def test_a_planted_response_comes_back(
    both: tuple[list[WellSummary], Path], drug: str, class_name: str, bottom: float, top: float
) -> None:
    row = fits_of(both[1])[drug, class_name]
    assert row["unit"] == "nM"
    ec50, low, high = (float(row[name]) for name in ("ec50", "low", "high"))
    assert low < EC50[drug] < high
    assert low < ec50 < high
    assert ec50 == pytest.approx(EC50[drug], rel=0.25)
    assert high / low < 2
    assert (float(row["bottom"]), float(row["top"])) == pytest.approx((bottom, top), abs=0.06)
    assert float(row["slope"]) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("drug", EC50)
def test_controls_tell_how_good_the_assay_is(both: tuple[list[WellSummary], Path], drug: str) -> None:
    wells, folder = both
    positive, negative = (
        [each.fraction("nucleus") for each in wells if (each.treatment["drug"], each.treatment["role"]) == (drug, role)]
        for role in ("positive_control", "negative_control")
    )
    assert (len(positive), len(negative)) == (3, 3)
    found = float(fits_of(folder)[drug, "nucleus"]["z_prime"])
    assert found == pytest.approx(z_prime(positive, negative))
    assert 0.5 < found < 1


def test_a_class_whose_fraction_never_changes_has_no_curve(both: tuple[list[WellSummary], Path]) -> None:
    _, folder = both
    assert len(fits_of(folder)) == 6
    row = fits_of(folder)["Wortmannin", "none"]
    assert {name: row[name] for name in ("ec50", "low", "high", "bottom", "top", "slope", "z_prime")} == dict.fromkeys(
        ("ec50", "low", "high", "bottom", "top", "slope", "z_prime"), ""
    )


def test_each_well_has_its_row(both: tuple[list[WellSummary], Path]) -> None:
    wells, folder = both
    rows = rows_of(folder / "wells.csv")
    assert [(row["well"], row["drug"], float(row["dose"])) for row in rows] == [
        (each.well, each.treatment["drug"], each.treatment["dose"]) for each in wells
    ]
    assert [int(row["count nucleus"]) for row in rows] == [each.counts["nucleus"] for each in wells]


def test_xarray_opens_what_the_table_says(both: tuple[list[WellSummary], Path]) -> None:
    wells, folder = both
    with xr.open_zarr(folder / "wells.zarr") as found:
        assert set(found.data_vars) == {"count", "fraction", "mean_confidence"}
        assert dict(found.sizes) == {"class": 3, "row": 8, "column": 12}
        assert (found.attrs["plate"], found.attrs["model_sha256"]) == ("P1", "ab" * 32)
        assert found["confidence_threshold"].sel({"class": "nucleus"}) == 0.6
        stacked = found.load().stack(well_index=("row", "column")).set_index(well_index="well")
    for each in wells:
        here = stacked.sel(well_index=each.well)
        assert here["count"].values.tolist() == list(each.counts.values())
        assert here["fraction"].sel({"class": "nucleus"}) == pytest.approx(each.fraction("nucleus"))
        assert (here["drug"].item(), here["dose"].item()) == (each.treatment["drug"], each.treatment["dose"])
    n_known = int(stacked["count"].notnull().sum())
    assert n_known == 3 * len(wells)


def test_one_class_alone_has_no_curve_and_no_trouble(tmp_path: Path) -> None:
    wells = [well(i, {"drug": "a", "dose": dose}, {"cell": 7}) for i, dose in enumerate(DOSES)]
    assert report(wells, tmp_path) == ALWAYS + FITS
    assert fits_of(tmp_path)["a", "cell"]["ec50"] == ""


def test_a_response_that_is_only_noise_has_no_ec50(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    counts = [int(n) for n in rng.binomial(500, 0.5, 30)]
    wells = [
        well(i, {"drug": "a", "dose": DOSES[i % 10]}, {"nucleus": n, "cytoplasm": 500 - n})
        for i, n in enumerate(counts)
    ]
    assert report(wells, tmp_path) == ALWAYS + FITS
    assert {row["ec50"] for row in rows_of(tmp_path / "dose_response.csv")} == {""}


def test_drugs_of_fewer_than_five_doses_are_left_out(tmp_path: Path) -> None:
    few = [each for each in planted("LY294002", first=48) if each.treatment["dose"] in DOSES[:4]]
    assert {each.treatment["dose"] for each in few} == {0, 1, 2, 4}
    assert report(few, tmp_path / "few") == ALWAYS
    assert report(planted("Wortmannin") + few, tmp_path / "both") == ALWAYS + FITS
    assert {drug for drug, _ in fits_of(tmp_path / "both")} == {"Wortmannin"}
    assert len(rows_of(tmp_path / "both" / "wells.csv")) == len(planted("Wortmannin")) + len(few)


def test_empty_wells_tell_nothing(tmp_path: Path) -> None:
    wells = planted("Wortmannin")
    report(wells, tmp_path / "without")
    dirt = [
        well(60 + i, {"drug": "Wortmannin", "dose": dose, "unit": "nM", "role": "empty"}, counts)
        for i, dose in enumerate(DOSES)
        for counts in [{"nucleus": 0, "cytoplasm": 3, "none": 2}]
    ]
    nothing = [
        well(
            80 + i, {"drug": "Wortmannin", "dose": 256.0, "unit": "nM", "role": role}, dict.fromkeys(wells[0].counts, 0)
        )
        for i, role in enumerate(("dose_series", "positive_control"))
    ]
    report([*wells, *dirt, *nothing], tmp_path / "with")
    found = [(tmp_path / name / "dose_response.csv").read_text() for name in ("without", "with")]
    assert found[0] == found[1]
    assert len(rows_of(tmp_path / "with" / "wells.csv")) == len(wells) + 12


def test_without_a_plate_map_there_are_tables_and_heat_maps(tmp_path: Path) -> None:
    wells = [well(i, {}, {"nucleus": i, "cytoplasm": 3}) for i in range(20)]
    assert report(wells, tmp_path) == ALWAYS


def test_doses_with_units_are_numbers_also_on_plates_of_old(tmp_path: Path) -> None:
    wells = planted("Wortmannin")
    written = [
        replace(each, treatment={**each.treatment, "dose": f"{each.treatment['dose']} nM", "unit": ""})
        for each in wells
    ]
    assert report(written, tmp_path / "text") == report(wells, tmp_path / "number") == ALWAYS + FITS
    assert fits_of(tmp_path / "text") == fits_of(tmp_path / "number")


def notes_of(wells: Sequence[WellSummary], folder: Path) -> str:
    return "\n".join(write_plate_report(wells, folder).notes)


def changed(wells: Sequence[WellSummary], of: str, **treatment: Any) -> list[WellSummary]:  # noqa: ANN401  cells
    return [
        replace(each, treatment={**each.treatment, **treatment}) if each.treatment["role"] == of else each
        for each in wells
    ]


def test_controls_count_for_the_drug_without_its_name(tmp_path: Path) -> None:
    wells = planted("Wortmannin")
    named = changed(wells, "negative_control", drug="DMSO", role="", dose="")
    named = changed(named, "positive_control", drug="Staurosporine", dose=1000.0)

    assert report(named, tmp_path / "named") == report(wells, tmp_path / "own") == ALWAYS + FITS
    found, own = (fits_of(tmp_path / name)["Wortmannin", "nucleus"] for name in ("named", "own"))
    assert found["z_prime"] == own["z_prime"] != ""
    assert set(fits_of(tmp_path / "named")) == set(fits_of(tmp_path / "own"))
    assert 0.5 < float(found["ec50"]) / EC50["Wortmannin"] < 2
    notes = notes_of(named, tmp_path / "again")
    assert "Wortmannin: negative controls are wells of DMSO: " in notes
    assert "Wortmannin: positive controls are wells of Staurosporine: " in notes


def test_controls_of_the_plate_are_dose_0_of_a_drug_without_one(tmp_path: Path) -> None:
    wells = [each for each in planted("Wortmannin") if each.treatment["dose"] in (0, 1, 4, 16, 64)]
    with_controls = changed(wells, "negative_control", drug="DMSO", dose="")
    assert report(with_controls, tmp_path / "with") == ALWAYS + FITS
    without = [each for each in wells if each.treatment["role"] != "negative_control"]
    assert report(without, tmp_path / "without") == ALWAYS
    assert "Wortmannin has no dose response: 4 different doses, 5 are needed" in notes_of(without, tmp_path / "notes")


def test_what_is_left_out_of_a_dose_response_is_told(tmp_path: Path) -> None:
    wells = planted("Wortmannin")
    odd = [
        well(90, {"drug": "wortmannin", "dose": "n/a", "role": ""}, {"nucleus": 5, "cytoplasm": 5, "none": 0}),
        well(91, {"drug": "Wortmannin", "dose": -1, "role": ""}, {"nucleus": 5, "cytoplasm": 5, "none": 0}),
        well(92, {"drug": "Wortmannin", "dose": "5 nM", "role": ""}, {"nucleus": 0, "cytoplasm": 0, "none": 0}),
        well(93, {"drug": "Taxol", "dose": 5, "role": "contrl"}, {"nucleus": 5, "cytoplasm": 5, "none": 0}),
    ]
    notes = notes_of([*wells, *odd], tmp_path)
    for said in (
        "well H07, column dose: 'n/a' is no dose, and so left out: H07",
        "Wortmannin: wells without a dose of 0 or more are left out: H07, H08",
        "Wortmannin: wells without objects are left out: H09",
        "Taxol has no dose response: ",
        "role 'contrl' is neither positive_control, negative_control, empty nor sample: H10",
        "Wortmannin: no EC50 of none: the fraction is the same everywhere",
        "Wortmannin: no Z' of none: expected controls of different means",
    ):
        assert said in notes


@pytest.mark.parametrize(
    ("treatment", "said"),
    [
        ({"drug": "a", "conz": 5}, "no dose response: the plate map has no column dose, but drug, conz"),
        ({"drug": "DMSO", "dose": 0}, "the column drug names controls only"),
        ({"drug": "a", "dose": "1,234"}, "well A01, column dose: expected a dose, got '1,234'"),
        ({}, ""),
    ],
)
def test_why_there_is_no_dose_response_at_all(tmp_path: Path, treatment: dict[str, Any], said: str) -> None:
    assert said in (notes := notes_of([well(0, treatment, {"cell": 7})], tmp_path))
    assert bool(said) == bool(notes)


def test_an_empty_z_prime_is_explained(tmp_path: Path) -> None:
    wells = [each for each in planted("Wortmannin") if each.treatment["role"] != "positive_control"]
    notes = notes_of(wells, tmp_path)
    assert "no Z' of nucleus, cytoplasm, none: expected responses of at least 2 wells of positive controls" in notes


def test_a_plate_map_of_doses_alone_is_enough(tmp_path: Path) -> None:
    counts = [each.counts for each in planted("Wortmannin")]
    wells = [well(i, {"dose": each.treatment["dose"]}, counts[i]) for i, each in enumerate(planted("Wortmannin"))]
    assert report(wells, tmp_path) == ALWAYS + FITS
    row = fits_of(tmp_path)["", "nucleus"]
    assert (row["unit"], row["z_prime"]) == ("", "")
    assert float(row["low"]) < EC50["Wortmannin"] < float(row["high"])


def test_a_plate_without_objects_is_no_trouble(tmp_path: Path) -> None:
    wells = [well(i, {"drug": "a", "dose": dose}, {"nucleus": 0, "cytoplasm": 0}) for i, dose in enumerate(DOSES)]
    assert report(wells, tmp_path) == ALWAYS
    assert {row["fraction nucleus"] for row in rows_of(tmp_path / "wells.csv")} == {""}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/P1: expected to write"):
        write_plate_report(planted("Wortmannin"), tmp_path / "file" / "P1")


def test_numbers_below_zero_are_no_doses(tmp_path: Path) -> None:
    wells = planted("Wortmannin")
    odd = well(95, {"drug": "Wortmannin", "dose": -1, "unit": "nM"}, {"nucleus": 5, "cytoplasm": 5, "none": 0})

    assert report([*wells, odd], tmp_path / "with") == report(wells, tmp_path / "without") == ALWAYS + FITS
    assert fits_of(tmp_path / "with") == fits_of(tmp_path / "without")


def test_pictures_that_cannot_be_drawn_cost_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wells = planted("Wortmannin")
    before = report(wells, tmp_path / "drawn")
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: 1 / 0)
    written = write_plate_report(wells, tmp_path / "not")
    pictures = [name for name in before if name.endswith((".png", ".svg"))]
    assert [file.name for file in written.files] == [name for name in before if name not in pictures]
    for name in [name for name in pictures if name.endswith(".png")]:  # one note for both kinds
        assert any(note.startswith(f"{name} was not drawn: ZeroDivisionError") for note in written.notes)
