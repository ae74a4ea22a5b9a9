"""Peak memory of the process that serves a study of one large slide: before anybody opens the page, and after a box."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.memory import in_new_process, peak_mib
from benchmarks.synthetic import CELL, write_slide
from simsearch.app.session.live import LiveStudy
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.runtime import open_cluster
from simsearch.runtime.memory import free_bytes
from simsearch.workflows.curate.study import StudyOptions, create_study, open_study

if TYPE_CHECKING:
    from collections.abc import Callable

_CLASS, _PATCH = "cell", (64.0, 64.0)


@dataclass(frozen=True, slots=True)
class MemoryOfServer:
    """What a server needed."""

    free_mib: float
    """What was free when it began."""
    idle_mib: float
    """Peak resident memory when it has a cluster and no study."""
    looked_mib: float
    """Peak when it has looked at the slide, before anybody opens the page."""
    box_mib: float
    """Peak when there are suggestions for a box."""
    look_s: float
    box_s: float
    note: str
    """What the page says of the way in which it searches."""


def make_study(scratch: Path, side: int, tissue: float) -> Path:
    """Make a study of a slide, a part of whose cells have tissue; where it is, from which `serve_once` goes on."""
    n_cells = -(-side // CELL)
    occupied = np.arange(n_cells * n_cells).reshape(n_cells, n_cells) < tissue * n_cells * n_cells
    slide = write_slide(scratch / f"slide{side}.ome.zarr", side, occupied)
    return create_study(scratch / f"study{side}", [slide], StudyOptions(display=1)).folder


def serve_once(folder: Path, memory_bytes: int | None) -> MemoryOfServer:
    """Open a study as `simsearch serve` does and draw one box: to be called in a new process."""
    with open_cluster("local") as client:
        study, free, idle = open_study(folder), free_bytes() / 2**20, peak_mib()
        with LiveStudy(client, study, memory_bytes) as live:
            begin = time.perf_counter()
            _wait(live, lambda: live.snapshot.suggestions.version > 0)
            look_s, looked = time.perf_counter() - begin, peak_mib()
            if not live.snapshot.curation.classes:
                live.act("ada", AddClass(_CLASS, "#e69f00"))
            at = Patch.at(study.images[0].name, 700.0, 800.0 + (memory_bytes or 0) % 1000)
            version, begin = live.snapshot.suggestions.version, time.perf_counter()
            live.act("ada", AddPrototypes(_CLASS, (at,), _PATCH))
            _wait(live, lambda: (s := live.snapshot.suggestions).state == "ready" and s.version > version)
            box_s, note = time.perf_counter() - begin, live.snapshot.suggestions.note
            return MemoryOfServer(free, idle, looked, peak_mib(), look_s, box_s, note)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20_480, help="of the slide in pixels")
    parser.add_argument("--tissue", type=float, default=1.0, help="share of the slide that is tissue")
    parser.add_argument("--memory-gib", type=float, nargs="*", default=[1.0], help="limits, after none")
    parser.add_argument("--scratch", type=Path, help="folder for the slide")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.scratch) as scratch:
        folder = make_study(Path(scratch), options.side, options.tissue)
        for gib in (None, *options.memory_gib):
            found = in_new_process(serve_once, folder, None if gib is None else int(gib * 2**30))
            print(f"{options.side:,} px, --memory {gib or 'by default'}: {found}", flush=True)


def _wait(live: LiveStudy, is_so: Callable[[], bool]) -> None:
    while not is_so():
        if live.snapshot.suggestions.state == "failed":
            raise RuntimeError(live.snapshot.suggestions.message)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
