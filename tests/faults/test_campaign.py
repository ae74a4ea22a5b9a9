"""Commands that are killed, or meet each other, a full disk or hostile names: a few of those of `make campaign`."""

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

ROOT = Path(__file__).parents[2]
COMMANDS = "convert image,rethreshold,study import"
N_KILLS, N_INPUTS = 6, 5  # names all of them: damaged files have a test of their own


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc, and copies processes")
def test_what_is_killed_met_or_without_room_goes_on_and_nothing_is_half(tmp_path: Folder) -> None:
    numbers = ["--seed", "1", "--kills", str(N_KILLS), "--inputs", str(N_INPUTS)]
    folder = tmp_path / "campaign"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.campaign", *numbers, "--commands", COMMANDS, "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout)
    assert (figures["kills"], figures["inputs"]) == (N_KILLS, N_INPUTS)
    assert min(figures["writers"], figures["full_disk"]) > 0
    assert (figures["lost"], figures["tracebacks"], figures["files_outside"]) == (0, 0, 0)
