"""Names that are made to harm, of whatever has a name, through the commands that write files of it.

Each ends in results or in one line, and nothing is written outside the folder that was named.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.faults.scenarios import INPUTS, SCENARIOS, THREADS, reset, save_image, save_networks, save_table, template_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.commands import Ended, Workshop
    from tests.faults.tally import Tally

NAMES = (
    "../escaped", "../../escaped", "a/../../../escaped", "..", ".", "/tmp/escaped", "//escaped", "~/escaped",
    "C:\\escaped", "..\\..\\escaped", "\\\\host\\share", "file:///tmp/escaped", "s3://bucket/a", "a\nb", "a\r\nb",
    "a\tb", "\x1b[31mred", "\x07", "a\x7fb", "\u202egnp.exe", "\u200b", "\ufeffname", "5 $\\foo$", "$x^{$", "\\frac{",
    "%s %d {0} {x}", "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "'quoted'", 'a"b', "a,b", "a;b",
    "<script>alert(1)</script>", "&amp;", "x" * 255, "x" * 5000, "é" * 130, "\U0001f52c", "CON", "nul.csv", "-rf",
    "--help", "run.json", ".lock", "", " ", "a ", ".hidden", "*", "?", "[a]", "[bold red]x[/]", "background", "image",
    "nan", "None", "0",
)  # fmt: skip
_COLUMNS = ("image", "class", "y", "x", "height", "width")
_ROLES = ("role", *_COLUMNS)
_OK = (0, 2)


@dataclass(frozen=True)
class Case:
    """What gets a hostile name, and the command that meets it."""

    name: str
    prepare: Callable[[Path, Path, str], None]
    """Of the trial folder, one to take things from (see `_NEEDS`), and the name: writes what has it."""
    arguments: Callable[[str], tuple[str, ...]]


def _nothing(trial: Path, before: Path, name: str) -> None:
    """Write nothing: the name is in the command line."""


def _boxes(trial: Path, before: Path, name: str) -> None:
    save_table(trial / "boxes.csv", [_COLUMNS, ("a", name, 40, 40, 32, 32), ("a", "plain", 60, 60, 32, 32)])
    save_table(trial / "said.csv", [_ROLES, ("prototype", "a", name, 40, 40, 32, 32)])
    shutil.copytree(before / "study", trial / "study")


def _image(trial: Path, before: Path, name: str) -> None:
    path = trial / "images" / f"{name}.ome.zarr"
    if not path.resolve().is_relative_to(trial) or len(path.name.encode()) > 255 or "\0" in name:
        path = trial / "images" / "plain.ome.zarr"
    save_image(path, np.random.default_rng(0).integers(0, 999, (2, 48, 48)).astype(np.uint16))
    save_table(trial / "boxes.csv", [_COLUMNS, (path.name.removesuffix(".ome.zarr"), "c", 24, 24, 32, 32)])


def _channel(trial: Path, before: Path, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, (2, 48, 48)).astype(np.uint16)
    save_image(trial / "images/a.ome.zarr", pixels, (name, "DNA"))
    save_table(trial / "boxes.csv", [_COLUMNS, ("a", "c", 24, 24, 32, 32)])


def _drug(trial: Path, before: Path, name: str) -> None:
    shutil.copytree(before / "found", trial / "found")
    shutil.copytree(trial.parents[1] / "inputs/plate.ome.zarr", trial / "plate.ome.zarr")
    path = trial / "plate.ome.zarr/zarr.json"
    content = json.loads(path.read_text())
    wells = [{"well": well, "drug": name, "dose": dose} for dose, well in enumerate(("A01", "A02", "B01"))]
    content["attributes"]["simsearch"]["plate_map"] = wells
    content["attributes"]["ome"]["plate"]["name"] = name
    path.write_text(json.dumps(content))
    run = trial / "found/run.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"plates": [str(trial / "plate.ome.zarr")]}))


def _plate_map(trial: Path, before: Path, name: str) -> None:
    save_table(trial / "map.csv", [("well", "drug", "dose", name), ("A01", name, 1, name), ("B01", name, 2, name)])


def _detections(trial: Path, before: Path, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    shutil.copytree(before / "found", trial / "found")
    path = trial / "found/detections.parquet"
    table = pyarrow.parquet.read_table(path)
    column = table.column_names.index("image")
    pyarrow.parquet.write_table(table.set_column(column, "image", pa.array([name] * len(table))), path)


def _study(trial: Path, before: Path, name: str) -> None:
    shutil.copytree(before / "study", trial / "study")
    for path in (trial / "study/study.json", trial / "study/curation.jsonl"):
        path.write_text(path.read_text().replace('"a"', json.dumps(name)).replace('"nuclear"', json.dumps(name)))


def _model(trial: Path, before: Path, name: str) -> None:
    shutil.copy(trial.parents[1] / "inputs/trunk.safetensors", trial)
    save_networks(trial, (name, "plain"))


def _truth(trial: Path, before: Path, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(before / "found/peaks.parquet")
    column = table.column_names.index("class")
    pyarrow.parquet.write_table(
        table.set_column(column, "class", pa.array([name] * len(table))), trial / "peaks.parquet"
    )
    save_table(trial / "truth.csv", [("image", "class", "y", "x"), ("a", name, 40, 40), (name, name, 50, 50)])


def _load_data(trial: Path, before: Path, name: str) -> None:
    rows = [("A01.npy", str(trial.parents[1] / "inputs/wells"), "A01", name), (name, name, "B01", "P1")]
    save_table(trial / "load.csv", [("FileName_DNA", "PathName_DNA", "Metadata_Well", "Metadata_Plate"), *rows])


_NEEDS = {
    _boxes: "study import",
    _drug: "rethreshold",
    _detections: "rethreshold",
    _study: "study export table",
    _truth: "evaluate",
}
"""The scenario, of whose folder something is taken."""
_A = f"{INPUTS}/a.ome.zarr"
_TRUNK = ("--trunk", f"{INPUTS}/trunk.safetensors")
CASES = (
    Case(
        "class: search",
        _boxes,
        lambda name: ("search", _A, "--prototypes", "boxes.csv", *_TRUNK, "--out", "found", *THREADS),
    ),
    Case("class: study import", _boxes, lambda name: ("study", "import", "study", "said.csv", "--user", name)),
    Case(
        "image: search",
        _image,
        lambda name: ("search", "images", "--prototypes", "boxes.csv", *_TRUNK, "--out", "found", *THREADS),
    ),
    Case("image: measure", _image, lambda name: ("measure", "images", "--out", "measure.json", *THREADS)),
    Case(
        "image: convert", _image, lambda name: ("convert", "images", "out", "--chunk", "32", "--shard", "64", *THREADS)
    ),
    Case("image: study create", _image, lambda name: ("study", "create", "study", "--images", "images", *_TRUNK)),
    Case(
        "channel: search",
        _channel,
        lambda name: ("search", "images", "--prototypes", "boxes.csv", *_TRUNK, "--out", "found", *THREADS),
    ),
    Case("channel: measure", _channel, lambda name: ("measure", "images", "--out", "measure.json", *THREADS)),
    Case(
        "channel: convert",
        _channel,
        lambda name: ("convert", "images", "out", "--channel-names", f"{name},b", *THREADS),
    ),
    Case(
        "channel: study create",
        _channel,
        lambda name: ("study", "create", "study", "--images", "images", "--channels", name, *_TRUNK),
    ),
    Case("drug and plate: rethreshold", _drug, lambda name: ("rethreshold", "found", "--confidence", "nuclear=0.6")),
    Case(
        "drug: convert",
        _plate_map,
        lambda name: (
            "convert",
            f"{INPUTS}/wells",
            "plate.ome.zarr",
            "--plate-map",
            "map.csv",
            "--plate-pattern",
            r"(?P<well>[A-Z]\d\d)\.npy",
            *THREADS,
        ),
    ),
    Case("plate and file: convert", _load_data, lambda name: ("convert", "load.csv", "plate.ome.zarr", *THREADS)),
    Case("image: rethreshold", _detections, lambda name: ("rethreshold", "found", "--confidence", f"{name}=0.6")),
    Case("image and class: study export", _study, lambda name: ("study", "export", "study", "said")),
    Case("image and class: table", _study, lambda name: ("study", "export", "study", "said.csv")),
    Case("image and class: study show", _study, lambda name: ("study", "show", "study")),
    Case("class: detect", _model, lambda name: ("detect", "model.safetensors", _A, "--out", "found", *THREADS)),
    Case(
        "class and labels: segment",
        _model,
        lambda name: ("segment", "model.safetensors", _A, "--out", "areas", "--in-results", "--name", name, *THREADS),
    ),
    Case(
        "class: evaluate", _truth, lambda name: ("evaluate", "peaks.parquet", "--truth", "truth.csv", "--out", "scores")
    ),
)


def give(shop: Workshop, case: Case, name: str, tally: Tally) -> None:
    """Give something a name, and let a command meet it."""
    needed = [template_of(shop, each) for each in SCENARIOS if each.name == _NEEDS.get(case.prepare)]
    reset(shop, None)
    shop.call(lambda: case.prepare(shop.trial, (*needed, shop.inputs)[0], name))
    before = _surroundings(shop)
    ended = shop.run(case.arguments(name))
    problems = tally.see(ended) + _ended_wrongly(ended)
    new = sorted(_surroundings(shop) - before)
    tally.n_outside += len(new)
    problems += [f"files outside: {new}"] if new else []
    tally.keep("inputs", f"hostile {case.name}", repr(name), problems, shop)


def attack(shop: Workshop, n_inputs: int, chance: random.Random, tally: Tally) -> None:
    """Give so many names, each case in turn."""
    for number in range(n_inputs):
        give(shop, CASES[number % len(CASES)], chance.choice(NAMES), tally)


def _surroundings(shop: Workshop) -> set[str]:
    """List what is around the trial folder, and what images have."""
    around = [*shop.root.iterdir(), *shop.trial.parent.iterdir(), *(shop.inputs / "a.ome.zarr").rglob("*")]
    return {str(path) for path in around}


def _ended_wrongly(ended: Ended) -> list[str]:
    if ended.code not in _OK:
        return [f"it ended with {ended.code}: {ended.errors[-1500:]}"]
    said = [line for line in ended.errors.splitlines() if line.strip() and "tasks/s" not in line]
    is_usage = ended.errors.startswith("Usage: ")
    if (
        ended.code
        and not is_usage
        and not any(line.startswith("Error: ") for line in said)
        and "left out" not in ended.errors
    ):
        return [f"it did not say what is wrong: {ended.errors[-1500:]}"]
    if len(said) > 1 and not is_usage and "left out" not in ended.errors and "listed" not in ended.errors:
        return [f"it said more than a line: {ended.errors[-1500:]}"]
    return []
