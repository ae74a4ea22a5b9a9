"""What happens in a run, a line an event, for whoever has no terminal to look at."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import in_store
from simsearch.io.tables.records.appended import Parts
from simsearch.io.tables.strict_json import strict
from simsearch.runtime.events import StepStarted, TaskDone, Waiting
from simsearch.runtime.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simsearch.io.places import ObjectPath
    from simsearch.runtime.events import Event, Observer

EVENTS_NAME = "events.jsonl"


def logged(observe: Observer, folder: Path) -> Observer:
    """Write events to a folder before they are passed on.

    Parameters
    ----------
    observe : callable
        Gets the events too.
    folder : Path
        Gets ``events.jsonl``, made at the first event; in an object store, numbered parts of it. A line is a JSON
        object: ``time`` (ISO 8601, UTC), ``event``, what the event tells (``step``, ``task``, ``message``) and where
        the step is (``n_tasks``, ``n_done``, ``n_failed``, ``n_pixels``, ``n_pixels_done``, ``tasks_per_s``,
        ``mpx_per_s``, ``eta_s``). Those of a run that goes on follow those of the one that was stopped.
    """
    rates, path = Rates(), folder / EVENTS_NAME
    append = _part_writer(stored) if (stored := in_store(path)) else _file_writer(path)

    def write(event: Event) -> None:
        if not isinstance(event, Waiting):
            line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": type(event).__name__}
            text = json.dumps(strict(line | _facts(event, rates)), allow_nan=False) + "\n"
            with store_errors(str(path)):
                append(text.encode(), event)
        observe(event)

    return write


def _file_writer(path: Path) -> Callable[[bytes, Event], None]:
    def append(line: bytes, event: Event) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(line)

    return append


def _part_writer(place: ObjectPath) -> Callable[[bytes, Event], None]:
    """Write a part every few seconds, and when something has happened after which nothing may come."""
    opened: list[Parts] = []

    def append(line: bytes, event: Event) -> None:
        if not opened:  # a store is asked when there is something to write
            opened.append(Parts(place))
        opened[0].add(line)
        if not isinstance(event, StepStarted | TaskDone):
            opened[0].write()

    return append


def _facts(event: Event, rates: Rates) -> dict[str, object]:
    progress = rates.take(event)
    if progress is None:
        return asdict(event)
    eta_s = progress.eta_s
    return {
        **asdict(event),
        **asdict(progress),  # the pixels of the step, not of the task
        "seconds": round(progress.seconds, 3),
        "tasks_per_s": round(progress.tasks_per_s, 3),
        "mpx_per_s": round(progress.mpx_per_s, 3),
        "eta_s": None if eta_s is None else round(eta_s, 1),
    }
