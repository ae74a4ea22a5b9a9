"""The peaks of similarity in images, and what may be background."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from skimage.filters import threshold_otsu

from simsearch.core.checks.names import path_in
from simsearch.core.feature_grid import to_level0
from simsearch.core.peaks import Peak, PeakColumns
from simsearch.core.tiles import halves_of, tile_cores
from simsearch.curation.state import BACKGROUND
from simsearch.errors import StoreError
from simsearch.io.ome_zarr.image import describe_image, open_image
from simsearch.io.ome_zarr.writing import ImageTemplate, Window, create_image, finish_image
from simsearch.io.pictures.overlay import CLASS_COLORS
from simsearch.nn.similarity import left_out_similarities, query_to_bytes
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.search import SearchTask, find_candidates, search_tile
from simsearch.runtime.views import window_region
from simsearch.runtime.worker import lent
from simsearch.workflows.find.query import Group, Setting, find_query, image_name, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from simsearch.core.boxes import Box
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.io.tables.records.tile_log import TileLog
    from simsearch.nn.similarity import Query
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.runtime.views import View
    from simsearch.workflows.find.tissue import Tissue
    from simsearch.workflows.image_set import ImageSet


_COARSE_SIDE = 512  # squares along the longer side of a coarse map: a quarter of a megabyte for each class and image
_NEAR_TILE, _FAR_TILE = 64, 128  # positions along a side of tiles at a box and away from it, where somebody waits
_TELL_S, _TELL_SHARE = 1.0, 10.0  # seconds between what is told, and times as long as telling takes
_LOWEST_PERCENT = 5  # of peaks, that a suggested threshold does not look at


@dataclass(frozen=True, slots=True)
class Candidates:
    """What images have to offer, by image, class and place."""

    peaks: tuple[Peak, ...]
    """Peaks of similarity of each class."""
    highest: tuple[Peak, ...]
    """Local maxima of the mean similarity to all prototypes; difficult background, where nobody marked anything."""
    lowest: tuple[Peak, ...]
    """Its local minima: easy background."""
    left_out: Mapping[str, tuple[float, ...]]
    """Of each class how similar each prototype is to the others (`left_out_similarities`)."""


def find_group_peaks(
    client: Client, images: ImageSet, group: Group, setting: Setting, log: TileLog, observe: Observer
) -> list[Peak]:
    """Search all images for the classes of a group.

    Images that fail are left out of `images`, or end the search. What the log has of the same query is not done again.

    Returns
    -------
    list of Peak
        By image, class and place.

    Raises
    ------
    AnnotationError
        If no prototype of a class is left.
    """
    query_bytes = query_to_bytes(find_query(client, images, images, group, setting, observe))
    peaks: list[Peak] = []
    with lent(client, query_bytes) as query:
        tasks = [task for image in images for task in _search_tasks(image, group, setting, query)]
        missing = [task for task in tasks if _key(task) not in log.done]
        outcomes = run_tasks(client, search_tile, missing, step="search", observe=observe)
        for task, table in images.results(outcomes, image_name):
            log.add(_key(task), table)
    shapes = (group.patch_shape,) * len(group.classes)
    for task in tasks:
        if _key(task) in log.done:
            peaks += peaks_of(log.done[_key(task)].reshape(-1, 4), task.view, group.classes, shapes)
    if setting.maps:
        for image in images:
            template = _map_template(view_of(image, group, setting), group, setting)
            finish_image(_map_path(setting.maps, image, group), template)
    return list(_of_images(peaks, images))


@dataclass(frozen=True, slots=True)
class Way:
    """How a search goes through images."""

    around: tuple[str, float, float] | None = None
    """Image, row and column in level-0 pixels: what is nearest comes first, in tiles that are small there."""
    tissues: Mapping[str, Tissue] = field(default_factory=dict)
    """Where there is tissue in some of the images: tiles of nothing but glass are left out."""
    tell: Callable[[Candidates], None] | None = None
    """Gets what was found so far, with the first tile and then every second, or less often where there is much."""
    draw: Callable[[SearchTask, Sequence[str], NDArray[np.uint8]], None] | None = None
    """Gets of each tile, before `tell`, how similar its squares are to classes, as `find_candidates` tells it."""

    def tiles(self, tasks: Iterable[SearchTask]) -> list[SearchTask]:
        """Leave out tasks, and put the others in order; where somebody waits they are cut first."""
        kept = [self._drawn(task) for task in tasks if self._has_tissue(task)]
        if not self.around:
            return kept
        return sorted((piece for task in kept for piece in self._cut(task)), key=self._distance)

    def _cut(self, task: SearchTask) -> Iterator[SearchTask]:
        """Quarter a tile as long as it is large, or the box is no farther away than its side and it is not small."""
        side = max(task.window.shape)
        is_elsewhere, away = self._distance(task)
        near = not is_elsewhere and away < side * task.view.extractor.grid.stride * task.view.image.downsampling
        if task.view.features is not None or side <= (_NEAR_TILE if near else _FAR_TILE):
            yield task
            return
        for half in halves_of(task.window):
            for quarter in halves_of(half):
                yield from self._cut(replace(task, window=quarter))

    def _drawn(self, task: SearchTask) -> SearchTask:
        """Ask for squares of which no image has more than 512 along a side, where somebody draws them."""
        return replace(task, coarseness=-(-max(task.view.grid_shape) // _COARSE_SIDE)) if self.draw else task

    def _has_tissue(self, task: SearchTask) -> bool:
        image, tissue = task.view.image.meta, self.tissues.get(image_name(task))
        return tissue is None or bool(tissue.within(window_region(task.view, task.window).clipped(image.shape)).any())

    def _distance(self, task: SearchTask) -> tuple[bool, float]:
        image, y, x = self.around or ("", 0.0, 0.0)
        region = window_region(task.view, task.window)
        away = math.hypot((region.y0 + region.y1) / 2 - y, (region.x0 + region.x1) / 2 - x)
        return image_name(task) != image, away


def find_group_candidates(
    client: Client,
    images: ImageSet,
    group: Group,
    setting: Setting,
    query: Query,
    observe: Observer,
    way: Way | None = None,
) -> Candidates:
    """Find the peaks of the classes of a group, and what may be background (paper algorithm 1).

    Images that fail are left out of `images`, or end the run. What is found depends on what a way leaves out, and not
    on its order.
    """
    way = way or Way()
    shapes = (group.patch_shape,) * len(group.classes)
    found: tuple[list[Peak], ...] = ([], [], [])
    left_out = {name: left_out_similarities(query, index) for index, name in enumerate(group.classes)}

    def gathered() -> Candidates:
        peaks, highest, lowest = (_of_images(each, images) for each in found)
        return Candidates(peaks, highest, lowest, left_out)

    with lent(client, query_to_bytes(query)) as digest:
        tasks = way.tiles(task for image in images for task in _search_tasks(image, group, setting, digest))
        outcomes = run_tasks(client, find_candidates, tasks, step="suggestions", observe=observe)
        due = 0.0
        for task, (*tables, coarse) in images.results(outcomes, image_name):
            if way.draw:
                way.draw(task, group.classes, coarse)
            for each, table, names in zip(found, tables, (group.classes, (BACKGROUND,), (BACKGROUND,)), strict=True):
                each.extend(peaks_of(table, task.view, names, shapes))
            if way.tell and (begin := time.perf_counter()) >= due:
                way.tell(gathered())
                due = time.perf_counter() + max(_TELL_S, _TELL_SHARE * (time.perf_counter() - begin))
    return gathered()


def peaks_of(
    table: NDArray[np.float64], view: View, classes: Sequence[str], patch_shapes: Sequence[tuple[float, float]]
) -> PeakColumns:
    """Turn rows of class index, y and x in grid steps, and score into peaks in level-0 pixels.

    Each class has a patch shape.
    """
    stride, downsampling = view.extractor.grid.stride, view.image.downsampling
    y, x = (to_level0(stride * steps, downsampling) for steps in table.T[1:3])
    index = table[:, 0].astype(np.int32)
    height, width = np.array(patch_shapes, np.float64)[index].T
    return PeakColumns(view.image.meta.name, tuple(classes), index, y, x, height, width, table[:, 3])


def suggested_threshold(peaks: Sequence[Peak], boxes: Sequence[Box]) -> float:
    """Split the similarities of a class into two groups; with nothing to split, keep all.

    The peaks at the prototypes themselves say nothing about other objects, and are left out; so are the lowest, since
    a few peaks on empty ground would be a group of their own.

    Parameters
    ----------
    peaks : sequence of Peak
        Of any classes.
    boxes : sequence of Box
        Prototypes of one class, at least one.
    """
    similarities = np.array(
        [
            peak.score
            for peak in peaks
            if peak.class_name == boxes[0].class_name and not any(_is_at(peak, box) for box in boxes)
        ]
    )
    return split_similarities(similarities)


def split_similarities(similarities: NDArray[np.floating]) -> float:
    """Split the similarities of peaks that are no prototypes into two groups; with nothing to split, keep all."""
    if len(similarities):
        similarities = similarities[similarities >= np.percentile(similarities, _LOWEST_PERCENT)]
    return round(float(threshold_otsu(similarities)), 3) if len(np.unique(similarities)) > 1 else 0.0


def _of_images(peaks: Iterable[Peak], images: ImageSet) -> tuple[Peak, ...]:
    """Leave out what was found in images before they failed; the rest in an order that does not depend on the run."""
    return tuple(sorted((p for p in peaks if p.image in images), key=lambda p: (p.image, p.class_name, p.y, p.x)))


def _search_tasks(image: ImageMeta, group: Group, setting: Setting, query: str) -> Iterator[SearchTask]:
    view = view_of(image, group, setting)
    path = None
    if setting.maps:
        path = _map_path(setting.maps, image, group)
        create_image(path, _map_template(view, group, setting))
    for window in tile_cores(view.grid_shape, setting.search_tile(view.grid_shape)):
        yield SearchTask(view, window, query, setting.floor, path)


def _key(task: SearchTask) -> str:
    """Name a tile in a log: what it gives depends on the query, and that on all images that can be read."""
    return f"{task.query[:16]} {task}"


def _map_path(folder: Path, image: ImageMeta, group: Group) -> str:
    height, width = group.patch_shape
    return str(path_in(folder, image.name) / f"{height:g}x{width:g}.ome.zarr")


def _map_template(view: View, group: Group, setting: Setting) -> ImageTemplate:
    """Describe a similarity map: its grid lies over the image in the image's own units."""
    step = view.extractor.grid.stride * view.image.downsampling
    first = to_level0(0.0, view.image.downsampling)
    meta, n_classes = view.image.meta, len(group.classes)
    units = (1.0, 1.0) if meta.pixel_size_um else meta.spacing  # what a pixel measures where nobody named the unit
    y, x = (first + origin / spacing for origin, spacing in zip(meta.origin, meta.spacing, strict=True))
    return ImageTemplate(
        n_channels=n_classes,
        shape=view.grid_shape,
        dtype="float32",
        channel_names=group.classes,
        channel_colors=tuple(CLASS_COLORS[i % len(CLASS_COLORS)].removeprefix("#") for i in range(n_classes)),
        pixel_size_um=meta.pixel_size_um,
        windows=(Window(start=0.0, end=1.0, min=-1.0, max=1.0),) * n_classes,
        scale=(step * units[0], step * units[1]),
        translation=(y * units[0], x * units[1]),
        chunk=setting.tile_size,
        shard=setting.tile_size,
        n_levels=1,
    )


def open_similarity(folder: Path, image: str, class_name: str) -> xr.DataArray:
    """Open the similarity map of a class lazily.

    Parameters
    ----------
    folder : Path
        With the maps of a search.
    image : str
        Name of the image.
    class_name : str
        Name of the class.

    Returns
    -------
    (y, x) xarray.DataArray
        Similarity from -1 to 1. The coordinates are centres in the image, as `open_image` gives them.

    Raises
    ------
    StoreError
        If there is no such map.
    """
    maps = [describe_image(path) for path in sorted((folder / image).glob("*.ome.zarr"))]
    for each in maps:
        if class_name in each.channel_names:
            return open_image(each).sel(c=class_name)
    known = ", ".join(name for each in maps for name in each.channel_names)
    raise StoreError(
        f"{folder}: expected a similarity map of {class_name} in {image}, got {known or 'no maps of this image'}: "
        "correct the name, or search with maps"
    )


def _is_at(peak: Peak, box: Box) -> bool:
    return peak.image == box.image and math.hypot(peak.y - box.y, peak.x - box.x) < min(box.height, box.width) / 2
