"""The examples use what `import simsearch` offers, say how they are called, and run."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import simsearch
from simsearch.core.synthetic import CYTOPLASM, NO_GFP, NUCLEUS, cell_field
from simsearch.runtime import compute
from simsearch.workflows.find.search import SearchReport
from simsearch.workflows.learn import train as train_module
from simsearch.workflows.run.detect import DetectReport
from tests.api.test_docstrings import SHORT

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def run(name: str, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = (each for each in EXAMPLES if each.stem == name)
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
    runpy.run_path(str(path), run_name="__main__")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for a second."""
    monkeypatch.setattr(train_module, "BRIEF", SHORT)
    monkeypatch.setattr(compute, "CPU_COUNT", torch.get_num_threads())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_import_simsearch_and_nothing_inside_it(path: Path) -> None:
    imported = [
        name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    assert [name for name in imported if name.startswith("simsearch")] == ["simsearch"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_without_an_argument_they_say_how_they_are_called(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(path.stem, monkeypatch=monkeypatch)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"usage: {path.name} ")
    assert "required: " in error


def test_search_plate_counts_by_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, boxes = np.random.default_rng(0), ["image,class,y,x,height,width"]
    (tmp_path / "files").mkdir()
    for well in ("A01", "A02"):
        field = cell_field(rng, (144, 144), n_cells=6, nuclear_fraction=1, no_gfp_fraction=0)
        np.save(tmp_path / f"files/{well}.npy", field.image)
        cells = [cell for cell in field.cells if min(cell.y, cell.x) >= 20 and max(cell.y, cell.x) <= 123]
        boxes += [f"plate/A/{well[1:]}/0,cell,{cell.y},{cell.x},40,40" for cell in cells[:2]]
    (tmp_path / "boxes.csv").write_text("\n".join(boxes) + "\n")
    pattern = r"(?P<row>[A-P])(?P<column>\d\d)\.npy"
    run(
        "search_plate", tmp_path / "files", tmp_path / "boxes.csv", tmp_path / "out", "--plate-pattern", pattern,
        "--cluster", "threads:1", monkeypatch=monkeypatch,
    )  # fmt: skip
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows] == [["plate/A/01", "cell"], ["plate/A/02", "cell"]]
    counted = sum(int(row[2]) for row in rows)
    found = simsearch.open_results(tmp_path / "out/results")
    assert isinstance(found, SearchReport)
    assert counted == found.n_objects["cell"] > 0


@pytest.mark.usefixtures("brief")
def test_tissue_segments_what_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("tissue", tmp_path / "out", "--cluster", "threads:1", monkeypatch=monkeypatch)
    *shares, overlay = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in shares] == ["DAB at membranes", "no DAB", "lumen"]
    assert sum(int(line.partition(":")[2].rstrip("%")) for line in shares) > 50
    assert Path(overlay.removeprefix("overlay: ")).is_file()


@pytest.mark.usefixtures("brief")
def test_translocation_fits_doses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {NUCLEUS: "NuclearGFP", CYTOPLASM: "CytoplasmicGFP", NO_GFP: "NoGFP"}
    rng, cells, wells = np.random.default_rng(1), ["well,label,cy,cx"], ["well,drug,dose,unit"]
    for dose, well in enumerate(("A01", "B01", "A12", "B12", "A06", "E06"), 1):
        field = cell_field(rng, (200, 200), n_cells=12, nuclear_fraction=dose / 7, no_gfp_fraction=0.35)
        for channel, pixels in enumerate(field.image, 1):
            Image.fromarray(pixels).save(tmp_path / f"Channel{channel}-01-{well[0]}-{well[1:]}.tif")
        cells += [f"{well},{names[cell.class_name]},{cell.y},{cell.x}" for cell in field.cells]
        wells.append(f"{well},Wortmannin,{dose},nM")
    (tmp_path / "cells_piximi.csv").write_text("\n".join(cells) + "\n")
    (tmp_path / "platemap.csv").write_text("\n".join(wells) + "\n")
    run("translocation", tmp_path, tmp_path / "out", "--cluster", "threads:1", monkeypatch=monkeypatch)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Wortmannin: EC50 ")
    detected = simsearch.open_results(tmp_path / "out/results")
    assert isinstance(detected, DetectReport)
    check_tables(detected)


def check_tables(detected: DetectReport) -> None:
    """Check that the tables of a plate agree with each other."""
    detections, objects, wells = detected.detections(), detected.objects(), detected.wells()
    assert set(detected.confidence_thresholds.values()) == {0.65}
    assert len(detections) > len(objects) > 0
    assert objects["confidence"].min() >= 0.65
    assert objects.dtypes.to_dict() == detections.dtypes.to_dict()
    assert wells["well"].tolist() == ["A01", "A06", "A12", "B01", "B12", "E06"]
    grid = detected.well_grid()
    for name, n_objects in detected.n_objects.items():
        assert (objects["class"] == name).sum() == wells[f"count {name}"].sum() == n_objects
        assert grid["count"].sel({"class": name}).sum() == n_objects
    assert detected.dose_response()["class"].tolist() == list(detected.n_objects)
    with pytest.raises(simsearch.SimSearchError, match="expected the name of a plate out of plate, got other"):
        detected.wells("other")
