"""Runs of a model over tiles: what is done is kept, and a tile that fails need not end the others."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from simsearch.runtime.submit import Failed, run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from simsearch.io.tile_log import TileLog
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.workflows.image_set import ImageSet

Task = TypeVar("Task")
LOG_NAME = "tiles.jsonl"


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
    failures: list[tuple[str, str]] = []
    with closing(run_tasks(client, function, tasks, step=step, observe=observe)) as outcomes:
        for outcome in outcomes:
            if not isinstance(outcome, Failed):
                log.add(str(outcome.task), outcome.result)
            elif images.skips_errors:
                failures.append((str(outcome.task), str(outcome.error)))
            else:
                raise outcome.error
    return failures
