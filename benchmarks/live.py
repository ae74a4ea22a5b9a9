"""How long a person waits for suggestions: six images, features ready, prototype after prototype."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simsearch.app.session.live import LiveStudy
from simsearch.core.synthetic import cell_field
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AddPrototypes, FlagNegatives
from simsearch.curation.state import Patch
from simsearch.io.ome_zarr.pyramid import halved
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.runtime import open_cluster
from simsearch.workflows.curate.live.search import LiveSearch
from simsearch.workflows.curate.offers import suggested_background, suggested_thresholds
from simsearch.workflows.curate.study import Study, StudyOptions, create_study, read_curation
from simsearch.workflows.curate.suggest import find_suggestions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client

_N_IMAGES, _PATCH = 6, (48.0, 48.0)
_CLASS = "cell"


def run(side: int, n_prototypes: int) -> Iterator[tuple[str, float]]:
    """Measure.

    Yields
    ------
    str, float
        What a person waits for, or a step of it, and how many seconds it takes.
    """
    with tempfile.TemporaryDirectory() as folder, open_cluster("local") as client:
        study = make_study(Path(folder), side)
        with LiveStudy(client, study) as live:
            begin = time.perf_counter()
            _wait(live, lambda: live.snapshot.suggestions.state == "empty" and _is_looked_at(live))
            yield "opened, until features are ready before any box", time.perf_counter() - begin
            live.act("ada", AddClass(_CLASS, "#e69f00"))
            waited = [_draw(live, patch) for patch in _places(side, n_prototypes)]
            flags = [_flag(live) for _ in range(20)]
        yield "first box to its suggestions", waited[0]
        yield "another prototype to new suggestions, median", statistics.median(waited[1:])
        yield "another prototype to new suggestions, most", max(waited[1:])
        yield "a flag, on the disk and shown, median", statistics.median(kept for kept, _ in flags)
        yield "a first flag to new suggestions, with random blocks cut", flags[0][1]
        yield "another flag to new suggestions, median", statistics.median(waited for _, waited in flags[1:])
        yield "another flag to new suggestions, most", max(waited for _, waited in flags[1:])
        yield from _steps(client, study)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048, help="of an image in pixels")
    parser.add_argument("--prototypes", type=int, default=8)
    arguments = parser.parse_args()
    for what, seconds in run(arguments.side, arguments.prototypes):
        print(f"{what}: {1000 * seconds:.1f} ms", flush=True)


def make_study(folder: Path, side: int) -> Study:
    """Make a study of synthetic cells, all images of which are displayed."""
    rng, paths = np.random.default_rng(0), []
    for index in range(_N_IMAGES):
        pixels = cell_field(rng, (side, side), n_cells=round(900 * (side / 2048) ** 2), no_gfp_fraction=0).image
        path = folder / f"image{index}.ome.zarr"
        template = ImageTemplate(
            n_channels=len(pixels),
            shape=(side, side),
            dtype=str(pixels.dtype),
            channel_names=("GFP", "DNA"),
            channel_colors=("00FF00", "0000FF"),
        )
        create_image(path, template)
        for level in range(len(template.level_shapes)):
            pixels = halved(pixels) if level else pixels
            for region in template.regions(level):
                write_region(path, level, region, pixels[(slice(None), *region.slices)])
        finish_image(path, template)
        paths.append(path)
    return create_study(folder / "study", paths, StudyOptions(display=_N_IMAGES))


def _places(side: int, n: int) -> list[Patch]:
    rng = np.random.default_rng(1)
    centres = rng.uniform(100, side - 100, (n, 2))
    return [Patch.at(f"image{i % _N_IMAGES}", y, x) for i, (y, x) in enumerate(centres.tolist())]


def _is_looked_at(live: LiveStudy) -> bool:
    return any(job.kind == "features" and job.state == "done" for job in live.snapshot.jobs)


def _wait(live: LiveStudy, is_so: Callable[[], bool]) -> None:
    while not is_so():
        if live.snapshot.suggestions.state == "failed":
            raise SystemExit(live.snapshot.suggestions.message)
        time.sleep(0.002)


def _draw(live: LiveStudy, patch: Patch) -> float:
    version, begin = live.snapshot.suggestions.version, time.perf_counter()
    live.act("ada", AddPrototypes(_CLASS, (patch,), _PATCH))
    _wait(live, lambda: (s := live.snapshot.suggestions).state == "ready" and s.version > version)
    waited = time.perf_counter() - begin
    time.sleep(0.5)  # a person looks; the background is chosen meanwhile
    return waited


def _flag(live: LiveStudy) -> tuple[float, float]:
    """Return how long it takes until a flag is on the disk, and until suggestions follow it."""
    suggestions = live.snapshot.suggestions
    peaks, flagged = suggestions.by_class[_CLASS], len(live.snapshot.curation.roi_class(_CLASS).negatives)
    at = -1 - flagged
    patch = Patch.at(suggestions.images[int(peaks.image[at])], float(peaks.y[at]), float(peaks.x[at]))
    begin = time.perf_counter()
    live.act("ada", FlagNegatives(_CLASS, (patch,)))
    kept = time.perf_counter() - begin
    _wait(live, lambda: live.snapshot.suggestions.version > suggestions.version)
    waited = time.perf_counter() - begin
    time.sleep(0.5)  # a person looks; the background is chosen meanwhile
    return kept, waited


def _steps(client: Client, study: Study) -> Iterator[tuple[str, float]]:
    """Time the steps of another prototype, and the headless command on the same study."""
    curation = read_curation(study)[0].state
    search, n = LiveSearch(client, study), len(curation.roi_class(_CLASS).prototypes)

    def timed(work: Callable[[], object]) -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    yield "look at images whose features are kept", timed(lambda: search.look(curation))
    yield "compare with one prototype whose block is kept", timed(lambda: search.find(curation)) / n
    found = search.find(curation)
    yield "nothing new: merge maps, find peaks", timed(lambda: search.find(curation))
    yield (
        "suggest a threshold",
        timed(lambda: suggested_thresholds(curation, found.images, found.by_class, found.left_out)),
    )
    least = suggested_thresholds(curation, found.images, found.by_class, found.left_out)
    yield "choose background", timed(lambda: suggested_background(curation, found, found.by_class, least))
    yield "the headless command, features kept", timed(lambda: find_suggestions(client, study, curation))
    search.close()


if __name__ == "__main__":
    main()
