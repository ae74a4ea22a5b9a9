"""What a training leaves in its folder."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
import torch

from simsearch.errors import StoreError
from simsearch.runtime.training_log import PROGRESS_NAME, open_log, read_progress
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
