"""The displayed images in memory, as spectra, which cost little to compare with; and whether there is room for them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from dask.system import CPU_COUNT

from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.feature_store import read_features
from simsearch.nn.spectra import Spectra
from simsearch.runtime.events import Observer, StepEnded, StepStarted, TaskDone
from simsearch.workflows.find.query import extractor_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.runtime.views import View
    from simsearch.workflows.find.query import Group, Setting

_KEPT_BY_ALLOCATOR = 1.25  # of what is taken, with what was given back and is not reused: 1.07 to 1.23 were measured


@dataclass(frozen=True, slots=True, eq=False)
class HeldImages:
    """The displayed images at one downsampling, ready to be compared."""

    views: tuple[View, ...]
    """Whatever the patch."""
    setting: Setting
    centre: torch.Tensor
    spectra: tuple[Spectra, ...]

    @property
    def images(self) -> list[ImageMeta]:
        """What they are."""
        return [view.image.meta for view in self.views]

    def seen_for(self, group: Group) -> tuple[View, ...]:
        """Return how images are seen with patches of a group."""
        extractor = extractor_of(group, self.setting)
        return tuple(replace(view, extractor=extractor) for view in self.views)


@dataclass(frozen=True, slots=True)
class Room:
    """Whether there is room to hold the displayed images."""

    needed_bytes: int
    """What it takes at its peak."""
    bytes: int
    """What it may take."""

    @property
    def is_enough(self) -> bool:
        """Whether they can be held."""
        return self.needed_bytes <= self.bytes


def read_spectra(
    views: Sequence[View], centre: torch.Tensor, threads: Executor, observe: Observer
) -> Iterator[Spectra]:
    """Transform kept features, in several threads."""
    observe(StepStarted("index", len(views)))
    begin = time.perf_counter()

    def transform(view: View) -> Spectra:
        height, width = view.grid_shape
        whole = Region(0, height, 0, width).grown(view.kept_margin).shifted(view.kept_margin)
        found = torch.from_numpy(read_features(str(view.features), whole)).to(centre.device)
        with torch.inference_mode():
            return Spectra(found, centre, view.kept_margin)

    for view, spectra in zip(views, threads.map(transform, views), strict=True):
        yield spectra
        observe(TaskDone("index", view.image.meta.name))
    observe(StepEnded("index", time.perf_counter() - begin))


def peak_bytes(views: Sequence[View]) -> int:
    """Tell what it takes to hold the spectra of images, with what is made on the way."""
    sizes = [(view.grid_shape, view.extractor.dim, view.kept_margin) for view in views]
    passing = sorted((Spectra.passing_bytes(*size) for size in sizes), reverse=True)
    return int(_KEPT_BY_ALLOCATOR * (sum(Spectra.n_bytes(*size) for size in sizes) + sum(passing[:CPU_COUNT])))


def maps_bytes(views: Sequence[View]) -> int:
    """Tell what the maps of a prototype take."""
    return 2 * 4 * sum(view.grid_shape[0] * view.grid_shape[1] for view in views)
