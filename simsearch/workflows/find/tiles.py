"""Runs of a model over tiles: what is done is kept, and a tile that fails need not end the others."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from simsearch.errors import StoreError
from simsearch.io.tables.records.tile_log import TileLog
from simsearch.runtime.outcomes import Failed
from simsearch.runtime.submit import run_tasks
from simsearch.workflows.provenance import image_fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.workflows.image_set import ImageSet

Task = TypeVar("Task")
Result = TypeVar("Result")
LOG_NAME = "tiles.jsonl"


def check_free(folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Refuse to begin in a folder that holds something else by the names of results.

    Raises
    ------
    StoreError
        If there is something, no run was begun there, and it is not to be overwritten.
    """
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite and not (folder / LOG_NAME).exists():
        raise StoreError(f"{folder}: expected a new folder, got {there[0]} in it: add --overwrite or name another")


@contextmanager
def open_log(folder: Path, run: str, images: ImageSet, *, overwrite: bool) -> Iterator[TileLog]:
    """Open the log of a run over images.

    Parameters
    ----------
    folder : Path
        Of the results.
    run : str
        Fingerprint of the model or the boxes, the options and what the images were named by.
    images : ImageSet
        Those that can be read at present.
    overwrite : bool
        Whether to replace results of another run.

    Raises
    ------
    StoreError
        If there are other results, or an image was written anew since they were begun.
    """
    with TileLog(folder / LOG_NAME, run, overwrite=overwrite) as log:
        for image in images:
            log.begin(image.name, image_fingerprint(image))
        yield log


def run_tiles(
    client: Client,
    function: Callable[[Task], NDArray[Any]],
    tasks: Sequence[Task],
    step: str,
    log: TileLog,
    images: ImageSet,
    observe: Observer,
) -> list[tuple[str, str]]:
    """Do tiles, and keep in a log what they give.

    Returns
    -------
    list of (str, str)
        Names of the tiles that failed, and why.

    Raises
    ------
    SimSearchError
        The first error, if the images do not skip errors.
    """
    return finish_tasks(
        client,
        function,
        tasks,
        step,
        observe,
        skip_errors=images.skips_errors,
        keep=lambda task, rows: log.add(str(task), rows),
    )


def finish_tasks(
    client: Client,
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    step: str,
    observe: Observer,
    *,
    skip_errors: bool = False,
    keep: Callable[[Task, Result], None] = lambda task, result: None,
) -> list[tuple[str, str]]:
    """Do tasks, and give what they return to `keep`.

    Returns
    -------
    list of (str, str)
        Names of the tasks that failed, and why.

    Raises
    ------
    SimSearchError
        The first error, unless errors are skipped.
    """
    failures: list[tuple[str, str]] = []
    with closing(run_tasks(client, function, tasks, step=step, observe=observe)) as outcomes:
        for outcome in outcomes:
            if not isinstance(outcome, Failed):
                keep(outcome.task, outcome.result)
            elif skip_errors:
                failures.append((str(outcome.task), str(outcome.error)))
            else:
                raise outcome.error
    return failures
