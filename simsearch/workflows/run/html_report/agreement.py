"""Whether the tables of a run say what its report says: what is missing or damaged is told, not left to be noticed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from simsearch.core.notes import some_of
from simsearch.errors import AnnotationError
from simsearch.io.ome_zarr.stores import image_name
from simsearch.io.tables.frames import object_counts
from simsearch.io.tables.records.results_folder import RUN_NAME
from simsearch.workflows.run.image_counts import IMAGE_COUNTS_NAME
from simsearch.workflows.run.objects import OBJECTS_NAME, PLATES_NAME
from simsearch.workflows.run.plate_report import WELLS_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from simsearch.workflows.run.results import ResultView

_AGAIN = "detect again"


def disagreements(result: ResultView, record: Mapping[str, Any]) -> list[str]:
    """Say of each table of a run how it differs from what the run reported, and what that leaves unsaid.

    Parameters
    ----------
    result : ResultView
        What the tables say.
    record : mapping
        What ``run.json`` says.

    Returns
    -------
    list of str
        Notes; none of a run whose files are as they were written.
    """
    if result.kind != "detect":
        return [*_of_areas(result)]
    return [*_of_objects(result), *_of_images(result), *_of_plates(result, record)]


def differing(path: Path, counts: Mapping[str, int], said: Mapping[str, int], reported: str = RUN_NAME) -> list[str]:
    """Say of a table which numbers of objects of a class are not those that were reported.

    Examples
    --------
    >>> from pathlib import Path
    >>> differing(Path("objects.csv"), {"RBC": 3}, {"RBC": 5, "WBC": 0})
    ['objects.csv: expected as many objects as run.json says, got 3 RBC instead of 5: detect again']
    """
    names = [*said, *(name for name in counts if name not in said)]
    parts = [
        f"{counts.get(name, 0):,} {name} instead of {said.get(name, 0):,}"
        for name in names
        if counts.get(name, 0) != said.get(name, 0)
    ]
    if not parts:
        return []
    return [f"{path}: expected as many objects as {reported} says, got {some_of(parts)}: {_AGAIN}"]


def _summed(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _of_objects(result: ResultView) -> Iterator[str]:
    path = result.folder / OBJECTS_NAME
    try:
        counts = object_counts(path)
    except AnnotationError as error:
        yield f"The numbers here are those of {RUN_NAME}, and no table of objects bears them out: {error}"
        return
    yield from differing(path, counts, result.n_objects)


def _of_images(result: ResultView) -> Iterator[str]:
    path = result.folder / IMAGE_COUNTS_NAME
    if not path.exists():
        yield f"Objects in each image are not told: {path}: expected a table, got no file: {_AGAIN}"
        return
    n_images = len(result.images)
    if n_images != result.n_images:
        yield f"{path}: expected one row for each image of {RUN_NAME} ({result.n_images}), got {n_images}: {_AGAIN}"
    yield from differing(path, _summed(each.counts for each in result.images), result.n_objects)


def _of_plates(result: ResultView, record: Mapping[str, Any]) -> Iterator[str]:
    known = {plate.name: plate for plate in result.plates}
    for name in map(image_name, record.get("plates", ())):
        path = result.folder / PLATES_NAME / name / WELLS_NAME
        if name not in known:
            yield f"Wells of {name} are not told: {path}: expected a table, got no file: {_AGAIN}"
            continue
        images = [each.counts for each in result.images if each.image.startswith(f"{name}/")]
        wells = _summed(well.counts for well in known[name].wells)
        if images:
            yield from differing(path, wells, _summed(images), IMAGE_COUNTS_NAME)


def _of_areas(result: ResultView) -> Iterator[str]:
    n_images = len({area.image for area in result.areas})
    if n_images != result.n_images:
        path = result.folder / "areas.csv"
        yield f"{path}: expected rows for each image of {RUN_NAME} ({result.n_images}), got {n_images}: segment again"
