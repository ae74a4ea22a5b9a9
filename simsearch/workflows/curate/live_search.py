"""Suggestions while a person draws: what was computed for the last prototypes is kept for the next.

The features of the displayed images are held in memory as spectra, which cost little to compare with. For each
prototype two maps of each image are kept: the highest similarity over its rotations, and their sum. So the next
prototype is all that is computed, and what was computed does not depend on which class it is of.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from dask.system import CPU_COUNT

from simsearch.core.feature_grid import to_level0
from simsearch.core.peaks import find_peaks
from simsearch.core.ranked_peaks import RankedPeaks, ranked_peaks, ranked_tables
from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.feature_store import read_features
from simsearch.nn.device import pick_device
from simsearch.nn.similarity import left_out_similarities, make_query, refined, soft_maximum
from simsearch.nn.spectra import Spectra, make_kernels
from simsearch.runtime.events import Observer, StepEnded, StepStarted, TaskDone, ignore
from simsearch.runtime.memory import free_bytes
from simsearch.runtime.worker import hold
from simsearch.workflows.curate.live_blocks import Key, LiveBlocks, patch_key
from simsearch.workflows.curate.refine import refinement, said_of
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.curate.suggest import (
    find_suggestions,
    settle_measurement,
    sight_group,
    study_group,
    study_sight,
)
from simsearch.workflows.find.query import extractor_of, find_centre, view_of
from simsearch.workflows.find.trunks import read_chosen_trunk
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.curation.state import Curation
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.runtime import Client
    from simsearch.runtime.views import View
    from simsearch.workflows.curate.refine import Said
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.find.peaks import Candidates
    from simsearch.workflows.find.query import Group, Setting

_SHARE = 0.5  # of the memory that is free: workers need the rest
_N_KEPT = 64  # prototypes whose maps are kept, if there is room: what is undone may be redone
_KEPT_BY_ALLOCATOR = 1.25  # of what is taken, with what was given back and is not reused: 1.07 to 1.23 were measured
_N_EXPECTED = 16  # prototypes that there is room for where images are held

_ClassKey = tuple[tuple[Key, ...], tuple[Key, ...], tuple[Key, ...]]  # of prototypes, confirmed and flagged patches


@dataclass(frozen=True, slots=True, eq=False)
class SimilarityMap:
    """How similar an image is to a class."""

    values: NDArray[np.float32]
    """(h, w) similarity in [-1, 1]."""
    origin: tuple[float, float]
    """Row and column of the first value in level-0 pixels."""
    step: float
    """Level-0 pixels between values."""


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What the displayed images have to offer."""

    images: tuple[str, ...]
    """Their names, which columns refer to."""
    by_class: Mapping[str, RankedPeaks]
    """Peaks of similarity above 0 of each class with prototypes."""
    left_out: Mapping[str, tuple[float, ...]]
    """Of each of these classes how similar each prototype is to the others."""
    maps: Mapping[str, tuple[SimilarityMap, ...]] = field(default_factory=dict)
    """For each of these classes, the map of each image; empty where images are too large to be held."""
    mean: tuple[NDArray[np.float32], ...] = ()
    """For each image, the mean similarity to all prototypes; empty where images are too large to be held."""
    views: tuple[View, ...] = ()
    """How the images are seen; empty where they are too large to be held."""
    candidates: Candidates | None = None
    """What `find_suggestions` found, where images are too large to be held."""


@dataclass(frozen=True, slots=True, eq=False)
class _Maps:
    """What is kept of a prototype, for each image."""

    best: list[NDArray[np.float32]]
    """Highest similarity over its rotations."""
    total: list[NDArray[np.float32]]
    """Their sum."""
    n_rotations: int


