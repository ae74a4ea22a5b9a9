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
from benchmarks.synthetic import CELL, islands, write_slide
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
    first_s: float
    """Until something is suggested for the box."""
    box_s: float
    """Until all of the slide is searched."""
    n_first: int
    n_all: int
    """How many regions there are then."""
    note: str
    """What the page says of the way in which it searches."""


def make_study(scratch: Path, side: int, tissue: float) -> tuple[Path, tuple[float, float]]:
    """Make a study of a slide with islands of tissue; where it is, and where on the slide there is something."""
    occupied = islands(-(-side // CELL), tissue)
    slide = write_slide(scratch / f"slide{side}.ome.zarr", side, occupied)
    row, column = (int(each) for each in np.argwhere(occupied)[len(np.argwhere(occupied)) // 2])
    study = create_study(scratch / f"study{side}", [slide], StudyOptions(display=1))
    return study.folder, (row * CELL + 700.0, column * CELL + 800.0)


def serve_once(folder: Path, memory_bytes: int | None, place: tuple[float, float]) -> MemoryOfServer:
    """Open a study as `simsearch serve` does and draw one box: to be called in a new process."""
    with open_cluster("local") as client:
        study, free, idle = open_study(folder), free_bytes() / 2**20, peak_mib()
        with LiveStudy(client, study, memory_bytes) as live:
            begin = time.perf_counter()
            _wait(live, lambda: live.snapshot.suggestions.version > 0)
            look_s, looked = time.perf_counter() - begin, peak_mib()
            if not live.snapshot.curation.classes:
                live.act("ada", AddClass(_CLASS, "#e69f00"))
            at = Patch.at(study.images[0].name, place[0], place[1] + (memory_bytes or 0) % 1000)
            version, begin = live.snapshot.suggestions.version, time.perf_counter()
            live.act("ada", AddPrototypes(_CLASS, (at,), _PATCH))
            _wait(live, lambda: live.snapshot.suggestions.version > version and _n_found(live) > 0)
            first_s, n_first = time.perf_counter() - begin, _n_found(live)
            _wait(live, lambda: live.snapshot.suggestions.state == "ready")
            box_s, note = time.perf_counter() - begin, live.snapshot.suggestions.note
            times = look_s, first_s, box_s, n_first, _n_found(live)
            return MemoryOfServer(free, idle, looked, peak_mib(), *times, note)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20_480, help="of the slide in pixels")
    parser.add_argument("--tissue", type=float, default=1.0, help="share of the slide that is tissue")
    parser.add_argument("--memory-gib", type=float, nargs="*", default=[1.0], help="limits, after none")
    parser.add_argument("--scratch", type=Path, help="folder for the slide")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.scratch) as scratch:
        folder, place = make_study(Path(scratch), options.side, options.tissue)
        for gib in (None, *options.memory_gib):
            found = in_new_process(serve_once, folder, None if gib is None else int(gib * 2**30), place)
            print(f"{options.side:,} px, --memory {gib or 'by default'}: {found}", flush=True)


def _n_found(live: LiveStudy) -> int:
    return sum(len(each) for each in live.snapshot.suggestions.by_class.values())


def _wait(live: LiveStudy, is_so: Callable[[], bool]) -> None:
    while not is_so():
        if live.snapshot.suggestions.state == "failed":
            raise RuntimeError(live.snapshot.suggestions.message)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
