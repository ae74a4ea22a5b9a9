"""What a training leaves in its folder."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
import torch

from simsearch.errors import StoreError
from simsearch.runtime.training_log import CHECKPOINT_NAME, PROGRESS_NAME, open_log, read_progress
from simsearch.training.epochs import EpochDone

if TYPE_CHECKING:
    from pathlib import Path


def test_a_loss_that_is_no_number_is_json_for_every_program(tmp_path: Path) -> None:
    open_log(tmp_path, torch.device("cpu")).observe(EpochDone("clean", 1, 2, loss=math.nan))
    (line,) = (tmp_path / PROGRESS_NAME).read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None
    (epoch,) = read_progress(tmp_path)
    assert math.isnan(epoch.loss)


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
