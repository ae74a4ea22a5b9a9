"""What made a result: written beside it."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simsearch.runtime.events import StepEnded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simsearch.runtime.events import Event, Observer

_PACKAGES = ("simsearch", "dask", "distributed", "numpy", "ome-zarr", "torch", "torchvision", "zarr")


class Timings:
    """Adds up how long the steps of a workflow take, and passes all events on."""

    def __init__(self, observe: Observer) -> None:
        self.seconds: dict[str, float] = {}
        self._observe = observe

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, StepEnded):
            self.seconds[event.step] = round(self.seconds.get(event.step, 0.0) + event.seconds, 3)
        self._observe(event)


def write_run(path: Path, workflow: str, content: Mapping[str, object]) -> None:
    """Write what was run, with which versions, and what came out, as JSON."""
    run = {
        "workflow": workflow,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        **content,
    }
    path.write_text(json.dumps(run, indent=1, default=_plain))


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"expected what JSON can hold, got {type(value).__name__}")
