"""Displayed images are of wells that a column of the plate map tells apart."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from simsearch.cli import main
from simsearch.core.checks.json_text import parse_json
from simsearch.errors import ConfigError
from simsearch.io.ome_zarr.plates.hierarchy import write_plate
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.workflows.curate.study import StudyOptions, create_study

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SaveImage

ROLES = ["negative_control"] * 2 + ["dose_series"] * 16 + ["positive_control"] * 2 + ["empty"] * 4


@pytest.fixture(scope="module")
def plate(save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two rows of wells, of which four are controls and four are empty."""
    path, wells = tmp_path_factory.mktemp("plates") / "P.ome.zarr", [Well(i // 12, i % 12) for i in range(24)]
    rows = [{"well": well.name, "role": role, "dose": float(i), "index": i}
            for i, (well, role) in enumerate(zip(wells, ROLES, strict=True))]  # fmt: skip
    zarr.create_group(path, zarr_format=3)
    for well in wells:
        save_image(path / well.path / "0", np.zeros((1, 8, 8), np.uint8))
    fields = {well: ["0"] for well in wells}
    write_plate(str(path), fields, name="P", version="0.5", provenance={"plate_map": rows})
    return path


def roles(displayed: tuple[str, ...]) -> Counter[str]:
    return Counter(ROLES["AB".index(name.split("/")[1]) * 12 + int(name.split("/")[2]) - 1] for name in displayed)


@pytest.mark.parametrize("seed", range(3))
def test_controls_are_among_the_displayed_by_default(plate: Path, tmp_path: Path, seed: int) -> None:
    study = create_study(tmp_path / "study", [plate], StudyOptions(seed=seed))
    assert roles(study.displayed) == {"negative_control": 2, "positive_control": 2, "dose_series": 2}
    names = [image.name for image in study.images]
    assert list(study.displayed) == sorted(study.displayed, key=names.index)


def test_two_images_are_a_control_of_each_kind(plate: Path, tmp_path: Path) -> None:
    displayed = create_study(tmp_path / "study", [plate], StudyOptions(display=2)).displayed
    assert roles(displayed) == {"negative_control": 1, "positive_control": 1}


def test_another_column_or_none(plate: Path, tmp_path: Path) -> None:
    by_dose = create_study(tmp_path / "dose", [plate], StudyOptions(display=3, display_by="DOSE")).displayed
    assert by_dose == ("P/A/01/0", "P/A/11/0", "P/B/08/0")  # the lowest, the middle and the highest that is not empty
    by_nothing = create_study(tmp_path / "none", [plate], StudyOptions(display=24, display_by="")).displayed
    assert len(by_nothing) == 24
    by_role = create_study(tmp_path / "role", [plate], StudyOptions(display=24, display_by="role")).displayed
    assert len(by_role) == 20  # empty wells are of no use


def test_what_cannot_be_chosen_by_is_refused(plate: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tells wells apart \(role, dose\), got 'drug': name one"):
        create_study(tmp_path / "study", [plate], StudyOptions(display_by="drug"))
    with pytest.raises(ConfigError, match="by role, got their names: leave either out"):
        create_study(tmp_path / "study", [plate], StudyOptions(display=("P/A/01/0",), display_by="role"))


def test_diverse_images_are_chosen_of_each_value(save_image: SaveImage, tmp_path: Path) -> None:
    path, wells = tmp_path / "P.ome.zarr", [Well(0, i) for i in range(6)]
    zarr.create_group(path, zarr_format=3)
    y, x = np.mgrid[:128, :128]
    for well in wells:  # one of each role is of checks, unlike the stripes of the others
        pattern = ((y // 8 + x // 8) % 2 if well.column in (1, 4) else (x + well.column) // 6 % 2) * 200
        noise = np.random.default_rng(well.column).integers(0, 40, (128, 128))
        save_image(path / well.path / "0", (pattern + noise).astype(np.uint8)[None])
    rows = [{"well": well.name, "role": "negative_control" if well.column < 3 else "sample"} for well in wells]
    write_plate(str(path), {well: ["0"] for well in wells}, name="P", version="0.5", provenance={"plate_map": rows})
    words = ["study", "create", str(tmp_path / "study"), "--images", str(path), "--diverse", "--display", "2"]
    result = CliRunner().invoke(main, [*words, "--display-by", "role", "--cluster", "threads:1"])
    assert result.exit_code == 0, result.output
    displayed = parse_json((tmp_path / "study" / "study.json").read_text())["displayed"]
    wells_of = [int(name.split("/")[2]) for name in displayed]
    assert (wells_of[0] <= 3 < wells_of[1], len(wells_of)) == (True, 2)
    assert len({well in (2, 5) for well in wells_of}) == 2  # stripes and checks


def test_without_a_plate_map_it_says_how_to_give_one(save_image: SaveImage, tmp_path: Path) -> None:
    image = save_image(tmp_path / "cells.ome.zarr", np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(ConfigError, match=r"to display by drug, got none: convert them with --plate-map, or leave"):
        create_study(tmp_path / "study", [image.path], StudyOptions(display_by="drug"))


def test_a_column_of_one_value_is_told(plate: Path, save_image: SaveImage, tmp_path: Path) -> None:
    path, wells, told = tmp_path / "Q.ome.zarr", [Well(0, i) for i in range(3)], list[str]()
    zarr.create_group(path, zarr_format=3)
    for well in wells:
        save_image(path / well.path / "0", np.zeros((1, 8, 8), np.uint8))
    rows = [{"well": well.name, "dose": float(well.column), "unit": "nM"} for well in wells]
    write_plate(str(path), {well: ["0"] for well in wells}, name="Q", version="0.5", provenance={"plate_map": rows})
    create_study(tmp_path / "unit", [path], StudyOptions(display_by="unit"), told.append)
    assert told == ["all wells are alike in unit, nM: each may be displayed"]
    create_study(tmp_path / "dose", [path], StudyOptions(display_by="dose"), told.append)
    assert len(told) == 1


def test_the_command_takes_a_column(plate: Path, tmp_path: Path) -> None:
    words = ["study", "create", str(tmp_path / "study"), "--images", str(plate), "--display-by", "dose"]
    result = CliRunner().invoke(main, [*words, "--display", "2"])
    assert result.exit_code == 0, result.output
    content = parse_json((tmp_path / "study" / "study.json").read_text())
    assert content["displayed"] == ["P/A/01/0", "P/B/08/0"]
