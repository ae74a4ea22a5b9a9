"""The script that is prepared for a machine with a GPU works where there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import gpu_pipeline, gpu_tile
from benchmarks.gpu_pipeline import Setting

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr(gpu_tile, "_POSITIONS", {"cpu": 16})
    monkeypatch.setattr(gpu_tile, "_ROUNDS", {"cpu": 1})
    monkeypatch.setattr(gpu_tile, "_BANDS", (64, 8))
    return Setting("cpu", 512, tmp_path, tmp_path / "out.jsonl")


def test_parts_and_variants_of_a_tile_are_told(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_tile.torch, "compile", lambda function, dynamic: function)  # it takes a minute
    gpu_pipeline.tile(setting)
    gpu_pipeline.variants(setting)
    lines = [json.loads(line) for line in setting.out.read_text().splitlines()]
    measured = {line["what"]: line for line in lines if line["part"] == "tile"}
    assert {"read and decode", "travel", "vectors", "heads", "peaks", "all"} <= set(measured)
    ways = [line for line in lines if line["part"] == "variants"]
    assert len(ways) == 5
    assert all(way["difference"] == 0 for way in ways), ways  # on a CPU; a way that fails has an error instead


def test_a_part_that_takes_too_long_is_cut_off_and_leaves_what_it_told(setting: Setting) -> None:
    gpu_pipeline._run_apart(setting, "machine", 0.1)
    (line,) = [json.loads(line) for line in setting.out.read_text().splitlines()]
    assert (line["part"], line["what"], line["error"]) == ("ended", "machine", "cut off after 0 s")
