"""Convert: images, slides and plates become OME-Zarr, tile by tile on a cluster.

Everything is made in a folder beside the destination, with a journal of what is done, and moved there when it is
complete: a conversion that was killed goes on where it was, and never leaves what opens but is not complete. In an
object store it is made where it will be, metadata last, and is complete when the journal is gone.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from simsearch.io.ome_zarr.plates.hierarchy import write_plate
from simsearch.io.ome_zarr.stores import remove_torn, stem
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, store_errors, windows_of
from simsearch.io.places import in_store
from simsearch.io.tables.records.journal import JOURNAL_NAME, Journal
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.outcomes import Failed
from simsearch.runtime.submit import run_tasks
from simsearch.workflows.convert.checks import Work, check_sources
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.convert.products import PlannedImage, Product, fingerprint, source_names
from simsearch.workflows.convert.tasks import (
    FinishTask,
    PixelTask,
    finish,
    measure_ranges,
    n_squares,
    pixel_tasks,
    write_pixels,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from simsearch.runtime import Client

_REPLACED = ".replaced"
_SQUARES_PER_THREAD = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What a conversion has done."""

    destination: str
    n_images: int
    """Images that were made, fields of plates included."""
    n_tasks: int
    """Tasks that write pixels, skipped ones included."""
    n_skipped_tasks: int
    """Tasks that an earlier, interrupted conversion had done."""
    failures: tuple[tuple[str, str], ...]
    """Names of images that were left out, and why."""
    notes: tuple[str, ...]
    """What else a user should know."""
    seconds: float


def convert(
    client: Client,
    sources: Sequence[str | Path],
    destination: str | Path,
    options: ConvertOptions | None = None,
    observe: Observer = ignore,
) -> Report:
    """Convert images, slides or a plate into OME-Zarr.

    Parameters
    ----------
    client : distributed.Client
        The cluster; it sees the sources and the destination under the same paths.
    sources : sequence of str or Path
        Files, folders of images, OME-Zarrs (also URLs), or one LoadData table (``.csv``).
    destination : str or Path
        Ends with ``.zarr``: the image or plate. Else a folder for an OME-Zarr of each image.
    options : ConvertOptions, optional
        How to convert.
    observe : callable
        Gets the events of each step.

    Returns
    -------
    Report
        What was done, left out, and is worth knowing.

    Raises
    ------
    ConfigError
        If sources, destination and options contradict each other.
    SourceError
        If a source cannot be read, or images of one dataset differ in channels or depth.
    AnnotationError
        If a LoadData table or a plate map is wrong.
    StoreError
        If the destination is there already, or cannot be written. What is done is kept.
    """
    begin = time.perf_counter()
    options = options or ConvertOptions()
    work = check_sources(client, sources, destination, options, observe)
    settings = _settings(options)
    with _journals(work.products, settings) as journals:  # until all is in its place, so that no two finish the same
        _write_pixels(client, work, journals, observe)
        _finish(client, work, settings, observe)
        for product in work.products:
            _publish(product, journals[product.destination])
    return Report(
        destination=str(destination),
        n_images=sum(len(product.images) for product in work.products),
        n_tasks=work.n_tasks,
        n_skipped_tasks=work.n_skipped_tasks,
        failures=tuple((name, str(error)) for name, error in work.failures.items()),
        notes=tuple(dict.fromkeys(work.notes)),
        seconds=time.perf_counter() - begin,
    )


def _settings(options: ConvertOptions) -> dict[str, Any]:
    settings = asdict(replace(options, overwrite=False, skip_errors=False))
    del settings["overwrite"], settings["skip_errors"]
    return {name: str(value) if isinstance(value, PurePath) else value for name, value in settings.items()}


@contextmanager
def _journals(products: Sequence[Product], settings: dict[str, Any]) -> Iterator[dict[Path, Journal]]:
    """Write to the folders of products as the only one; by their destinations."""
    with ExitStack() as stack:
        opened = {}
        for product in products:
            journal = stack.enter_context(closing(Journal(product.partial, fingerprint(product, settings))))
            opened[product.destination] = journal
            if journal.is_continued:
                with store_errors(str(product.partial)):
                    remove_torn(product.partial)
        yield opened


