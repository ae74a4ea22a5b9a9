"""The examples of the API, one after the other: what one makes, the next goes on with."""

from __future__ import annotations

import doctest
import inspect
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import simsearch
from simsearch.core.synthetic import cell_field
from simsearch.runtime import compute
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.learn import train as train_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIDE = 144
SHORT = TrainingConfig(
    noisy=Schedule(1, 4, decay_every=5, decay=0.1, rate=3e-4),
    clean=Schedule(1, 8, decay_every=10, decay=0.1, rate=3e-4, n_patches=8),
    classifier=Schedule(8, 16, decay_every=8, decay=0.1, rate=1e-2, n_patches=24),
    averaging=0.8,
)
ORDER = (
    *(
        "open_cluster",
        "convert",
        "preview_conversion",
        "find_images",
        "open_image",
        "open_plate",
        "measure",
        "doctor",
        "show_progress",
        "search",
        "open_results",
        "evaluate",
    ),
    *("study.create", "study.import_", "study.show", "study.suggest", "study.export", "study.simulate"),
    *("train", "detect", "rethreshold", "sample", "report", "segment", "pretrain"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Go where the files are that the examples begin with, and train for a second."""
    field = cell_field(np.random.default_rng(4), (SIDE, SIDE), n_cells=6, nuclear_fraction=1, no_gfp_fraction=0)
    np.save(tmp_path / "cells.npy", field.image)
    whole = [c for c in field.cells if min(c.y, c.x) >= 20 and max(c.y, c.x) <= SIDE - 21]
    assert len(whole) >= 3
    boxes = [f"cells,nucleus,prototype,{c.y},{c.x},40,40" for c in whole[:3]]
    truth = [f"cells,nucleus,{c.y},{c.x}" for c in field.cells]
    (tmp_path / "boxes.csv").write_text("\n".join(["image,class,role,y,x,height,width", *boxes]) + "\n")
    (tmp_path / "plate").mkdir()
    np.save(tmp_path / "plate/A01.npy", field.image)
    (tmp_path / "truth.csv").write_text("\n".join(["image,class,y,x", *truth]) + "\n")
    monkeypatch.chdir(tmp_path)
    pattern = r"(?P<row>[A-P])(?P<column>\d\d)\.npy"
    simsearch.convert(tmp_path / "plate", tmp_path / "plate.ome.zarr", plate_pattern=pattern, cluster="threads:1")
    monkeypatch.setattr(train_module, "BRIEF", SHORT)
    monkeypatch.setattr(compute, "CPU_COUNT", 1)
    n_threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(n_threads)


def named(name: str) -> object:
    found: object = simsearch
    for part in name.split("."):
        found = getattr(found, part)
    return found


def public_functions() -> set[str]:
    top = {name for name in simsearch.__all__ if inspect.isfunction(getattr(simsearch, name))}
    return top | {f"study.{name}" for name in simsearch.study.__all__}


def test_examples_run_in_their_order(folder: Path) -> None:
    assert set(ORDER) | {"demo"} == public_functions()  # which takes a minute
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    known: dict[str, object] = {}
    for name in ORDER:
        # Skipped where a function lies, since it has no images there.
        text = (inspect.getdoc(named(name)) or "").replace("  # doctest: +SKIP\n", "\n")
        example = parser.get_doctest(text, known | {name: named(name)}, name, None, 0)
        assert example.examples, name
        runner.run(example, out=report.append, clear_globs=False)
        known = example.globs
    assert report == [], "".join(report)
