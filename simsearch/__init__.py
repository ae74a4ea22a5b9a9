"""Find what you point at in very large microscopy images: on slides, on plates, on a Dask cluster.

In Python as on the command line: ``simsearch search IMAGE --prototypes boxes.csv --out results --floor 0.5`` is
``simsearch.search("IMAGE", "boxes.csv", "results", floor=0.5)``. What takes long is loaded when it is used first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simsearch.api import SimSearchError as SimSearchError
    from simsearch.api import convert as convert
    from simsearch.api import demo as demo
    from simsearch.api import detect as detect
    from simsearch.api import evaluate as evaluate
    from simsearch.api import find_images as find_images
    from simsearch.api import measure as measure
    from simsearch.api import open_cluster as open_cluster
    from simsearch.api import open_image as open_image
    from simsearch.api import open_plate as open_plate
    from simsearch.api import pretrain as pretrain
    from simsearch.api import rethreshold as rethreshold
    from simsearch.api import search as search
    from simsearch.api import segment as segment
    from simsearch.api import study as study
    from simsearch.api import train as train

__all__ = [
    "SimSearchError",
    "convert",
    "demo",
    "detect",
    "evaluate",
    "find_images",
    "measure",
    "open_cluster",
    "open_image",
    "open_plate",
    "pretrain",
    "rethreshold",
    "search",
    "segment",
    "study",
    "train",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  whatever has this name
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("simsearch.api"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
