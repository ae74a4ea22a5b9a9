from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from simsearch.cli import main
from simsearch.cli.options import ReportedGroup
from simsearch.io.ome_zarr.image import describe_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.io.ome_zarr.image import ImageMeta

    SaveImage = Callable[..., ImageMeta]

COMMANDS = ("convert", "measure", "search", "demo")


def run(*arguments: object) -> Result:
    return CliRunner(catch_exceptions=False).invoke(main, [str(argument) for argument in arguments])


def check_refused(result: Result, *words: str) -> None:
    """Check that an error is one line on standard error."""
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert line.startswith("Error: ")
    assert "expected" in line
    assert "got" in line
    for word in words:
        assert word in line


def unwrapped(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def image(save_image: SaveImage, tmp_path: Path) -> ImageMeta:
    """Save an image of two channels."""
    rng = np.random.default_rng(0)
    return save_image(
        tmp_path / "cells.ome.zarr", rng.integers(0, 4000, (2, 120, 140), np.uint16), channel_names=("GFP", "DNA")
    )


def test_what_is_not_believed_of_images_is_told_by_all_commands(image: ImageMeta, boxes: Path, tmp_path: Path) -> None:
    metadata = Path(image.path) / "zarr.json"
    content = json.loads(metadata.read_text())
    (multiscale,) = content["attributes"]["ome"]["multiscales"]
    multiscale["axes"][1:] = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] = [1, 0, -3]
    content["attributes"]["ome"]["omero"]["channels"][0]["color"] = "#nothing"
    metadata.write_text(json.dumps(content))
    for command in (
        ["measure", image.path],
        ["search", image.path, "--prototypes", boxes, "--out", tmp_path / "found", "--no-maps"],
        ["convert", image.path, tmp_path / "copy.ome.zarr"],
        ["study", "create", tmp_path / "study", "--images", image.path],
    ):
        cluster = [] if command[0] == "study" else ["--cluster", "threads"]
        result = run(*command, *cluster)
        assert result.exit_code == 0, result.output
        assert "Note: cells: a pixel size of 0 x -3 micrometer is not believed" in unwrapped(result.output)
    assert describe_image(tmp_path / "copy.ome.zarr").pixel_size_um is None


def test_a_version_that_cannot_be_checked_is_not_written(image: ImageMeta, tmp_path: Path) -> None:
    result = run("convert", image.path, tmp_path / "out.ome.zarr", "--ome-version", "0.6", "--cluster", "threads")
    check_refused(result, "got 0.6", "ome-zarr-models")
    assert not (tmp_path / "out.ome.zarr").exists()


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    path = tmp_path / "boxes.csv"
    path.write_text("image,class,y,x,height,width\ncells,bright,60,70,48,48\n")
    return path


@pytest.fixture
def torn(save_image: SaveImage, tmp_path: Path) -> ImageMeta:
    """Save an image whose pixels are cut short."""
    pixels = np.random.default_rng(1).integers(0, 4000, (2, 100, 100), np.uint16)
    image = save_image(tmp_path / "torn.ome.zarr", pixels, channel_names=("GFP", "DNA"))
    file = max((tmp_path / "torn.ome.zarr" / "0" / "c").rglob("*"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-2000])
    return image


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--cluster" in result.stdout
    assert command in run("--help").stdout


def test_measure_prints_ranges_and_writes_them(image: ImageMeta, tmp_path: Path) -> None:
    result = run("measure", image.path, "--cluster", "threads", "--out", tmp_path / "measure.json")
    assert result.exit_code == 0
    channels = {c["name"]: c for c in json.loads((tmp_path / "measure.json").read_text())["channels"]}
    for name in ("GFP", "DNA"):
        (line,) = [line for line in result.stdout.splitlines() if name in line and f"{channels[name]['low']:g}" in line]
        assert f"{channels[name]['high']:g}" in line
    assert "Mean correlation between channels" in unwrapped(result.stdout)


def test_a_trunk_is_trained_and_searched_with(image: ImageMeta, boxes: Path, tmp_path: Path) -> None:
    trunk = tmp_path / "own.safetensors"
    result = run(
        "pretrain", image.path, "--out", trunk, "--steps", "1", "--batch", "2", "--crop", "32", "--scales", "0.5", "1",
        "--cluster", "threads",
    )  # fmt: skip
    assert result.exit_code == 0
    assert f"use it with --trunk {trunk}" in unwrapped(result.stdout)
    result = run(
        "search", image.path, "--prototypes", boxes, "--out", tmp_path / "out", "--trunk", trunk,
        "--cluster", "threads",
    )  # fmt: skip
    assert result.exit_code == 0
    named = json.loads((tmp_path / "out" / "run.json").read_text())["trunk"]
    (digest,) = (tmp_path / "own.safetensors.sha256").read_text().split()[:1]
    assert named == f"{trunk}@{digest[:16]}"
    trunk.write_bytes(trunk.read_bytes()[:-1000])
    check_refused(
        run("search", image.path, "--prototypes", boxes, "--out", tmp_path / "b", "--trunk", trunk), "fetch both again"
    )


