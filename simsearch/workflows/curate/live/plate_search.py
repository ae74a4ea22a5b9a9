"""What looks like the prototypes on all images of a study whose features are kept, a moment after a box is drawn.

Nothing is held in memory but the similarity to each prototype: features are read from the disk, all of them for each
new prototype. Nothing is projected either, so that similarities are those of `simsearch search`, but for rounding: less
than 0.002. Whoever displays other images changes nothing here: the vector that is subtracted is the mean of all images,
and random background is cut out of a few that lie evenly among them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from dask.system import CPU_COUNT

from simsearch.core.ranked_peaks import RankedPeaks, ranked_tables
from simsearch.core.tiles import even_tile, tile_cores
from simsearch.curation.suggestions import own_peaks, without_flagged
from simsearch.io.ome_zarr.feature_store import read_features
from simsearch.nn.device import native_arithmetic, pick_device
from simsearch.nn.similarity import Query, make_query, prototype_maps, refined, soft_maximum
from simsearch.runtime.events import Observer, StepStarted, TaskDone, ignore
from simsearch.runtime.worker import hold
from simsearch.workflows.curate.live.blocks import Key, LiveBlocks, patch_key
from simsearch.workflows.curate.live.search import level0_peaks
from simsearch.workflows.curate.refine import refinement, said_of
from simsearch.workflows.curate.sight import study_groups, study_setting, study_sight
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.find.features import can_keep_features, kept_bytes
from simsearch.workflows.find.query import find_centre, view_of
from simsearch.workflows.find.trunks import read_chosen_trunk
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from simsearch.curation.state import Curation
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.nn.similarity import Refinement
    from simsearch.runtime import Client
    from simsearch.runtime.views import View
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.find.query import Group, Setting

    Map = torch.Tensor
    Table = NDArray[np.float64]

_KEPT_BYTES = 2**30  # of similarities to prototypes; those for which there is no room are computed again
_N_BACKGROUND_IMAGES = 8
_WINDOW = 256  # positions along a side of what is read of an image at once


@dataclass(frozen=True, slots=True)
class Unseen:
    """Images of a study without features."""

    names: tuple[str, ...]
    n_bytes: int
    """Of disk that their features would take."""


@dataclass(frozen=True, slots=True, eq=False)
class PlateFindings:
    """What all images with features have to offer."""

    images: tuple[str, ...]
    """Their names, in the order of the study, which columns refer to."""
    by_class: Mapping[str, RankedPeaks]
    """Of each class with prototypes its own peaks of similarity above 0, without what was flagged."""


class PlateSearch:
    """Finds what looks like the prototypes on all images of a study, again and again.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    kept_bytes : int
        Of similarities to prototypes that are held in memory between searches.
    """

    def __init__(self, client: Client, study: Study, kept_bytes: int = _KEPT_BYTES) -> None:
        self._client, self._study, self._kept_bytes = client, study, kept_bytes
        self._threads = ThreadPoolExecutor(CPU_COUNT, "plate", lambda: torch.set_num_threads(1))
        self._blocks = LiveBlocks(study, self._threads.map)
        self._images: list[ImageMeta] = []
        self._setting: Setting | None = None
        self._best: dict[Key, dict[str, Map]] = {}  # by patch and image, over rotations

    def unseen(self, curation: Curation, *, observe: Observer = ignore) -> Unseen:
        """Tell which images have no features for the classes of a curation, or for a first patch.

        Raises
        ------
        SourceError, StoreError
            If an image cannot be read.
        """
        groups, setting = study_sight(self._client, self._study, curation, observe=observe)
        scales = {group.downsampling: group for group in groups}.values()
        views = [view_of(image, group, setting) for group in scales for image in self._all()]
        missing = [view for view in views if view.features is None and can_keep_features(view)]
        names = dict.fromkeys(view.image.meta.name for view in missing)
        return Unseen(tuple(names), sum(map(kept_bytes, missing)))

    def find(self, curation: Curation, *, observe: Observer = ignore) -> PlateFindings:
        """Find the peaks of similarity on all images whose features are kept.

        Parameters
        ----------
        curation : Curation
            What was said.
        observe : callable
            Gets the events; what it raises ends the search.

        Raises
        ------
        CurationError
            If no class has a prototype.
        SourceError, StoreError
            If an image or its features cannot be read.
        """
        groups, setting = study_groups(curation), study_setting(self._client, self._study, curation, observe)
        if setting != self._setting:
            self._setting, self._best = setting, {}
            self._blocks.forget()
        hold(read_chosen_trunk(self._study.trunk))
        views = {
            group: {image.name: view for image in self._all() if (view := view_of(image, group, setting)).features}
            for group in groups
        }
        images = [image.name for image in self._all() if all(image.name in seen for seen in views.values())]
        observe(StepStarted("plate", len(groups) * len(images)))
        tables: dict[str, list[Table]] = {}
        for group in groups:
            tables |= self._search(curation, group, [views[group][name] for name in images], setting, observe)
        self._forget({patch_key(box) for group in groups for box in group.boxes})
        ranked = {each.name: ranked_tables(tables[each.name]) for each in curation.classes if each.prototypes}
        own = own_peaks(curation, images, ranked) if images else ranked
        return PlateFindings(
            tuple(images), {name: without_flagged(curation, name, images, peaks) for name, peaks in own.items()}
        )

    def close(self) -> None:
        """Let go of threads."""
        self._threads.shutdown(cancel_futures=True)

    def _all(self) -> list[ImageMeta]:
        self._images = self._images or study_images(self._study)
        return self._images

    def _search(
        self, curation: Curation, group: Group, views: Sequence[View], setting: Setting, observe: Observer
    ) -> dict[str, list[Table]]:
        """Find the peaks of the classes of a group, for each image."""
        centre = find_centre(self._client, ImageSet(self._all()), group, setting, observe).to(pick_device())
        names = [view.image.meta.name for view in views]
        new = [box for box in group.boxes if not set(names) <= set(self._best.get(patch_key(box), ()))]
        learned = self._learned(curation, group, views, setting, centre)
        drawn = self._blocks.of(self._all(), new, group, setting)
        query = _query([[block.to(centre) for block in drawn[box]] for box in new], list(learned.values()), centre)
        found: dict[str, list[Table]] = {name: [] for name in group.classes}

        def search(view: View) -> tuple[list[Map], list[Table]]:
            fresh = _highest(view, query, len(new)) if query.blocks else []
            best = dict(zip(map(patch_key, new), (each.half() for each in fresh), strict=False))
            cosines = dict(zip(learned, fresh[len(new) :], strict=True))
            tables = []
            for name in group.classes:
                keys = [patch_key(box) for box in group.only(name).boxes]
                known = [best[key] if key in best else self._best[key][view.image.meta.name] for key in keys]
                values = soft_maximum(torch.stack(known).float(), setting.softness)
                if name in learned:
                    values = refined(values, cosines[name], learned[name])
                tables.append(level0_peaks(values.numpy(), view, 0.0))
            return list(best.values()), tables

        with closing(self._threads.map(search, views)) as results:  # type: ignore[type-var]  # a generator
            for image, (best, tables) in zip(names, results, strict=True):
                for box, values in zip(new, best, strict=True):
                    self._best.setdefault(patch_key(box), {})[image] = values
                for name, table in zip(group.classes, tables, strict=True):
                    found[name].append(table)
                observe(TaskDone("plate", image))
        return found

    def _learned(
        self, curation: Curation, group: Group, views: Sequence[View], setting: Setting, centre: torch.Tensor
    ) -> dict[str, Refinement]:
        """Refit the comparison of each class of which something was said."""
        said, images = said_of(curation, group), self._all()
        learned: dict[str, Refinement] = {}
        for name, here in said.items() if views else ():
            own = group.only(name)
            drawn = self._blocks.of(images, own.boxes, group, setting)
            query = make_query([[[b.to(centre) for b in drawn[box]] for box in own.boxes]], centre, setting.softness)
            answers = self._blocks.of_answers(images, here.boxes, group, setting)
            background = self._blocks.background(views[:: -(-len(views) // _N_BACKGROUND_IMAGES)], group.patch_shape)
            blocks = {box: block.to(centre) for box, block in answers.items()}
            refit = refinement(query, own, name, here, blocks, background.to(centre))
            learned |= {name: refit} if refit else {}
        return learned

    def _forget(self, wanted: set[Key]) -> None:
        """Let go of the oldest similarities, first of those that are not wanted now, until there is room."""
        n_bytes = {key: sum(values.nbytes for values in maps.values()) for key, maps in self._best.items()}
        for key in sorted(n_bytes, key=lambda key: key in wanted):
            if sum(n_bytes.values()) <= self._kept_bytes:
                break
            del self._best[key], n_bytes[key]


def _query(prototypes: Sequence[Sequence[torch.Tensor]], learned: Sequence[Refinement], centre: torch.Tensor) -> Query:
    """Ask for all prototypes as one class, and for each template as another."""
    base = make_query([prototypes], centre) if prototypes else Query(centre, (), (), 0.0)
    templates, only = tuple((each.block,) for each in learned), torch.zeros(1, dtype=torch.long)
    return Query(centre, (*base.blocks, *templates), (*base.owners, *[only] * len(learned)), 0.0)


def _highest(view: View, query: Query, n_prototypes: int) -> list[Map]:
    """Compare an image with each prototype, whatever its rotation, and with each template; window by window."""
    found = torch.empty(n_prototypes + len(query.blocks) - bool(n_prototypes), *view.grid_shape)
    for window in tile_cores(view.grid_shape, even_tile(view.grid_shape, _WINDOW)):
        vectors = read_features(str(view.features), window.grown(view.margin).shifted(view.kept_margin))
        with torch.inference_mode():
            maps = prototype_maps(torch.from_numpy(vectors).to(query.centre.device).float(), query, native_arithmetic())
            highest = [
                each[owners.to(each.device) == index].amax(dim=0)
                for each, owners in zip(maps, query.owners, strict=True)
                for index in range(int(owners.max()) + 1)
            ]
        found[:, *window.slices] = torch.stack(highest).cpu()
    return list(found)
