"""A detection by four processes, one of which is slowed tenfold, with and without a second worker for slow tiles.

python benchmarks/stragglers.py --side 5120
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

import numpy as np

from benchmarks.synthetic import CELL, FLOOR, write_model, write_slide
from simsearch.runtime import open_cluster
from simsearch.runtime.steps import stragglers
from simsearch.workflows.event_log import EVENTS_NAME
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect

if TYPE_CHECKING:
    from collections.abc import Iterator

_SLOWED = 10
_PERIOD_S = 0.5
_HOW = {"run.json", "events.jsonl", "tiles.jsonl"}  # the time, and the order in which tiles came


@contextmanager
def slowed(pid: int) -> Iterator[None]:
    """Let a process run for a tenth of the time only."""
    enough = Flag()

    def beat() -> None:
        while not enough.wait(_PERIOD_S / _SLOWED):
            os.kill(pid, signal.SIGSTOP)
            enough.wait(_PERIOD_S * (1 - 1 / _SLOWED))
            os.kill(pid, signal.SIGCONT)

    thread = Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def run(slide: Path, model: Path, out: Path, tile: int, *, has_backups: bool) -> tuple[float, int]:
    """Detect once; return the seconds that it took, and how many tiles went to a second worker."""
    factor = stragglers.FACTOR if has_backups else float("inf")
    with patch.object(stragglers, "FACTOR", factor), open_cluster("local:4") as client:
        pids = client.run(os.getpid)
        with slowed(pids[min(pids)]):
            begin = time.perf_counter()
            detect(client, find_image_set([slide]), model, out, DetectOptions(floor=FLOOR, tile=tile))
            seconds = time.perf_counter() - begin
    events = [json.loads(line)["event"] for line in (out / EVENTS_NAME).read_text().splitlines()]
    return seconds, events.count("BackupStarted")


def results(out: Path) -> dict[str, bytes]:
    """Read what a detection has found."""
    paths = (path for path in out.rglob("*") if path.is_file() and path.name not in _HOW)
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def main() -> None:
    """Run it on the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=5120, help="Of the slide, in pixels.")
    parser.add_argument("--tile", type=int, default=96, help="As of detect.")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        model = write_model(root / "model.safetensors", plate=False)
        n_cells = -(-options.side // CELL)
        slide = write_slide(root / "slide.ome.zarr", options.side, np.ones((n_cells, n_cells), bool))
        for number in range(options.runs):
            outs = {has: root / f"{number}-{has}" for has in (False, True)}
            seconds = {has: run(slide, model, out, options.tile, has_backups=has) for has, out in outs.items()}
            is_same = results(outs[False]) == results(outs[True])
            (before, _), (after, n_backups) = seconds[False], seconds[True]
            print(
                f"without {before:.1f} s, with {after:.1f} s ({n_backups} backups): {after / before:.2f} of the time, "
                f"results {'the same' if is_same else 'DIFFER'} ({len(results(outs[True]))} files)",
                flush=True,
            )


if __name__ == "__main__":
    main()