def test_search_writes_and_prints_what_it_found(
    image: ImageMeta, boxes: Path, trunk_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run(
        "search", image.path, "--prototypes", boxes, "--out", out, "--trunk", trunk_file, "--cluster", "threads",
        "--channels", "DNA,GFP", "--floor", "-1", "--tile", "8", "--no-maps",
    )  # fmt: skip
    assert result.exit_code == 0
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == [
        "events.jsonl",
        "measure.json",
        "overlays",
        "peaks.csv",
        "peaks.parquet",
        "run.json",
        "tiles.jsonl",
    ]
    with (out / "peaks.csv").open(newline="") as file:
        n_peaks = sum(row["class"] == "bright" for row in csv.DictReader(file))
    (line,) = [line for line in result.stdout.splitlines() if "bright" in line]
    assert str(n_peaks) in line
    assert str(out) in result.stdout
    options = json.loads((out / "run.json").read_text())["options"]
    assert (options["channels"], options["floor"], options["tile"]) == (["DNA", "GFP"], -1, 8)


def test_an_image_is_converted_measured_and_searched(boxes: Path, trunk_file: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (90, 100, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cells.png")
    converted, measured = tmp_path / "cells.ome.zarr", tmp_path / "measure.json"
    assert run("convert", tmp_path / "cells.png", converted, "--cluster", "threads").exit_code == 0
    assert run("measure", converted, "--out", measured, "--cluster", "threads").exit_code == 0
    result = run(
        "search", converted, "--prototypes", boxes, "--out", tmp_path / "out", "--trunk", trunk_file,
        "--cluster", "threads", "--measure", measured,
    )  # fmt: skip
    assert result.exit_code == 0
    assert (tmp_path / "out" / "similarity" / "cells" / "48x48.ome.zarr" / "zarr.json").exists()


def test_a_damaged_image_fails_in_one_line(torn: ImageMeta, image: ImageMeta) -> None:
    result = run("measure", torn.path, image.path, "--cluster", "threads")
    assert result.exit_code == 2
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert torn.path in errors[0]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["measure", "search"])
def test_with_skip_errors_the_others_are_done_and_the_damaged_listed(
    command: str, torn: ImageMeta, image: ImageMeta, boxes: Path, trunk_file: Path, tmp_path: Path
) -> None:
    options: dict[str, tuple[object, ...]] = {
        "measure": (),
        "search": ("--prototypes", boxes, "--out", tmp_path / "out", "--trunk", trunk_file),
    }
    result = run(command, torn.path, image.path, *options[command], "--skip-errors", "--cluster", "threads")
    assert result.exit_code == 2
    assert "1 left out:" in result.stderr
    assert "torn: expected pixels" in result.stderr.splitlines()[-1]
    assert "1 images" in unwrapped(result.stdout)


@pytest.mark.parametrize("path", ["missing.ome.zarr", "text.ome.zarr", "empty.ome.zarr"])
def test_what_is_no_image_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "text.ome.zarr").write_text("not an image")
    (tmp_path / "empty.ome.zarr").mkdir()
    check_refused(run("measure", tmp_path / path, "--cluster", "threads"), str(tmp_path / path))


@pytest.mark.parametrize("address", ["cloud", "local:0", "tcp://nowhere"])
def test_a_cluster_that_cannot_be_is_named(image: ImageMeta, address: str) -> None:
    check_refused(run("measure", image.path, "--cluster", address), address)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--trunk", "missing.pth"), ("missing.pth",)),
        (("--channels", "RFP"), ("RFP", "GFP, DNA")),
        (("--channels", ","), ("GFP, DNA",)),
    ],
    ids=["trunk", "channel", "no channel"],
)
def test_wrong_options_of_a_search_are_refused(
    image: ImageMeta, boxes: Path, trunk_file: Path, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    trunk = () if "--trunk" in options else ("--trunk", trunk_file)
    result = run(
        "search", image.path, "--prototypes", boxes, "--out", tmp_path / "out", "--cluster", "threads", *trunk, *options
    )
    check_refused(result, *words)


def test_a_wrong_box_is_refused_by_its_row(image: ImageMeta, boxes: Path, tmp_path: Path) -> None:
    boxes.write_text(boxes.read_text() + "cells,bright,600,70,48,48\n")
    result = run("search", image.path, "--prototypes", boxes, "--out", tmp_path / "out", "--cluster", "threads")
    check_refused(result, f"{boxes}, row 3")


def test_earlier_results_are_kept(image: ImageMeta, boxes: Path, trunk_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{}")
    arguments = ("search", image.path, "--prototypes", boxes, "--out", tmp_path / "out", "--trunk", trunk_file)
    check_refused(run(*arguments, "--cluster", "threads"), str(tmp_path / "out"), "--overwrite")
    assert run(*arguments, "--cluster", "threads", "--overwrite", "--no-maps").exit_code == 0


def test_a_missing_table_is_refused(image: ImageMeta, tmp_path: Path) -> None:
    result = run("search", image.path, "--prototypes", tmp_path / "missing.csv", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "missing.csv" in result.stderr
    assert "Traceback" not in result.stderr


def test_who_is_stopped_in_the_middle_of_an_import_sees_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simsearch.cli.console", None)  # half of it is there, and importing it fails

    @click.group(cls=ReportedGroup)
    def group() -> None:
        pass

    @group.command()
    def detect() -> None:
        raise KeyboardInterrupt

    stopped = CliRunner(catch_exceptions=False).invoke(group, ["detect"])
    assert stopped.exit_code == 130
    assert stopped.output == "Error: stopped: what is done is kept, and the same command goes on from there\n"
