"""No file that was damaged at random ends in a traceback, or takes memory without end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path as Folder

N_INPUTS = 300
MOST_GROWN_MIB = 400


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_are_understood_or_refused_in_words(tmp_path: Folder, seed: int) -> None:
    command = [sys.executable, "-m", "tests.faults.fuzz", "--seed", str(seed), "--inputs", str(N_INPUTS)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path / "fuzz")],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout)
    assert figures["understood"] + figures["refused"] == N_INPUTS
    assert min(figures["understood"], figures["refused"]) > N_INPUTS / 10  # damage is neither nothing nor everything
    assert figures["grown_mib"] < MOST_GROWN_MIB
