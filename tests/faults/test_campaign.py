"""Commands that are killed, that meet each other or a full disk: a few of the many of `make campaign`."""

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
N_KILLS = 8


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc, and copies processes")
def test_what_is_killed_met_or_without_room_goes_on_and_nothing_is_half(tmp_path: Folder) -> None:
    command = [sys.executable, "-m", "tests.faults.campaign", "--seed", "1", "--kills", str(N_KILLS), "--inputs", "0"]
    done = subprocess.run(
        [*command, "--commands", "convert image,rethreshold,study import", "--folder", str(tmp_path / "campaign")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout)
    assert figures["kills"] == N_KILLS
    assert min(figures["writers"], figures["full_disk"]) > 0
    assert (figures["lost"], figures["tracebacks"], figures["files_outside"]) == (0, 0, 0)
