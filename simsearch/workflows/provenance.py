"""What made a result: written beside it."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.checks.formats import FORMAT_KEY
from simsearch.io.ome_zarr.stores import written_at
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.io.tables.records.results_folder import RUN_FORMAT, RUN_NAME, forget_withdrawn
from simsearch.io.tables.strict_json import strict
from simsearch.runtime.events import StepEnded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.nn.device import Arithmetic
    from simsearch.runtime.events import Event, Observer

_PACKAGES = ("simsearch", "dask", "distributed", "numpy", "ome-zarr", "torch", "torchvision", "zarr")


def user_name() -> str:
    """Name who gives a command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, a user may have no name
        return "unknown"


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


def fingerprint(content: Mapping[str, object]) -> str:
    """Hash all that something depends on, as JSON can hold it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def arithmetic_key(arithmetic: Arithmetic) -> dict[str, str]:
    """Tell what results depend on with an arithmetic; float32 is what was computed with before there was another."""
    return {} if arithmetic == "float32" else {"arithmetic": arithmetic}


def image_key(image: ImageMeta) -> list[object]:
    """Tell an image from others, and from itself after it was written anew."""
    return [image.path, image.stamp, written_at(image.path), image.z, image.t]


def image_fingerprint(image: ImageMeta) -> str:
    """Hash what `image_key` tells."""
    return fingerprint({"image": image_key(image)})


def write_run(folder: Path, workflow: str, content: Mapping[str, object]) -> None:
    """Write what was run, with which versions, and what came out, as JSON: the last file of a folder of results."""
    run = {
        FORMAT_KEY: RUN_FORMAT,
        "workflow": workflow,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        **content,
    }
    with replacing_text(folder / RUN_NAME) as file:
        json.dump(strict(run, _plain), file, indent=1, allow_nan=False)
    forget_withdrawn(folder)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"expected what JSON can hold, got {type(value).__name__}")
