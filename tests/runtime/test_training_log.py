"""What a training leaves in its folder."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
import torch

from simsearch.errors import Cancelled, StoreError
from simsearch.runtime.events import StepEnded, StepStarted, TaskDone, Waiting
from simsearch.runtime.training_log import (
    CHECKPOINT_NAME,
    PROGRESS_NAME,
    _Follower,
    cancel_training,
    open_log,
    read_progress,
)
from simsearch.training.epochs import EpochDone

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.runtime.events import Event


def test_a_loss_that_is_no_number_is_json_for_every_program(tmp_path: Path) -> None:
    open_log(tmp_path, torch.device("cpu")).observe(EpochDone("clean", 1, 2, loss=math.nan))
    (line,) = (tmp_path / PROGRESS_NAME).read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None
    (epoch,) = read_progress(tmp_path)
    assert math.isnan(epoch.loss)


def test_views_are_told_while_they_are_computed_and_cost_the_first_epoch_no_time(tmp_path: Path) -> None:
    told: list[Event] = []
    follower, log = _Follower(tmp_path, told.append), open_log(tmp_path, torch.device("cpu"))
    for n_done in (1, 3):
        log.prepare("noisy", n_done, 4)
        follower.look()
    follower.look()
    log.prepare("noisy", 4, 4)
    follower.look()
    log.observe(EpochDone("noisy", 1, 2, loss=0.5))
    log.prepare("clean", 1, 2)
    follower.look(is_over=True)
    noisy, waiting = "views of noisy patches", Waiting("training")
    done = [TaskDone(noisy, f"batch {n}") for n in range(4)]
    (ended,) = (event for event in told if isinstance(event, StepEnded))
    assert told == [StepStarted(noisy, 4), *done[:3], waiting, done[3], ended, *read_progress(tmp_path)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.jsonl", "views.txt"]
    open_log(tmp_path, torch.device("cpu"))  # after a kill
    assert not (tmp_path / "views.txt").exists()


def test_a_training_is_cancelled_while_views_are_computed(tmp_path: Path) -> None:
    log = open_log(tmp_path, torch.device("cpu"))
    log.prepare("clean", 1, 9)
    cancel_training(tmp_path)
    with pytest.raises(Cancelled, match="run the same command again"):
        log.prepare("clean", 2, 9)
    assert not (tmp_path / "views.txt").exists()


@pytest.mark.parametrize("line", ["[" * 100_000, "{}", "[]", "nothing", '{"stage": "clean", "loss": 1, "more": 2}'])
def test_a_damaged_line_is_told_with_the_way_out(tmp_path: Path, line: str) -> None:
    (tmp_path / PROGRESS_NAME).write_text(line + "\n")
    with pytest.raises(StoreError, match=r"progress.jsonl: expected an epoch in each line, got .*train again"):
        read_progress(tmp_path)


def test_a_checkpoint_has_a_format_and_that_of_a_newer_simsearch_is_refused(tmp_path: Path) -> None:
    open_log(tmp_path, torch.device("cpu")).keep({"step": 3})
    path = tmp_path / CHECKPOINT_NAME
    kept = torch.load(path, weights_only=True)
    assert kept["format"] == 1
    torch.save({**kept, "format": 2}, path)
    with pytest.raises(StoreError, match=r"checkpoint.pt: expected format 1 or older, got 2: update simsearch"):
        open_log(tmp_path, torch.device("cpu"))
    del kept["format"]  # as before formats had numbers
    torch.save(kept, path)
    checkpoint = open_log(tmp_path, torch.device("cpu")).checkpoint
    assert checkpoint is not None
    assert checkpoint["step"] == 3
