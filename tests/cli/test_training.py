"""The commands from a new study to detections that are judged."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from simsearch.cli import main
from simsearch.core.synthetic import Cell, cell_field
from simsearch.io.tables.peaks import read_peaks
from simsearch.nn.trunk_file import BUNDLED_SHA256
from simsearch.runtime import compute
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.learn import train as train_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simsearch.core.peaks import Peak
    from tests.conftest import SaveImage

SIDE = 144
THREADS = ("--cluster", "threads")
SHORT = TrainingConfig(
    noisy=Schedule(1, 4, decay_every=5, decay=0.1, rate=3e-4),
    clean=Schedule(1, 8, decay_every=10, decay=0.1, rate=3e-4, n_patches=8),
    classifier=Schedule(8, 16, decay_every=8, decay=0.1, rate=1e-2, n_patches=24),
    averaging=0.8,
)


def run(*arguments: object) -> Result:
    result = CliRunner(catch_exceptions=False).invoke(main, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert "Traceback" not in result.stderr
    return result


def done(*arguments: object) -> str:
    """Run a command that succeeds, and return what it prints."""
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def refused(*arguments: object) -> str:
    """Run a command that fails in one line, and return the line."""
    result = run(*arguments)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line


def rows_of_tables(text: str) -> list[list[str]]:
    """Return the cells of the rows of printed tables."""
    rows = ([cell.strip("■ ") for cell in line.split("│")[1:-1]] for line in text.splitlines())
    return [row for row in rows if row]


def cells_of_table(text: str, first: str) -> list[str]:
    """Return the only row that begins with a word."""
    (row,) = [row for row in rows_of_tables(text) if row[0] == first]
    return row


@dataclass(frozen=True)
class Field:
    """An image and the cells in it."""

    path: str
    cells: tuple[Cell, ...]


@pytest.fixture(scope="module")
def fields(save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Field]:
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(4)
    made = {}
    for name in "abcd":
        field = cell_field(rng, (SIDE, SIDE), n_cells=6, nuclear_fraction=1, no_gfp_fraction=0)
        image = save_image(folder / f"{name}.ome.zarr", field.image, channel_names=("GFP", "DNA"))
        made[name] = Field(image.path, field.cells)
    return made


@pytest.fixture(scope="module")
def boxes(fields: dict[str, Field], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw boxes around cells that lie wholly in an image."""
    path = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    rows = ["image,class,role,y,x,height,width"]
    for name in "ab":
        whole = [c for c in fields[name].cells if min(c.y, c.x) >= 20 and max(c.y, c.x) <= SIDE - 21]
        rows += [f"{name},cell,prototype,{c.y},{c.x},40,40" for c in whole[:2]]
    path.write_text("\n".join(rows) + "\n")
    assert len(rows) > 2
    return path


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Train for a second, with one thread: two that wait for each other are slow on a busy machine."""
    n_threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "BRIEF", SHORT)
        patch.setattr(compute, "CPU_COUNT", 1)
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def study(fields: dict[str, Field], boxes: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    done("study", "create", folder, "--images", *(field.path for field in fields.values()), "--display", "a,b")
    done("study", "import", folder, boxes)
    return folder


@dataclass(frozen=True)
class Way:
    """What the commands printed on the way to detections, and where things are."""

    study: Path
    suggested: str
    accepted: str
    trained: str
    model: Path
    detected: str
    results: Path


@pytest.fixture(scope="module")
def way(fields: dict[str, Field], boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Way:
    """Go all the way once."""
    folder = tmp_path_factory.mktemp("way")
    study, results = folder / "study", folder / "results"
    done("study", "create", study, "--images", *(field.path for field in fields.values()), "--display", "a,b")
    done("study", "import", study, boxes)
    suggested = done("study", "suggest", study, *THREADS)
    accepted = done("study", "suggest", study, "--accept", "--user", "ada", "--background", "3", *THREADS)
    trained = done("train", study, "--noisy", "6", "--background", "2", "--seed", "3", *THREADS)
    (model,) = (study / "models").glob("*/model.safetensors")
    detected = done("detect", model, fields["c"].path, fields["d"].path, "--out", results, *THREADS)
    return Way(study, suggested, accepted, trained, model, detected, results)


# Creating a study


def test_a_study_keeps_its_trunk_and_its_ranges(
    fields: dict[str, Field], boxes: Path, trunk_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = shutil.copy(trunk_file, tmp_path / "trunk.safetensors")
    monkeypatch.chdir(tmp_path)
    measured, folder = tmp_path / "ranges.json", tmp_path / "study"
    done("measure", fields["a"].path, "--out", measured, *THREADS)
    done(
        "study", "create", folder, "--images", fields["a"].path, fields["b"].path,
        "--trunk", "trunk.safetensors", "--measure", measured,
    )  # fmt: skip
    assert json.loads((folder / "study.json").read_text())["trunk"] == str(trunk)
    assert (folder / "measure.json").read_bytes() == measured.read_bytes()
    monkeypatch.chdir(tmp_path.parent)  # from elsewhere, the trunk is found all the same
    done("study", "import", folder, boxes)
    assert "Nothing was accepted" in done("study", "suggest", folder, *THREADS)
    assert (folder / "measure.json").read_bytes() == measured.read_bytes()  # it was not measured again
    trunk.unlink()
    assert f"{trunk}: expected" in refused("study", "suggest", folder, *THREADS)


def test_ranges_of_other_channels_make_no_study(fields: dict[str, Field], tmp_path: Path) -> None:
    (tmp_path / "ranges.json").write_text('{"channels": [{"name": "RFP", "low": 0, "high": 1}]}')
    arguments = ("study", "create", tmp_path / "study", "--images", fields["a"].path)
    line = refused(*arguments, "--measure", tmp_path / "ranges.json")
    assert "ranges.json: expected a range for channel GFP, got RFP" in line
    assert not (tmp_path / "study").exists()
    result = run(*arguments, "--measure", tmp_path / "gone.json")
    assert result.exit_code == 2
    assert "gone.json" in result.stderr


# Suggestions


def test_suggestions_are_counted_and_nothing_is_accepted_unasked(way: Way) -> None:
    name, n_peaks, threshold, n_suggested = cells_of_table(way.suggested, "cell")
    assert name == "cell"
    assert int(n_peaks) >= int(n_suggested) > 0
    assert threshold.endswith("(suggested)")
    assert "difficult and" in way.suggested
    assert "Nothing was accepted: choose with --threshold CLASS=VALUE, then add --accept" in way.suggested


def test_who_edits_the_table_is_told_what_comes_next_and_can_train(study: Path, tmp_path: Path) -> None:
    table = tmp_path / "suggestions.csv"
    suggested = done("study", "suggest", study, "--out", table, "--background", "3", *THREADS)
    (command,) = re.findall(r"then simsearch (study import .*); or add --accept", suggested)
    head, *rows = table.read_text().splitlines()
    assert "positive" in rows[0]
    table.write_text("\n".join([head, *rows[1:]]) + "\n")
    done(*command.split())
    assert cells_of_table(done("study", "show", study), "cell")[2] == str(sum("positive" in row for row in rows[1:]))
    assert "Model" in done("train", study, "--noisy", "6", "--background", "2", *THREADS)


def test_what_was_accepted_is_there_by_name_of_who_said_so(way: Way) -> None:
    assert f"Accepted. Next: simsearch train {way.study}" in way.accepted
    shown = done("study", "show", way.study)
    row = cells_of_table(shown, "cell")
    assert row[2] == cells_of_table(way.accepted, "cell")[3]  # positives
    assert row[-1] == "yes"
    assert "of ada (accept what is suggested)" in shown
    assert f"bundled@{BUNDLED_SHA256[:16]}" in shown
    assert (way.study / "cache").is_dir()


def test_a_threshold_is_set_and_kept(study: Path) -> None:
    text = done("study", "suggest", study, "--threshold", "cell=0.65", *THREADS)
    assert cells_of_table(text, "cell")[2] == "0.650"
    assert cells_of_table(done("study", "show", study), "cell")[5] == "0.650"
    fewer = done("study", "suggest", study, "--threshold", "cell=0.95", *THREADS)
    assert int(cells_of_table(fewer, "cell")[3]) < int(cells_of_table(text, "cell")[3])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("cell", "expected NAME=VALUE, got 'cell'"),
        ("=0.5", "expected NAME=VALUE, got '=0.5'"),
        ("cell=", "not a valid float"),
        ("cell=high", "'high' is not a valid float"),
    ],
)
def test_a_threshold_that_is_none_is_refused(study: Path, value: str, words: str) -> None:
    before = (study / "curation.jsonl").read_bytes()
    result = run("study", "suggest", study, "--threshold", value, *THREADS)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "--threshold" in result.stderr
    assert (study / "curation.jsonl").read_bytes() == before


def test_thresholds_that_make_no_sense_are_refused(study: Path) -> None:
    for value in ("7", "nan"):
        line = refused("study", "suggest", study, "--threshold", f"cell={value}", *THREADS)
        assert f"expected a similarity threshold from -1 to 1, got {value}" in line
    line = refused("study", "suggest", study, "--threshold", "PLT=0.5", *THREADS)
    assert "expected one of the classes (cell), got 'PLT'" in line


def test_suggestions_are_written_edited_and_imported(study: Path, tmp_path: Path) -> None:
    table = tmp_path / "suggestions.csv"
    text = done("study", "suggest", study, "--out", table, "--difficult", "--background", "2", *THREADS)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    positives = [row for row in rows if row["role"] == "positive"]
    assert len(positives) == int(cells_of_table(text, "cell")[3])
    assert {row["image"] for row in rows} == {"a", "b"}
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")  # without the last
    counts = done("study", "import", study, table)
    assert counts.startswith(f"Imported: {len(positives)} positive")
    assert f"{len(rows) - len(positives) - 1} background" in counts


def test_without_prototypes_there_is_nothing_to_suggest(fields: dict[str, Field], tmp_path: Path) -> None:
    done("study", "create", tmp_path / "study", "--images", fields["a"].path)
    line = refused("study", "suggest", tmp_path / "study", *THREADS)
    assert "expected a class with a prototype, got none" in line
    assert "no study.json" in refused("study", "suggest", tmp_path / "none", *THREADS)


# Training


def test_a_training_tells_what_it_learned_from_and_where_the_model_is(way: Way) -> None:
    assert cells_of_table(way.trained, "classifier")[1] == "8"
    noisy = [row for row in rows_of_tables(way.trained) if row[0] == "noisy"]  # of patches, and of the stage
    assert [sum(map(int, noisy[0][1:])), noisy[1][1]] == [6, "1"]
    assert str(way.model) in way.trained
    assert str(way.model.parent / "README.md") in way.trained
    record = json.loads((way.model.parent / "run.json").read_text())
    assert (record["options"]["n_noisy"], record["options"]["seed"]) == (6, 3)
    assert sum(record["report"]["n_patches"]["noisy"].values()) == 6


def test_a_training_that_is_complete_is_only_told_again(way: Way) -> None:
    before = way.model.stat().st_mtime_ns
    again = done("train", way.study, "--noisy", "6", "--background", "2", "--seed", "3", *THREADS)
    assert again == way.trained
    assert way.model.stat().st_mtime_ns == before


def test_without_background_nothing_is_trained(study: Path) -> None:
    assert "expected accepted background or a second class, got neither" in refused("train", study, *THREADS)
    assert "expected a study, got no study.json" in refused("train", study / "none", *THREADS)
    result = run("train", study, "--kind", "sparse")
    assert result.exit_code == 2
    assert "sparse" in result.stderr


# Detection


def near(cell: Cell, image: str, peaks: list[Peak]) -> list[Peak]:
    return [p for p in peaks if p.image == image and math.hypot(p.y - cell.y, p.x - cell.x) < 12]


def test_detections_are_counted_and_find_cells(way: Way, fields: dict[str, Field]) -> None:
    name, threshold, n_objects = cells_of_table(way.detected, "cell")
    assert (name, threshold) == ("cell", "0.5")
    assert str(way.results) in way.detected
    peaks = [peak for peak in read_peaks(way.results / "detections.parquet") if peak.score >= 0.5]
    assert 0 < int(n_objects) <= len(peaks)
    inside = [(c, n) for n in "cd" for c in fields[n].cells if min(c.y, c.x) > 12 and max(c.y, c.x) < SIDE - 12]
    assert sum(bool(near(cell, image, peaks)) for cell, image in inside) > 0.6 * len(inside)


def test_detections_are_judged(way: Way, fields: dict[str, Field], tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    rows = [f"{name},cell,{cell.y},{cell.x}" for name in "cd" for cell in fields[name].cells]
    truth.write_text("\n".join(["image,class,y,x", *rows]) + "\n")
    text = done("evaluate", way.results / "detections.parquet", "--truth", truth, "--out", tmp_path / "scores")
    row = cells_of_table(text, "cell")
    assert row[1] == str(len(rows))
    assert float(row[2]) > 0.5
    assert (tmp_path / "scores" / "curves.png").exists()


def test_other_results_are_replaced_by_who_says_so(way: Way, fields: dict[str, Field], tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("detect", way.model, fields["c"].path, "--out", out, *THREADS)
    done(*arguments, "--floor", "0.3", "--tile", "9")
    options = json.loads((out / "run.json").read_text())["options"]
    assert (options["floor"], options["tile"]) == (0.3, 9)
    assert "add --overwrite" in refused(*arguments)
    done(*arguments, "--overwrite")
    assert json.loads((out / "run.json").read_text())["options"]["floor"] == 0.05


def test_images_that_do_not_fit_are_refused_or_left_out(
    way: Way, fields: dict[str, Field], save_image: SaveImage, tmp_path: Path
) -> None:
    other = save_image(tmp_path / "other.ome.zarr", np.zeros((2, 90, 90), np.uint16), channel_names=("GFP", "actin"))
    arguments = ("detect", way.model, fields["c"].path, other.path, "--out", tmp_path / "out", *THREADS)
    assert "other: expected the channels GFP, DNA that the model sees" in refused(*arguments)
    result = run(*arguments, "--skip-errors")
    assert result.exit_code == 2
    assert "1 left out:" in result.stderr
    assert cells_of_table(result.stdout, "cell")[0] == "cell"
    assert {peak.image for peak in read_peaks(tmp_path / "out" / "detections.parquet")} == {"c"}


def test_what_is_no_model_is_refused(fields: dict[str, Field], boxes: Path, tmp_path: Path) -> None:
    line = refused("detect", boxes, fields["c"].path, "--out", tmp_path / "out", *THREADS)
    assert "boxes.csv: expected a model of simsearch" in line
    result = run("detect", tmp_path / "gone.safetensors", fields["c"].path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "gone.safetensors" in result.stderr
