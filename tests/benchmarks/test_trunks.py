"""The comparison of trunks: what it remembers, how it ranks, what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from benchmarks import trunks
from benchmarks.held_back import is_held_back, is_reported_on
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.training.judging import Annotated

if TYPE_CHECKING:
    from pathlib import Path

SPOTS = tuple((float(y), float(x)) for y in (40, 100, 160) for x in (40, 100, 160))


def pixels(seed: int) -> np.ndarray:
    y, x = np.mgrid[:200, :200]
    noise = np.random.default_rng(seed).normal(0, 0.02, (200, 200))
    spots = sum(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 80) for cy, cx in SPOTS)
    return (spots + noise).astype(np.float32).clip(0, 1)[None]


def spots(name: str, **options: bool) -> trunks.JudgedSet:
    image = pixels(0)
    places = tuple(trunks.Place(image, y, x) for y, x in SPOTS)
    return trunks.JudgedSet(32, (Annotated(image, np.array(SPOTS)),), places)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Judge on spots, and note which draws are computed."""
    seen: list[list[int]] = []
    score = trunks.score

    def noted(trunk: object, judged: trunks.JudgedSet, draws: list[int]) -> object:
        seen.append(draws)
        return score(trunk, judged, draws)  # type: ignore[arg-type]

    monkeypatch.setattr(trunks, "read_set", lambda data, name, quick: spots(name))
    monkeypatch.setattr(trunks, "score", noted)
    return seen


def test_draws_that_are_in_the_log_are_not_done_again(tmp_path: Path, counted: list[list[int]]) -> None:
    log = tmp_path / "log.jsonl"

    def judge(n_draws: int) -> list[tuple[str, str, list[float]]]:
        return list(trunks.run(tmp_path, ["bundled"], ["nuclei"], n_draws, log))

    (first,) = judge(1)
    with log.open("a") as file:
        file.write('{"trunk": "half a li')
    (second,) = judge(1)
    assert second == first
    assert first[2][0] > 0.9
    assert counted == [[0]]


def test_cells_of_a_class_are_retrieved_before_others() -> None:
    """Large spots against small ones: each class is nearest to itself."""
    y, x = np.mgrid[:64, :64]
    rng = np.random.default_rng(0)
    places = []
    for index in range(14):
        size = (40, 250)[index % 2]
        image = np.exp(-((y - 32) ** 2 + (x - 32) ** 2) / size) + rng.normal(0, 0.03, (64, 64))
        places.append(
            trunks.Place(image.astype(np.float32)[None].clip(0, 1), 32.0, 32.0, ("small", "large")[index % 2])
        )
    with torch.inference_mode():
        (found,) = trunks.score(
            trunk_from_bytes(read_trunk("bundled"), 1), trunks.JudgedSet(48, (), tuple(places)), [0]
        )
    assert found > 0.9


def test_the_table_compares_with_imagenet() -> None:
    rows = [
        ("RBC", "bundled@1", [0.4, 0.6]),
        ("RBC", "resnet18_imagenet@2", [0.4, 0.4]),
        ("RBC", "random@3", [0.2, 0.2]),
    ]
    assert trunks.table(rows, "imagenet").splitlines() == [
        "| trunk | RBC | mean ratio |",
        "| --- | --- | --- |",
        "| bundled@1 | 0.500 +- 0.100 (1.25) | 1.25 |",
        "| resnet18_imagenet@2 | 0.400 +- 0.000 (1.00) | 1.00 |",
        "| random@3 | 0.200 +- 0.000 (0.50) | 0.50 |",
    ]
    assert "(" not in trunks.table(rows[:1], "imagenet")


def test_two_tenths_of_the_images_are_held_back_and_one_is_reported_on() -> None:
    names = [f"{i}.png" for i in range(2000)]
    assert 0.17 < np.mean([is_held_back(name) for name in names]) < 0.24
    assert 0.08 < np.mean([is_reported_on(name) for name in names]) < 0.13
    assert all(is_held_back(name) for name in names if is_reported_on(name))


@pytest.mark.parametrize(("name", "n_objects"), [("tissue +", 32), ("tissue -", 148), ("nuclei", 1), ("cells", 0)])
def test_real_sets_are_read(shared_data: Path, name: str, n_objects: int) -> None:
    judged = trunks.read_set(shared_data, name, quick=True)
    assert sum(len(image.centres) for image in judged.images) >= n_objects
    assert len(judged.places) >= 5
    assert all(0 <= image.pixels.min() < image.pixels.max() <= 1 for image in judged.images)