@dataclass(frozen=True, slots=True, eq=False)
class _Class:
    """What is kept of a class, whatever its name."""

    maps: tuple[SimilarityMap, ...]
    peaks: RankedPeaks
    left_out: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Sight:
    """The displayed images, ready to be compared."""

    views: tuple[View, ...]
    """Whatever the patch."""
    setting: Setting
    centre: torch.Tensor
    spectra: tuple[Spectra, ...]

    @property
    def images(self) -> list[ImageMeta]:
        """What they are."""
        return [view.image.meta for view in self.views]


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


class LiveSearch:
    """Finds what `find_suggestions` finds, again and again.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    memory_bytes : int, optional
        What holding images may take at its peak, beside the process as it is; half of what is free by default.
    """

    def __init__(self, client: Client, study: Study, memory_bytes: int | None = None) -> None:
        self._client, self._study = client, study
        self._memory_bytes = memory_bytes
        self._room = Room(0, 0)
        # One thread for each core, and one core for each of them: where cores are shared, threads of one operation that
        # wait for each other are many times slower.
        self._threads = ThreadPoolExecutor(CPU_COUNT, "compare", lambda: torch.set_num_threads(1))
        self._key: object = None  # of what was looked at, whether it could be held or not
        self._sight: _Sight | None = None
        self._kept: dict[Key, _Maps] = {}
        self._classes: dict[_ClassKey, _Class] = {}
        self._blocks = LiveBlocks(study, self._threads.map)

    def look(self, curation: Curation, *, observe: Observer = ignore) -> bool:
        """Make the displayed images ready, whose features must be there; of no effect where they are.

        Returns
        -------
        bool
            Whether they are ready. Otherwise they are too large to be held.

        Raises
        ------
        SourceError, StoreError
            If an image cannot be read.
        """
        has_prototypes = any(each.prototypes for each in curation.classes)
        key = (curation.displayed, curation.channels, sight_group(curation).downsampling)
        if key == self._key:
            if has_prototypes:
                settle_measurement(self._client, self._study, curation, observe=observe)
            return self._sight is not None
        self._key, self._sight, self._kept, self._classes = None, None, {}, {}
        self._blocks.forget()
        group, setting = study_sight(self._client, self._study, curation, observe=observe)
        images = study_images(self._study, curation.displayed)
        views = tuple(view_of(image, group, setting) for image in images)
        free = int(_SHARE * free_bytes()) if self._memory_bytes is None else self._memory_bytes
        self._room = Room(_peak_bytes(views) + _N_EXPECTED * _maps_bytes(views), free)
        if self._room.is_enough and all(view.features for view in views):
            hold(read_chosen_trunk(self._study.trunk))
            centre = find_centre(self._client, ImageSet(images), group, setting, observe).to(pick_device())
            self._sight = _Sight(views, setting, centre, tuple(self._spectra(views, centre, observe)))
        self._key = key
        return self._sight is not None

    def find(self, curation: Curation, *, observe: Observer = ignore) -> Findings:
        """Find the peaks of similarity on the displayed images.

        Raises
        ------
        CurationError
            If no class has a prototype.
        SourceError, StoreError
            If an image cannot be read, or the folder not written.
        """
        group = study_group(curation)
        if self.look(curation, observe=observe) and self._sight is not None:
            self._check_room(self._sight.views, len(group.boxes))
        if self._sight is None:
            found = find_suggestions(self._client, self._study, curation, observe=observe)
            by_name = {name: [peak for peak in found.peaks if peak.class_name == name] for name in group.classes}
            by_class = {name: ranked_peaks(peaks, curation.displayed) for name, peaks in by_name.items()}
            return Findings(curation.displayed, by_class, found.left_out, candidates=found)
        sight, views = self._sight, _with_patch(self._sight, group)
        said = said_of(curation, group)
        self._compare(sight, group, observe)
        self._forget({patch_key(box) for box in group.boxes}, views)
        keys = {name: _class_key(group, name, said.get(name)) for name in group.classes}
        known = {key: self._classes[key] for key in keys.values() if key in self._classes}
        self._classes = known | {
            key: self._class_of(sight, group.only(name), said.get(name), views)
            for name, key in keys.items()
            if key not in known
        }
        classes = {name: self._classes[key] for name, key in keys.items()}
        everything = [self._kept[patch_key(box)] for name in group.classes for box in group.only(name).boxes]
        n = sum(each.n_rotations for each in everything)
        mean = tuple(np.sum([each.total[i] for each in everything], axis=0) / np.float32(n) for i in range(len(views)))
        maps = {name: each.maps for name, each in classes.items()}
        by_class, left_out = ({n: getattr(c, part) for n, c in classes.items()} for part in ("peaks", "left_out"))
        return Findings(curation.displayed, by_class, left_out, maps, mean, views)

    def prepare_answers(self, curation: Curation) -> None:
        """Read what a first answer needs, while nobody waits for it; of no effect without prototypes.

        Raises
        ------
        StoreError
            If features cannot be read.
        """
        if self._sight is not None and any(each.prototypes for each in curation.classes):
            group = study_group(curation)
            self._blocks.background(_with_patch(self._sight, group), group.patch_shape)

    @property
    def room(self) -> Room:
        """Whether there was room to hold the images looked at last."""
        return self._room

    def close(self) -> None:
        """Let go of threads."""
        self._threads.shutdown(cancel_futures=True)

    def _spectra(self, views: Sequence[View], centre: torch.Tensor, observe: Observer) -> Iterator[Spectra]:
        observe(StepStarted("index", len(views)))
        begin = time.perf_counter()

        def transform(view: View) -> Spectra:
            height, width = view.grid_shape
            whole = Region(0, height, 0, width).grown(view.kept_margin).shifted(view.kept_margin)
            found = torch.from_numpy(read_features(str(view.features), whole)).to(centre.device)
            with torch.inference_mode():
                return Spectra(found, centre, view.kept_margin)

        for view, spectra in zip(views, self._threads.map(transform, views), strict=True):
            yield spectra
            observe(TaskDone("index", view.image.meta.name))
        observe(StepEnded("index", time.perf_counter() - begin))

    def _compare(self, sight: _Sight, group: Group, observe: Observer) -> None:
        """Compare all images with prototypes that are new."""
        for box in group.boxes:
            if patch_key(box) not in self._kept:
                blocks = self._blocks.of(sight.images, [box], group, sight.setting)[box]
                self._kept[patch_key(box)] = self._maps_of([block.to(sight.centre) for block in blocks], sight)
                observe(TaskDone("suggestions", f"{box.image} y {box.y:g} x {box.x:g}"))

    def _maps_of(self, blocks: Sequence[torch.Tensor], sight: _Sight) -> _Maps:
        """Compare all images with the rotations of a prototype."""
        margin = sight.views[0].kept_margin
        query = make_query([[blocks]], sight.centre).blocks[0]
        kernels = list(self._threads.map(lambda group: make_kernels(group, margin), query))

        def compare(spectra: Spectra) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            with torch.inference_mode():
                found = torch.cat([spectra.compare(each) for each in kernels])
                return found.amax(dim=0).cpu().numpy(), found.sum(dim=0).cpu().numpy()

        found = list(self._threads.map(compare, sight.spectra))
        return _Maps([best for best, _ in found], [total for _, total in found], len(blocks))

    def _class_of(self, sight: _Sight, group: Group, said: Said | None, views: Sequence[View]) -> _Class:
        """Merge the maps of the prototypes of a class with what answers add, and find its peaks."""
        kept, softness = [self._kept[patch_key(box)] for box in group.boxes], sight.setting.softness
        drawn = self._blocks.of(sight.images, group.boxes, group, sight.setting)
        blocks = [[block.to(sight.centre) for block in drawn[box]] for box in group.boxes]
        query, learned = make_query([blocks], sight.centre, softness), None
        if said:
            answers = self._blocks.of_answers(sight.images, said.boxes, group, sight.setting)
            background = self._blocks.background(views, group.patch_shape).to(sight.centre)
            here = {box: block.to(sight.centre) for box, block in answers.items()}
            learned = refinement(query, group, group.classes[0], said, here, background)
        kernels = make_kernels(learned.block, sight.views[0].kept_margin) if learned else None

        def merge(index: int) -> tuple[SimilarityMap, NDArray[np.float64]]:
            values = soft_maximum(torch.from_numpy(np.stack([each.best[index] for each in kept])), softness)
            if learned and kernels:
                with torch.inference_mode():
                    values = refined(values, sight.spectra[index].compare(kernels)[0].cpu(), learned)
            return _map(values.numpy(), views[index]), level0_peaks(values.numpy(), views[index], 0.0)

        merged = list(self._threads.map(merge, range(len(views))))
        maps, peaks = tuple(each for each, _ in merged), ranked_tables([table for _, table in merged])
        return _Class(maps, peaks, left_out_similarities(query, 0))

    def _check_room(self, views: Sequence[View], n_prototypes: int) -> None:
        """Let go of the images where the maps of so many prototypes are too much beside them."""
        needed = _peak_bytes(views) + max(_N_EXPECTED, n_prototypes) * _maps_bytes(views)
        self._room = Room(needed, self._room.bytes)
        if not self._room.is_enough:
            self._sight, self._kept, self._classes = None, {}, {}
            self._blocks.forget()

    def _forget(self, wanted: set[Key], views: Sequence[View]) -> None:
        n_kept = min(_N_KEPT, max(0, self._room.bytes - _peak_bytes(views)) // _maps_bytes(views))
        others = [key for key in self._kept if key not in wanted]
        for key in others[: max(0, len(self._kept) - n_kept)]:
            del self._kept[key]


def _peak_bytes(views: Sequence[View]) -> int:
    """Tell what it takes to hold the spectra of images, with what is made on the way."""
    sizes = [(view.grid_shape, view.extractor.dim, view.kept_margin) for view in views]
    passing = sorted((Spectra.passing_bytes(*size) for size in sizes), reverse=True)
    return int(_KEPT_BY_ALLOCATOR * (sum(Spectra.n_bytes(*size) for size in sizes) + sum(passing[:CPU_COUNT])))


def _maps_bytes(views: Sequence[View]) -> int:
    """Tell what the maps of a prototype take."""
    return 2 * 4 * sum(view.grid_shape[0] * view.grid_shape[1] for view in views)


def _with_patch(sight: _Sight, group: Group) -> tuple[View, ...]:
    """Return how images are seen with patches of a group."""
    extractor = extractor_of(group, sight.setting)
    return tuple(replace(view, extractor=extractor) for view in sight.views)


def _class_key(group: Group, name: str, said: Said | None) -> _ClassKey:
    """Tell what the similarity to a class depends on, whatever its name."""
    boxes = (group.only(name).boxes, said.confirmed if said else (), said.flagged if said else ())
    drawn, confirmed, flagged = (tuple(map(patch_key, each)) for each in boxes)
    return drawn, confirmed, flagged


def _map(values: NDArray[np.float32], view: View) -> SimilarityMap:
    first = to_level0(0.0, view.image.downsampling)
    return SimilarityMap(values, (first, first), _step(view))


def level0_peaks(values: NDArray[np.float32], view: View, floor: float) -> NDArray[np.float64]:
    """Find the peaks of a map of a whole image, as (N, 3) rows of y and x in level-0 pixels, and height."""
    framed = np.pad(values, view.peak_radius, constant_values=-np.inf)
    table = find_peaks(framed, view.peak_radius, floor)
    table[:, :2] = to_level0(0.0, view.image.downsampling) + _step(view) * table[:, :2]
    return table


def _step(view: View) -> float:
    """Return the level-0 pixels between positions."""
    return view.extractor.grid.stride * view.image.downsampling