def _write_pixels(client: Client, work: Work, journals: dict[Path, Journal], observe: Observer) -> None:
    # Squares cost less in all, but one worker has to do each: there should be enough of them.
    n_enough = _SQUARES_PER_THREAD * sum(client.nthreads().values())
    in_squares = sum(map(n_squares, work.templates.values())) >= n_enough
    waiting = [
        (journals[product.destination], task)
        for product in work.products
        for image in product.images
        for task in _tasks_left(work, product, image, journals[product.destination], in_squares=in_squares)
    ]
    for level in sorted({task.level for _, task in waiting}):
        homes = {task: journal for journal, task in waiting if task.level == level}
        tasks = [task for task in homes if task.name not in work.failures]
        for outcome in run_tasks(client, write_pixels, tasks, step=f"level {level}", observe=observe):
            if isinstance(outcome, Failed):
                work.fail(outcome.task.name, outcome.error)
            else:
                homes[outcome.task].add(*outcome.task.blocks)
    work.drop_failed()


def _tasks_left(
    work: Work, product: Product, image: PlannedImage, journal: Journal, *, in_squares: bool
) -> list[PixelTask]:
    group, template = product.group(image), work.templates[image]
    in_squares &= not journal.done  # of a square that was begun, shards may be done
    tasks = pixel_tasks(image.name, group, image.spec, template, work.metas[image], in_squares=in_squares)
    left = [task for task in tasks if not journal.done.issuperset(task.blocks)]
    work.n_tasks += len(tasks)
    work.n_skipped_tasks += len(tasks) - len(left)
    if any(task.region for task in left):
        create_image(group, template)
    return left


def _finish(client: Client, work: Work, settings: dict[str, Any], observe: Observer) -> None:
    tasks = []
    for product in work.products:
        mine = [
            FinishTask(
                image.name, product.group(image), work.templates[image], _provenance(source_names(image.spec), settings)
            )
            for image in product.images
        ]
        tasks += _drawn_alike(client, mine, observe) if product.is_plate else mine
    for outcome in run_tasks(client, finish, tasks, step="finish", observe=observe):
        if isinstance(outcome, Failed):
            raise outcome.error
    for product in work.products:
        if product.is_plate:
            _finish_plate(product, work.templates, settings)


def _drawn_alike(client: Client, tasks: list[FinishTask], observe: Observer) -> list[FinishTask]:
    # Wells are compared by eye: all fields of a plate get the same windows.
    found = []
    for outcome in run_tasks(client, measure_ranges, tasks, step="ranges", observe=observe):
        if isinstance(outcome, Failed):
            raise outcome.error
        found.append(outcome.result)
    ranges = [
        (min(low for low, _ in channel), max(high for _, high in channel)) for channel in zip(*found, strict=True)
    ]
    windows = windows_of(tasks[0].template, ranges)
    return [replace(task, template=replace(task.template, windows=windows)) for task in tasks]


def _finish_plate(product: Product, templates: dict[PlannedImage, ImageTemplate], settings: dict[str, Any]) -> None:
    fields: dict[Any, list[str]] = {}
    for image in product.images:
        if image.well is not None:
            fields.setdefault(image.well, []).append(image.path.rsplit("/", 1)[-1])
    names = sorted({name for image in product.images for name in source_names(image.spec)})
    plate_map = [product.plate_map[well] for well in sorted(product.plate_map)]
    write_plate(
        str(product.partial),
        fields,
        others=product.plate_map,
        name=stem(product.destination.name),
        version=templates[product.images[0]].ome_version,
        provenance={**_provenance(names, settings), "plate_map": plate_map},
    )


def _provenance(names: Iterable[str], settings: dict[str, Any]) -> dict[str, Any]:
    return {"version": version("simsearch"), "sources": list(names), "options": settings}


def _publish(product: Product, journal: Journal) -> None:
    destination, old = product.destination, product.destination.with_name(product.destination.name + _REPLACED)
    with store_errors(str(destination)):
        if in_store(destination):
            journal.forget()
            return
        if destination.exists():
            shutil.rmtree(old, ignore_errors=True)
            destination.rename(old)
        product.partial.rename(destination)
        (destination / JOURNAL_NAME).unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)
