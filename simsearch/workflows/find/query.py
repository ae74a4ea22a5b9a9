"""From boxes to a query: the prototypes' blocks, and the mean vector that is subtracted before they are compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from simsearch.core.boxes import Box, patch_shapes
from simsearch.core.feature_grid import from_level0, working_downsampling
from simsearch.core.tiles import even_tile, tile_cores
from simsearch.errors import AnnotationError, SourceError
from simsearch.io.ome_zarr.feature_store import has_features, read_blocks, write_blocks
from simsearch.io.ome_zarr.scaled import scaled
from simsearch.nn.extractor import Extractor, make_extractor
from simsearch.nn.similarity import SOFTNESS, Query, make_query, mean_vector
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.needs import LARGEST_TILE
from simsearch.runtime.tasks.search import PrototypeTask, VectorTask, compute_blocks, sum_vectors
from simsearch.runtime.views import View
from simsearch.workflows.provenance import arithmetic_key, fingerprint, image_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simsearch.core.intensity import Range
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.nn.device import Arithmetic
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.workflows.image_set import ImageSet

# Grid positions along a side of a tile: seconds of work for a CPU, and wide beside the margin that is computed twice.
_TILE = {"template": 128, "template-fine": 128, "template-deep": 128, "pooled": 128, "patchwise": 96}
STUDY_FRAME = 6
"""Grid steps around images that studies compute features of: half of the largest block, so that features are there
before anybody has drawn a patch."""
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
    scale: int | None = None
    """Level-0 pixels per pixel that is searched, where patches of other sizes decide; by default what this one says."""

    def only(self, name: str) -> Group:
        """Return the group with one of its classes."""
        return replace(self, classes=(name,), boxes=tuple(box for box in self.boxes if box.class_name == name))

    @property
    def downsampling(self) -> int:
        """Level-0 pixels per pixel that is searched."""
        return self.scale or working_downsampling(self.patch_shape)

    @property
    def working_shape(self) -> tuple[int, int]:
        """Height and width of a patch in pixels that are searched."""
        height, width = (round(side / self.downsampling) for side in self.patch_shape)
        return height, width


@dataclass(frozen=True, slots=True)
class Setting:
    """How images are looked at."""

    method: str
    """One of `simsearch.nn.extractor.METHODS`."""
    channels: tuple[int, ...]
    """Which channels."""
    ranges: tuple[Range, ...]
    """For each of them the intensities that become 0 and 1."""
    trunk: str
    """Digest of the broadcast trunk."""
    floor: float
    """Peaks of lower similarity are not kept."""
    softness: float = SOFTNESS["soft"]
    """How similarities to the prototypes of a class are combined: the temperature of a soft maximum."""
    tile: int | None = None
    """Grid positions along a side of a tile."""
    maps: Path | None = None
    """Folder for similarity maps."""
    cache: Path | None = None
    """Folder with feature maps and prototypes' blocks of earlier runs."""
    frame: int = 0
    """Of the extractor: how far around images features are computed at least."""
    arithmetic: Arithmetic = "float32"
    """What the trunk computes with."""

    @property
    def tile_size(self) -> int:
        """Grid positions along a side of a tile."""
        return self.tile or _TILE[self.method]

    def search_tile(self, shape: tuple[int, int]) -> int:
        """Grid positions along a side of a tile in which an image with so many is searched, if no map is kept."""
        if self.tile or self.maps or not self.method.startswith("template"):
            return self.tile_size
        return even_tile(shape, LARGEST_TILE[self.arithmetic])


class OfImage(Protocol):
    """A task that works on one image."""

    @property
    def view(self) -> View:
        """How it sees the image."""


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


def image_name(task: OfImage) -> str:
    """Name the image of a task."""
    return task.view.image.meta.name


def view_of(image: ImageMeta, group: Group, setting: Setting) -> View:
    """Tell how an image is seen, and where its features are if they were computed before."""
    extractor = extractor_of(group, setting)
    view = View(
        scaled(image, group.downsampling),
        setting.channels,
        setting.ranges,
        extractor,
        setting.trunk,
        arithmetic=setting.arithmetic,
    )
    path = feature_path(view, setting.cache) if setting.cache else None
    return replace(view, features=path if path and has_features(path) else None)


def extractor_of(group: Group, setting: Setting) -> Extractor:
    """Tell how vectors are computed."""
    return replace(make_extractor(setting.method, group.working_shape), frame=setting.frame)


def feature_key(view: View) -> dict[str, Any]:
    """Tell all that the features of an image depend on, as JSON can hold it."""
    return {
        "image": image_key(view.image.meta),
        "downsampling": view.image.downsampling,
        "channels": list(view.channels),
        "ranges": [list(limits) for limits in view.ranges],
        "trunk": view.trunk,
        "extractor": _features_of(view.extractor),
        **arithmetic_key(view.arithmetic),
    }


