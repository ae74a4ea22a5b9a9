"""Suggestions while a person draws: what was computed for the last prototypes is kept for the next.

The features of the displayed images are held in memory as spectra, which cost little to compare with. For each
prototype two maps of each image are kept: the highest similarity over its rotations, and their sum. So the next
prototype is all that is computed, and what was computed does not depend on which class it is of.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from dask.system import CPU_COUNT

from simsearch.core.feature_grid import to_level0
from simsearch.core.ranked_peaks import RankedPeaks, ranked_peaks, ranked_tables
from simsearch.nn.device import pick_device
from simsearch.nn.peaks import find_peaks
from simsearch.nn.similarity import left_out_similarities, make_query, refined, soft_maximum
from simsearch.nn.spectra import Spectra, make_kernels
from simsearch.runtime.events import Observer, TaskDone, ignore
from simsearch.runtime.memory import free_bytes
from simsearch.runtime.models import make_trunks
from simsearch.runtime.worker import hold
from simsearch.workflows.curate.live.blocks import Key, LiveBlocks, patch_key
from simsearch.workflows.curate.live.coarse_maps import CoarseMaps, grid_step, map_of
from simsearch.workflows.curate.live.held_images import HeldImages, Room, maps_bytes, peak_bytes, read_spectra
from simsearch.workflows.curate.refine import refinement, said_of
from simsearch.workflows.curate.sight import settle_measurement, sight_groups, study_groups, study_sight
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.curate.suggest import find_suggestions, tissue_of_large
from simsearch.workflows.find.peaks import Way
from simsearch.workflows.find.query import find_centre, view_of
from simsearch.workflows.find.trunks import read_chosen_trunk
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.core.boxes import Box
    from simsearch.curation.state import Curation
    from simsearch.runtime import Client
    from simsearch.runtime.views import View
    from simsearch.workflows.curate.live.coarse_maps import SimilarityMap
    from simsearch.workflows.curate.refine import Said
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.find.peaks import Candidates
    from simsearch.workflows.find.query import Group
    from simsearch.workflows.find.tissue import Tissue

_SHARE = 0.5  # of the memory that is free: workers need the rest
_N_KEPT = 64  # prototypes whose maps are kept, if there is room: what is undone may be redone
_N_EXPECTED = 16  # prototypes that there is room for where images are held

_ClassKey = tuple[tuple[Key, ...], tuple[Key, ...], tuple[Key, ...]]  # of prototypes, confirmed and flagged patches


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
    grounds: tuple[tuple[tuple[NDArray[np.float32], View], ...], ...] = ()
    """For each patch shape and each image, the mean similarity to all prototypes and how the image is seen; empty where
    images are too large to be held."""
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
        self._held: dict[int, HeldImages] = {}  # by downsampling
        self._tissues: Mapping[str, Tissue] = {}  # of images that are too large to be held
        self._drawn: tuple[Box, ...] = ()  # that were searched for last, the newest last
        self._kept: dict[Key, _Maps] = {}
        self._classes: dict[_ClassKey, _Class] = {}
        self._coarse = CoarseMaps()  # of images that are too large to be held
        self._making: object = None  # what has workers make trunks, as long as it is kept
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
        scales = {group.downsampling: group for group in sight_groups(curation)}
        key = (curation.displayed, curation.channels, frozenset(scales))
        if key == self._key:
            if has_prototypes:
                settle_measurement(self._client, self._study, curation, observe=observe)
            return bool(self._held)
        self._key = None
        self._let_go()
        _, setting = study_sight(self._client, self._study, curation, observe=observe)
        images = study_images(self._study, curation.displayed)
        views = {scale: tuple(view_of(image, group, setting) for image in images) for scale, group in scales.items()}
        everything = [view for each in views.values() for view in each]
        self._tissues = tissue_of_large(self._client, images, list(scales.values()), setting, observe)
        free = int(_SHARE * free_bytes()) if self._memory_bytes is None else self._memory_bytes
        self._room = Room(peak_bytes(everything) + _N_EXPECTED * maps_bytes(views[min(views)]), free)
        is_held = self._room.is_enough and all(view.features for view in everything)
        if not is_held:  # the first box finds workers with their trunk
            self._making = make_trunks(self._client, setting.trunk, len(setting.channels), setting.arithmetic)
        for scale, group in scales.items():
            centre = find_centre(self._client, ImageSet(images), group, setting, observe).to(pick_device())
            if is_held:
                hold(read_chosen_trunk(self._study.trunk))
                spectra = tuple(read_spectra(views[scale], centre, self._threads, observe))
                self._held[scale] = HeldImages(views[scale], setting, centre, spectra)
        self._key = key
        return bool(self._held)

    def find(
        self, curation: Curation, *, tell: Callable[[Findings], None] | None = None, observe: Observer = ignore
    ) -> Findings:
        """Find the peaks of similarity on the displayed images.

        Parameters
        ----------
        curation : Curation
            What was said.
        tell : callable, optional
            Gets what was found so far, from around the box that was drawn last outward, where images are too large to
            be held: their peaks alone.
        observe : callable
            Gets the events.

        Raises
        ------
        CurationError
            If no class has a prototype.
        SourceError, StoreError
            If an image cannot be read, or the folder not written.
        """
        groups = study_groups(curation)
        if self.look(curation, observe=observe):
            self._check_room(sum(len(group.boxes) for group in groups))
        self._coarse.clear()
        if not self._held:
            tell_part = partial(_tell_part, tell, curation) if tell else None
            way = Way(self._newest(groups), self._tissues, tell_part, self._coarse.add)
            found = find_suggestions(self._client, self._study, curation, way=way, observe=observe)
            return _findings_of(curation, found)
        for group in groups:
            self._compare(self._held[group.downsampling], group, observe)
        self._forget({patch_key(box) for group in groups for box in group.boxes})
        known, self._classes = self._classes, {}
        found_of = {name: each for group in groups for name, each in self._classes_of(curation, group, known).items()}
        classes = {each.name: found_of[each.name] for each in curation.classes if each.prototypes}
        maps = {name: each.maps for name, each in classes.items()}
        by_class, left_out = ({n: getattr(c, part) for n, c in classes.items()} for part in ("peaks", "left_out"))
        return Findings(curation.displayed, by_class, left_out, maps, tuple(self._ground(group) for group in groups))

    def coarse_map(self, class_name: str, image: str) -> SimilarityMap | None:
        """Return how similar an image too large to be held is to a class, as far as it was searched; in any thread."""
        return self._coarse.of(class_name, image)

    def prepare_answers(self, curation: Curation) -> None:
        """Read what a first answer needs, while nobody waits for it; of no effect without prototypes.

        Raises
        ------
        StoreError
            If features cannot be read.
        """
        if self._held and any(each.prototypes for each in curation.classes):
            for group in study_groups(curation):
                self._blocks.background(self._held[group.downsampling].seen_for(group), group.patch_shape)

    @property
    def room(self) -> Room:
        """Whether there was room to hold the images looked at last."""
        return self._room

    def close(self) -> None:
        """Let go of threads, and of what workers do for it."""
        self._making = None
        self._threads.shutdown(cancel_futures=True)

    def _newest(self, groups: Sequence[Group]) -> tuple[str, float, float]:
        """Tell where the box that was drawn last is: that is where somebody looks."""
        boxes = [box for group in groups for box in group.boxes]
        known = [box for box in self._drawn if box in boxes]
        self._drawn = (*known, *(box for box in boxes if box not in known))
        newest = self._drawn[-1]
        return newest.image, newest.y, newest.x

    def _compare(self, held: HeldImages, group: Group, observe: Observer) -> None:
        """Compare all images with prototypes that are new."""
        for box in group.boxes:
            if patch_key(box) not in self._kept:
                blocks = self._blocks.of(held.images, [box], group, held.setting)[box]
                self._kept[patch_key(box)] = self._maps_of([block.to(held.centre) for block in blocks], held)
                observe(TaskDone("suggestions", f"{box.image} y {box.y:g} x {box.x:g}"))

    def _maps_of(self, blocks: Sequence[torch.Tensor], held: HeldImages) -> _Maps:
        """Compare all images with the rotations of a prototype."""
        margin = held.views[0].kept_margin
        query = make_query([[blocks]], held.centre).blocks[0]
        kernels = list(self._threads.map(lambda group: make_kernels(group, margin), query))

        def compare(spectra: Spectra) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            with torch.inference_mode():
                found = torch.cat([spectra.compare(each) for each in kernels])
                return found.amax(dim=0).cpu().numpy(), found.sum(dim=0).cpu().numpy()

        found = list(self._threads.map(compare, held.spectra))
        return _Maps([best for best, _ in found], [total for _, total in found], len(blocks))

    def _classes_of(self, curation: Curation, group: Group, known: Mapping[_ClassKey, _Class]) -> Mapping[str, _Class]:
        """Find what looks like the classes of a group, as far as that is not known."""
        held, said, found = self._held[group.downsampling], said_of(curation, group), {}
        for name in group.classes:
            key = _class_key(group, name, said.get(name))
            new = known.get(key) or self._classes.get(key)
            found[name] = self._classes[key] = new or self._class_of(held, group.only(name), said.get(name))
        return found

    def _ground(self, group: Group) -> tuple[tuple[NDArray[np.float32], View], ...]:
        """Return the mean similarity to all prototypes of a group."""
        everything = [self._kept[patch_key(box)] for name in group.classes for box in group.only(name).boxes]
        n, views = sum(each.n_rotations for each in everything), self._held[group.downsampling].seen_for(group)
        return tuple(
            (np.sum([each.total[index] for each in everything], axis=0) / np.float32(n), view)
            for index, view in enumerate(views)
        )

    def _class_of(self, held: HeldImages, group: Group, said: Said | None) -> _Class:
        """Merge the maps of the prototypes of a class with what answers add, and find its peaks."""
        kept, softness = [self._kept[patch_key(box)] for box in group.boxes], held.setting.softness
        views = held.seen_for(group)
        drawn = self._blocks.of(held.images, group.boxes, group, held.setting)
        blocks = [[block.to(held.centre) for block in drawn[box]] for box in group.boxes]
        query, learned = make_query([blocks], held.centre, softness), None
        if said:
            answers = self._blocks.of_answers(held.images, said.boxes, group, held.setting)
            background = self._blocks.background(views, group.patch_shape).to(held.centre)
            here = {box: block.to(held.centre) for box, block in answers.items()}
            learned = refinement(query, group, group.classes[0], said, here, background)
        kernels = make_kernels(learned.block, held.views[0].kept_margin) if learned else None

        def merge(index: int) -> tuple[SimilarityMap, NDArray[np.float64]]:
            values = soft_maximum(torch.from_numpy(np.stack([each.best[index] for each in kept])), softness)
            if learned and kernels:
                with torch.inference_mode():
                    values = refined(values, held.spectra[index].compare(kernels)[0].cpu(), learned)
            return map_of(values.numpy(), views[index]), level0_peaks(values.numpy(), views[index], 0.0)

        merged = list(self._threads.map(merge, range(len(views))))
        maps, peaks = tuple(each for each, _ in merged), ranked_tables([table for _, table in merged])
        return _Class(maps, peaks, left_out_similarities(query, 0))

    def _let_go(self) -> None:
        self._held, self._kept, self._classes = {}, {}, {}
        self._coarse.clear()
        self._blocks.forget()

    def _bytes(self) -> tuple[int, int]:
        """Tell what it takes to hold the images, and what the maps of a prototype take at most."""
        held = [view for each in self._held.values() for view in each.views]
        return peak_bytes(held), maps_bytes(self._held[min(self._held)].views)

    def _check_room(self, n_prototypes: int) -> None:
        """Let go of the images where the maps of so many prototypes are too much beside them."""
        images, maps = self._bytes()
        self._room = Room(images + max(_N_EXPECTED, n_prototypes) * maps, self._room.bytes)
        if not self._room.is_enough:
            self._let_go()

    def _forget(self, wanted: set[Key]) -> None:
        images, maps = self._bytes()
        n_kept = min(_N_KEPT, max(0, self._room.bytes - images) // maps)
        others = [key for key in self._kept if key not in wanted]
        for key in others[: max(0, len(self._kept) - n_kept)]:
            del self._kept[key]


def _tell_part(tell: Callable[[Findings], None], curation: Curation, found: Candidates) -> None:
    tell(_findings_of(curation, found))


def _findings_of(curation: Curation, found: Candidates) -> Findings:
    """Sort what workers found by classes."""
    names = [each.name for each in curation.classes if each.prototypes]
    peaks = {name: [peak for peak in found.peaks if peak.class_name == name] for name in names}
    by_class = {name: ranked_peaks(here, curation.displayed) for name, here in peaks.items()}
    left_out = {name: found.left_out.get(name, ()) for name in names}
    return Findings(curation.displayed, by_class, left_out, candidates=found)


def _class_key(group: Group, name: str, said: Said | None) -> _ClassKey:
    """Tell what the similarity to a class depends on, whatever its name."""
    boxes = (group.only(name).boxes, said.confirmed if said else (), said.flagged if said else ())
    drawn, confirmed, flagged = (tuple(map(patch_key, each)) for each in boxes)
    return drawn, confirmed, flagged


def level0_peaks(values: NDArray[np.float32], view: View, floor: float) -> NDArray[np.float64]:
    """Find the peaks of a map of a whole image, as (N, 3) rows of y and x in level-0 pixels, and height."""
    framed = np.pad(values, view.peak_radius, constant_values=-np.inf)
    table = find_peaks(framed, view.peak_radius, floor)
    table[:, :2] = to_level0(0.0, view.image.downsampling) + grid_step(view) * table[:, :2]
    return table
