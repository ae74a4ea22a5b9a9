"""Plates are found by the names of their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zarr

from simsearch.workflows.curate.layout import find_layout, plate_maps, treatments
from simsearch.workflows.curate.study import StudyImage

if TYPE_CHECKING:
    from pathlib import Path


def _field(plate: str, well: str, field: str = "0") -> StudyImage:
    name = plate.rsplit("/", 1)[-1].removesuffix(".ome.zarr")
    return StudyImage(f"{name}/{well}/{field}", f"{plate}/{well}/{field}", (8, 8))


def test_plates_of_the_same_name_are_different_plates() -> None:
    layout = find_layout(
        [_field("/one/p.ome.zarr", "A/01"), _field("/two/p.ome.zarr", "H/12"), _field("/one/p.ome.zarr", "B/02")]
    )
    assert [(p.path, p.n_rows, p.n_columns, len(p.fields)) for p in layout.plates] == [
        ("/one/p.ome.zarr", 2, 3, 2),
        ("/two/p.ome.zarr", 8, 12, 1),
    ]
    assert [field.image for field in layout.plates[0].fields] == [0, 2]


def test_images_in_folders_that_are_no_wells_are_on_no_plate() -> None:
    layout = find_layout([StudyImage("slides/day/1/a", "/x/slides/day/1/a", (8, 8)), StudyImage("b", "/x/b", (8, 8))])
    assert (layout.plates, layout.others) == ((), (0, 1))


def test_treatments_are_words(tmp_path: Path) -> None:
    rows = [
        {"well": "A01", "drug": "wortmannin", "dose": 2.5, "unit": "nM"},
        {"well": "a2", "role": "control", "dose": None},
    ]
    zarr.open_group(tmp_path / "p.ome.zarr", mode="w").attrs.update(
        {"simsearch": {"plate_map": rows}, "ome": {"version": "0.5", "plate": {"version": "0.5"}}}
    )
    (found,) = plate_maps(find_layout([_field(str(tmp_path / "p.ome.zarr"), "A/01")]))
    assert treatments(found) == {"A01": "wortmannin 2.5 nM", "A02": "control"}


def test_a_plate_without_a_map_has_no_treatments(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "p.ome.zarr", mode="w")
    (found,) = plate_maps(find_layout([_field(str(tmp_path / "p.ome.zarr"), "A/01")]))
    assert treatments(found) == {}


def test_numbers_of_wells_and_names_of_files_are_no_treatment(tmp_path: Path) -> None:
    rows = [
        {"well": f"A{i:02}", "row": "A", "column": i, "index": 80 + i, "role": ["dmso", "sample"][i % 2],
         "batch": i // 3, "GFP": f"Channel1-{i}.tif", "site": "one"} for i in range(1, 7)
    ]  # fmt: skip
    zarr.open_group(tmp_path / "p.ome.zarr", mode="w").attrs.update(
        {"simsearch": {"plate_map": rows}, "ome": {"version": "0.5", "plate": {"version": "0.5"}}}
    )
    (found,) = plate_maps(find_layout([_field(str(tmp_path / "p.ome.zarr"), "A/01")]))
    assert treatments(found)["A04"] == "dmso, batch 1"