def feature_path(view: View, cache: Path) -> str:
    """Tell where the feature map of an image is kept."""
    return str(cache / f"{fingerprint(feature_key(view))[:24]}.zarr")


def find_query(
    client: Client, drawn_on: ImageSet, sampled: ImageSet, group: Group, setting: Setting, observe: Observer
) -> Query:
    """Compute what prototypes look like.

    Images that fail are left out, or end the run.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    drawn_on : ImageSet
        Prototypes lie in some of these.
    sampled : ImageSet
        The mean vector is that of a sample of these.
    group : Group
        Classes and their prototypes.
    setting : Setting
        How images are looked at.
    observe : callable
        Gets the events.

    Raises
    ------
    AnnotationError
        If no prototype of a class is left.
    """
    blocks = _prototype_blocks(client, drawn_on, group, setting, observe)
    return make_query(blocks, find_centre(client, sampled, group, setting, observe), setting.softness)


def _features_of(extractor: Extractor) -> dict[str, Any]:
    """Leave out of an extractor what its features do not depend on: of patches, dense ones know only the frame."""
    key = {"method": extractor.method, "layers": extractor.layers, "is_exact": extractor.is_exact}
    if extractor.method != "template":
        return key | {"patch": extractor.patch_shape}
    return key | {"frame": max(extractor.frame, *(n // 2 for n in extractor.block_shape))}


def _prototype_blocks(
    client: Client, images: ImageSet, group: Group, setting: Setting, observe: Observer
) -> list[list[list[torch.Tensor]]]:
    """Return for each class and each of its prototypes the blocks, in the order of their boxes."""
    tasks = [
        prototype_task(view_of(images[box.image], group, setting), index, box, setting)
        for index, box in enumerate(group.boxes)
        if box.image in images
    ]
    found: dict[int, list[torch.Tensor]] = {}
    outcomes = run_tasks(client, compute_blocks, tasks, step="prototypes", observe=observe)
    for task, turned in images.results(outcomes, image_name):
        found[task.index] = [torch.from_numpy(block) for block in turned]
    blocks: dict[str, list[list[torch.Tensor]]] = {name: [] for name in group.classes}
    for index in sorted(found):
        blocks[group.boxes[index].class_name].append(found[index])
    for name, class_blocks in blocks.items():
        if not class_blocks:
            raise AnnotationError(f"class {name}: expected a prototype in an image that can be read, got none")
    return list(blocks.values())


def prototype_task(view: View, index: int, box: Box, setting: Setting) -> PrototypeTask:
    """Ask for the blocks of a prototype; they are kept where features are."""
    y, x = (from_level0(centre, view.image.downsampling) for centre in (box.y, box.x))
    key = feature_key(view) | {"patch": view.extractor.patch_shape, "y": y, "x": x}
    return PrototypeTask(
        view, index, y, x, str(setting.cache / f"{fingerprint(key)[:24]}.npz") if setting.cache else None
    )


def find_centre(client: Client, images: ImageSet, group: Group, setting: Setting, observe: Observer) -> torch.Tensor:
    """Return the mean vector of a sample of the images, or zeros where the method has none."""
    extractor = extractor_of(group, setting)
    if not extractor.is_centred:
        return torch.zeros(extractor.dim)
    views = [view_of(image, group, setting) for image in images]
    tasks = [VectorTask(view, window) for view in views for window in tile_cores(view.grid_shape, _SAMPLE_TILE)]
    # Evenly over all windows, so that the sample does not depend on chance.
    tasks = [tasks[i] for i in sorted({int(i) for i in np.linspace(0, len(tasks) - 1, _N_SAMPLES)})]
    kept = _centre_path(views, setting.cache) if setting.cache else None
    if kept and (known := read_blocks(kept)):
        return torch.from_numpy(known[0])
    sums = {}
    outcomes = run_tasks(client, sum_vectors, tasks, step="mean vector", observe=observe)
    for task, (vector, count) in images.results(outcomes, image_name):
        sums[str(task)] = (torch.from_numpy(vector), count)
    if not sums:
        raise SourceError("expected images whose features can be sampled, got none: see what was left out")
    centre = mean_vector(sums[name] for name in sorted(sums))
    if kept and len(sums) == len(tasks) and setting.cache and setting.cache.is_dir():
        write_blocks(kept, [centre.numpy()])
    return centre


def _centre_path(views: Sequence[View], cache: Path) -> str:
    """Tell where the mean vector of images is kept."""
    return str(cache / f"{fingerprint({'centre of': [feature_key(view) for view in views]})[:24]}.npz")
