"""Find what you point at in very large microscopy images: on slides, on plates, on a Dask cluster.

In Python as on the command line: ``simsearch search IMAGE --prototypes boxes.csv --out results --floor 0.5`` is
``simsearch.search("IMAGE", "boxes.csv", "results", floor=0.5)``. What takes long to load is loaded when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simsearch.api import study as study
    from simsearch.api.doctor import doctor as doctor
    from simsearch.api.find import demo as demo
    from simsearch.api.find import search as search
    from simsearch.api.images import convert as convert
    from simsearch.api.images import measure as measure
    from simsearch.api.images import preview_conversion as preview_conversion
    from simsearch.api.learn import pretrain as pretrain
    from simsearch.api.learn import train as train
    from simsearch.api.progress import show_progress as show_progress
    from simsearch.api.run import detect as detect
    from simsearch.api.run import open_results as open_results
    from simsearch.api.run import segment as segment
    from simsearch.api.tables import evaluate as evaluate
    from simsearch.api.tables import report as report
    from simsearch.api.tables import rethreshold as rethreshold
    from simsearch.api.tables import sample as sample
    from simsearch.errors import SimSearchError as SimSearchError
    from simsearch.io import find_images as find_images
    from simsearch.io import open_image as open_image
    from simsearch.io import open_plate as open_plate
    from simsearch.runtime import open_cluster as open_cluster

_HOMES = {
    **dict.fromkeys(("convert", "measure", "preview_conversion"), "simsearch.api.images"),
    **dict.fromkeys(("demo", "search"), "simsearch.api.find"),
    **dict.fromkeys(("detect", "open_results", "segment"), "simsearch.api.run"),
    **dict.fromkeys(("evaluate", "report", "rethreshold", "sample"), "simsearch.api.tables"),
    **dict.fromkeys(("pretrain", "train"), "simsearch.api.learn"),
    **dict.fromkeys(("find_images", "open_image", "open_plate"), "simsearch.io"),
    "doctor": "simsearch.api.doctor",
    "open_cluster": "simsearch.runtime",
    "SimSearchError": "simsearch.errors",
    "show_progress": "simsearch.api.progress",
    "study": "simsearch.api.study",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:  # noqa: ANN401  whatever has this name
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return home if name == "study" else getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
