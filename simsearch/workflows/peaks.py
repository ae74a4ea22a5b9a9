"""From boxes to peaks: prototypes become a query, the query is compared with every image."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

from simsearch.core.boxes import Box, patch_shapes
from simsearch.core.feature_grid import from_level0, to_level0, working_downsampling
from simsearch.core.peaks import Peak
from simsearch.core.tiles import tile_cores
from simsearch.errors import AnnotationError, SourceError
from simsearch.io.overlay import CLASS_COLORS
from simsearch.io.scaled import scaled
from simsearch.io.writing import ImageTemplate, Window, create_image, finish_image
from simsearch.nn.extractor import make_extractor
from simsearch.nn.similarity import make_query, mean_vector, query_to_bytes
from simsearch.runtime.search_tasks import (
    PrototypeTask,
    SearchTask,
    VectorTask,
    View,
    compute_blocks,
    search_tile,
    sum_vectors,
)
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.worker import lent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.core.intensity import Range
    from simsearch.io.image import ImageMeta
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.workflows.image_set import ImageSet

# Grid positions along a side of a tile: seconds of work for a CPU, and wide beside the margin that is computed twice.
_TILE = {"template": 128, "pooled": 128, "patchwise": 96}
_SAMPLE_TILE, _N_SAMPLES = 32, 24  # windows that the mean vector is computed from, spread over all images


@dataclass(frozen=True, slots=True)
class Group:
    """Classes whose patches have the same shape: one pass over the images serves them all."""

    patch_shape: tuple[float, float]
    """Height and width in level-0 pixels."""
    classes: tuple[str, ...]
    """Names of the classes."""
    boxes: tuple[Box, ...]
    """Prototypes of these classes."""

    @property
    def downsampling(self) -> int:
        """Level-0 pixels per pixel that is searched."""
        return working_downsampling(self.patch_shape)

    @property
    def working_shape(self) -> tuple[int, int]:
        """Height and width of a patch in pixels that are searched."""
        height, width = (round(side / self.downsampling) for side in self.patch_shape)
        return height, width


@dataclass(frozen=True, slots=True)
class Setting:
    """How images are looked at."""

    method: str
    """template, pooled or patchwise."""
    channels: tuple[int, ...]
    """Which channels."""
    ranges: tuple[Range, ...]
    """For each of them the intensities that become 0 and 1."""
    trunk: str
    """Digest of the broadcast trunk."""
    floor: float
    """Peaks of lower similarity are not kept."""
    tile: int | None = None
    """Grid positions along a side of a tile."""
    maps: Path | None = None
    """Folder for similarity maps."""


def group_boxes(boxes: Sequence[Box]) -> list[Group]:
    """Group boxes by the patch shape of their class."""
    shapes = patch_shapes(boxes)
    return [
        Group(
            shape,
            tuple(name for name in shapes if shapes[name] == shape),
            tuple(box for box in boxes if shapes[box.class_name] == shape),
        )
        for shape in dict.fromkeys(shapes.values())
    ]


def find_group_peaks(client: Client, images: ImageSet, group: Group, setting: Setting, observe: Observer) -> list[Peak]:
    """Search all images for the classes of a group.

    Images that fail are left out of `images`, or end the search.

    Returns
    -------
    list of Peak
        In no particular order.

    Raises
    ------
    AnnotationError
        If no prototype of a class is left.
    """
    blocks = _prototype_blocks(client, images, group, setting, observe)
    centre = _centre(client, images, group, setting, observe)
    found: dict[str, list[NDArray[np.float64]]] = {image.name: [] for image in images}
    with lent(client, query_to_bytes(make_query(blocks, centre))) as query:
        tasks = [task for image in images for task in _search_tasks(image, group, setting, query)]
        outcomes = run_tasks(client, search_tile, tasks, step="search", observe=observe)
        for task, table in images.results(outcomes, _name):
            found[_name(task)].append(table)
    if setting.maps:
        for image in images:
            template = _map_template(_view(image, group, setting), group, setting)
            finish_image(_map_path(setting.maps, image, group), template)
    return list(chain.from_iterable(_peaks(image, found[image.name], group, setting) for image in images))


def _name(task: PrototypeTask | VectorTask | SearchTask) -> str:
    return task.view.image.meta.name


def _view(image: ImageMeta, group: Group, setting: Setting) -> View:
    extractor = make_extractor(setting.method, group.working_shape)
    return View(scaled(image, group.downsampling), setting.channels, setting.ranges, extractor, setting.trunk)


def _prototype_blocks(
    client: Client, images: ImageSet, group: Group, setting: Setting, observe: Observer
) -> list[list[torch.Tensor]]:
    """Return for each class the blocks of its prototypes, in the order of their boxes."""
    tasks = [
        PrototypeTask(
            _view(images[box.image], group, setting),
            index,
            from_level0(box.y, group.downsampling),
            from_level0(box.x, group.downsampling),
        )
        for index, box in enumerate(group.boxes)
        if box.image in images
    ]
    found: dict[int, list[torch.Tensor]] = {}
    outcomes = run_tasks(client, compute_blocks, tasks, step="prototypes", observe=observe)
    for task, turned in images.results(outcomes, _name):
        found[task.index] = [torch.from_numpy(block) for block in turned]
    blocks: dict[str, list[torch.Tensor]] = {name: [] for name in group.classes}
    for index in sorted(found):
        blocks[group.boxes[index].class_name] += found[index]
    for name, class_blocks in blocks.items():
        if not class_blocks:
            raise AnnotationError(f"class {name}: expected a prototype in an image that can be read, got none")
    return list(blocks.values())


def _centre(client: Client, images: ImageSet, group: Group, setting: Setting, observe: Observer) -> torch.Tensor:
    """Return the mean vector of a sample of the images, or zeros where the method has none."""
    extractor = make_extractor(setting.method, group.working_shape)
    if not extractor.is_centred:
        return torch.zeros(extractor.dim)
    views = [_view(image, group, setting) for image in images]
    tasks = [VectorTask(view, window) for view in views for window in tile_cores(view.grid_shape, _SAMPLE_TILE)]
    # Evenly over all windows, so that the sample does not depend on chance.
    tasks = [tasks[i] for i in sorted({int(i) for i in np.linspace(0, len(tasks) - 1, _N_SAMPLES)})]
    sums = {}
    outcomes = run_tasks(client, sum_vectors, tasks, step="mean vector", observe=observe)
    for task, (vector, count) in images.results(outcomes, _name):
        sums[str(task)] = (torch.from_numpy(vector), count)
    if not sums:
        raise SourceError("expected images whose features can be sampled, got none: see what was left out")
    return mean_vector(sums[name] for name in sorted(sums))


def _search_tasks(image: ImageMeta, group: Group, setting: Setting, query: str) -> Iterator[SearchTask]:
    view = _view(image, group, setting)
    path = None
    if setting.maps:
        path = _map_path(setting.maps, image, group)
        create_image(path, _map_template(view, group, setting))
    radius = max(1, round(min(group.working_shape) / 2 / view.extractor.grid.stride))
    for window in tile_cores(view.grid_shape, _tile(setting)):
        yield SearchTask(view, window, query, radius, setting.floor, path)


def _tile(setting: Setting) -> int:
    return setting.tile or _TILE[setting.method]


def _map_path(folder: Path, image: ImageMeta, group: Group) -> str:
    height, width = group.patch_shape
    return str(folder / image.name / f"{height:g}x{width:g}.ome.zarr")


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
        chunk=_tile(setting),
        shard=_tile(setting),
        n_levels=1,
    )


def _peaks(image: ImageMeta, tables: Sequence[NDArray[np.float64]], group: Group, setting: Setting) -> Iterator[Peak]:
    stride = make_extractor(setting.method, group.working_shape).grid.stride
    for class_index, y, x, similarity in np.concatenate(tables):
        yield Peak(
            image.name,
            group.classes[int(class_index)],
            to_level0(stride * y, group.downsampling),
            to_level0(stride * x, group.downsampling),
            group.patch_shape,
            float(similarity),
        )
