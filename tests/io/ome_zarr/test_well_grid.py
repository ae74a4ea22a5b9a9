"""Wells laid out as on the plate come back from Zarr, with what the plate map says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr

from simsearch.errors import StoreError
from simsearch.io.ome_zarr.plates.well_grid import WellVariable, well_grid, write_well_grid

if TYPE_CHECKING:
    from pathlib import Path

WELLS = ("A01", "H12", "C05", "left/upper")
COUNTS = np.array([[1.0, 2.0, 3.0, 9.0], [4.0, 5.0, np.nan, 9.0]])
TREATMENTS = (
    {"drug": "Wortmannin", "dose": 0.5, "unit": "nM", "cells / well": 7, "count": 3},
    {"drug": "DMSO", "dose": 0, "unit": "nM"},
    {},
    {"drug": "nowhere"},
)


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return well_grid(
        {"count": WellVariable(COUNTS, "number of objects")}, ("nucleus", "cytoplasm"), WELLS, TREATMENTS
    ).assign_attrs(model_sha256="ab" * 32)


def test_each_well_is_where_it_is_on_the_plate(dataset: xr.Dataset) -> None:
    count = dataset["count"]
    assert (count.dims, count.shape) == (("class", "row", "column"), (2, 8, 12))
    assert count.attrs == {"long_name": "number of objects", "units": "1"}
    assert count.sel({"class": "nucleus", "row": "H", "column": 12}) == 2
    assert count.sel({"class": "cytoplasm", "row": "A", "column": 1}) == 4
    assert int(count.notnull().sum()) == 5
    assert dataset["well"].sel(row="C", column=5) == "C05"
    assert (dataset["well"] != "").sum() == 3


def test_the_plate_map_is_in_the_coordinates(dataset: xr.Dataset) -> None:
    assert set(dataset.coords) == {
        *("class", "row", "column", "well", "drug", "dose", "unit", "cells_well", "plate_map_count"),
    }
    assert dataset["dose"].dtype == np.float64
    assert dataset["dose"].attrs == {"units": "nM"}
    assert dataset["dose"].sel(row="H", column=12) == 0
    assert np.isnan(dataset["dose"].sel(row="C", column=5))
    assert dataset["drug"].sel(row="A", column=1) == "Wortmannin"
    assert dataset["drug"].sel(row="C", column=5) == ""
    assert float(dataset["count"].where(dataset["drug"] == "DMSO").sum()) == 7


def test_zarr_gives_it_back_and_replaces_what_is_there(dataset: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "wells.zarr"
    write_well_grid(dataset.drop_vars("drug"), path)
    write_well_grid(dataset, path)
    assert [each.name for each in tmp_path.iterdir()] == ["wells.zarr"]
    with xr.open_zarr(path) as found:
        xr.testing.assert_identical(found.load(), dataset)


def test_a_place_that_cannot_be_written_is_named(dataset: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"wells\.zarr: expected to write"):
        write_well_grid(dataset, tmp_path / "file" / "wells.zarr")
