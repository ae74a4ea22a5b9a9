"""Plates open as trees of lazy fields."""

from __future__ import annotations

import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from ome_zarr_models import open_ome_zarr

from simsearch.errors import ConfigError, SourceError
from simsearch.io.ome_zarr.plates.hierarchy import (
    find_images,
    find_locations,
    image_locations,
    open_plate,
    plate_fields,
    read_plate_map,
    write_plate,
)
from simsearch.io.ome_zarr.plates.wells import Well

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simsearch.io.ome_zarr.writing import ImageTemplate

    WriteImage = Callable[..., ImageTemplate]


@pytest.fixture(params=["0.4", "0.5"])
def plate(request: pytest.FixtureRequest, tmp_path: Path, write_image: WriteImage) -> Path:
    path = tmp_path / "P1.ome.zarr"
    fields = {Well(0, 0): ["0", "7"], Well(1, 2): ["7"]}
    zarr.create_group(path, zarr_format=2 if request.param == "0.4" else 3)
    for well, names in fields.items():
        for name in names:
            pixels = np.full((1, 20, 30), 10 * well.row + int(name), np.uint8)
            write_image(path / well.path / name, pixels, ome_version=request.param)
    plate_map = [{"well": "A01", "drug": "DMSO"}, {"well": "H12", "drug": "Taxol"}]
    write_plate(
        str(path),
        fields,
        others=[Well(7, 11)],
        name="P1",
        version=request.param,
        provenance={"plate_map": plate_map},
    )
    return path


def test_a_plate_validates_and_has_a_standard_size(plate: Path) -> None:
    model = open_ome_zarr(zarr.open_group(plate, mode="r"))
    attributes: Any = model.attributes
    stated = getattr(attributes, "ome", attributes).plate

    assert type(model).__name__ == "HCS"
    assert [row.name for row in stated.rows] == list("ABCDEFGH")
    assert [column.name for column in stated.columns] == [f"{i:02d}" for i in range(1, 13)]
    assert [(well.path, well.rowIndex, well.columnIndex) for well in stated.wells] == [("A/01", 0, 0), ("B/03", 1, 2)]


def test_a_plate_opens_as_a_tree(plate: Path) -> None:
    tree = open_plate(plate)

    assert tree.name == "P1"
    assert tree.attrs["plate_map"] == read_plate_map(plate)
    assert tree["A/01"].attrs["drug"] == "DMSO"
    assert sorted(tree["A/01"].children) == ["0", "7"]
    assert tree["B/03/7"]["image"].chunks is not None
    assert (tree["B/03/7"]["image"].values == 17).all()


def test_plates_are_expanded_into_their_fields(plate: Path, tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "slide.ome.zarr", np.zeros((1, 8, 8), np.uint8))
    images = find_images([plate, tmp_path / "slide.ome.zarr", plate / "A/01"])

    assert [image.name for image in images] == [
        "P1/A/01/0",
        "P1/A/01/7",
        "P1/B/03/7",
        "slide",
        "P1/A/01/0",
        "P1/A/01/7",
    ]


def test_a_plate_of_another_tool(shared_data: Path) -> None:
    path = shared_data / "ome_zarr/fractal/plate_ones.zarr"
    with pytest.raises(ConfigError, match="--z INDEX"):
        open_plate(path)
    image = open_plate(path, z="max")["B/03/0"]["image"]

    assert image.shape == (2, 4320, 2560)
    assert (image[:, :50, :50].values == 1).all()


def test_collections_of_bioformats2raw_are_expanded(tmp_path: Path, write_image: WriteImage) -> None:
    for version, listed in (("0.4", False), ("0.5", True)):
        path = tmp_path / f"v{version}.zarr"
        group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
        group.attrs["bioformats2raw.layout"] = 3
        if listed:
            group.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
            group.create_group("OME").attrs["ome"] = {"version": "0.5", "series": ["1", "0"]}
        for name in "01":
            write_image(path / name, np.zeros((1, 8, 8), np.uint8), ome_version=version)

        order = "10" if listed else "01"
        assert image_locations(str(path)) == [f"{path}/{name}" for name in order]


def test_what_is_no_plate_is_refused(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "slide.ome.zarr", np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(SourceError, match="expected a plate"):
        open_plate(tmp_path / "slide.ome.zarr")
    with pytest.raises(SourceError, match="nothing there"):
        find_images([tmp_path / "none.zarr"])


def test_a_listed_well_that_is_not_there_is_empty_and_named(plate: Path) -> None:
    shutil.rmtree(plate / "B")
    found = find_locations(str(plate))

    assert [field.path.removeprefix(f"{plate}/") for field in plate_fields(str(plate))] == ["A/01/0", "A/01/7"]
    assert len(found.images) == 2
    assert found.notes == ("P1: left out as empty, since the plate lists wells that are not there: B/03",)
    shutil.rmtree(plate / "A")
    with pytest.raises(SourceError, match="expected a plate with images, got 2 wells without any"):
        find_locations(str(plate))


def test_a_well_that_is_there_but_damaged_is_no_empty_one(plate: Path) -> None:
    metadata = next(path for name in ("zarr.json", ".zattrs") if (path := plate / "B/03" / name).exists())
    metadata.write_text("{")
    with pytest.raises(SourceError, match="B/03: expected an OME-Zarr"):
        find_locations(str(plate))


@pytest.mark.parametrize("rows", ["a/b", ["a/b"], [{"drug": "DMSO"}], [{"well": 5}], [None], {"A01": "DMSO"}])
def test_what_is_no_plate_map_is_refused(plate: Path, rows: object) -> None:
    zarr.open_group(plate, mode="r+").attrs["simsearch"] = {"plate_map": rows}
    with pytest.raises(SourceError, match=r"P1\.ome\.zarr: expected a plate map with a well in each row, got"):
        read_plate_map(plate)


def test_what_json_does_not_have_is_not_written(plate: Path) -> None:
    provenance = {"plate_map": [{"well": "A01", "dose": math.nan}, {"well": "A02", "dose": math.inf}]}
    version = "0.4" if (plate / ".zattrs").exists() else "0.5"
    write_plate(str(plate), {Well(0, 0): ["0"]}, name="P1", version=version, provenance=provenance)
    text = (plate / (".zattrs" if version == "0.4" else "zarr.json")).read_text()

    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [row["dose"] for row in read_plate_map(plate)] == [None, "inf"]


def test_a_folder_of_images_and_plates_is_expanded(plate: Path, write_image: WriteImage) -> None:
    folder = plate.parent
    for name in ("blood 10", "blood 2", "a"):
        write_image(folder / f"{name}.ome.zarr", np.zeros((1, 20, 30), np.uint8))
    (folder / "notes.txt").write_text("")
    (folder / "empty").mkdir()
    fields = ["P1/A/01/0", "P1/A/01/7", "P1/B/03/7"]
    assert [image.name for image in find_images([folder])] == [*fields, "a", "blood 2", "blood 10"]
    with pytest.raises(
        SourceError, match=r"empty: expected an OME-Zarr, got a folder without any: .*`simsearch convert`"
    ):
        find_images([folder / "empty"])
