"""What workers do in a segmentation: each task labels whole shards of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.intensity import rescale
from simsearch.core.segmentation import grid_window, label_pixels
from simsearch.core.tiles import Region
from simsearch.core.tissue import tissue_mask
from simsearch.io.ome_zarr.labels import write_level_from_below
from simsearch.io.ome_zarr.scaled import ScaledImage, read_scaled
from simsearch.io.ome_zarr.writing import ImageTemplate, read_level, store_errors, write_region
from simsearch.io.pictures.drawing import try_to_draw
from simsearch.io.pictures.overlay import CLASS_COLORS, draw_areas
from simsearch.io.tables.areas import outline
from simsearch.io.tables.geojson import write_areas
from simsearch.runtime.models import model_on_worker
from simsearch.runtime.views import View, window_maps, window_need

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.runtime.tasks.needs import Need

_OVERVIEW = 2048  # pixels of the longer side of overlays, and of what is outlined
_TOLERANCE = 1.0  # of outlines, in pixels of the overview


@dataclass(frozen=True, slots=True)
class TissueTask:
    """Find the tissue in an overview of an RGB image."""

    image: ScaledImage

    def __str__(self) -> str:
        return self.image.meta.name


@dataclass(frozen=True, slots=True)
class SegmentTask:
    """Label a region of level 0."""

    view: View
    """The image; its trunk is the model."""
    region: Region
    """Whole shards, in level-0 pixels."""
    path: str
    """Where the labels are."""
    thresholds: tuple[float, ...]
    """Lowest confidence of each class."""
    tissue: NDArray[np.bool_] | None = None
    """Where there is tissue, as the pixels of an overview that the region lies in; None for everywhere."""
    tissue_downsampling: int = 1
    """Level-0 pixels per pixel of it."""

    @property
    def n_pixels(self) -> int:
        """How many level-0 pixels the region has."""
        return self.region.shape[0] * self.region.shape[1]

    @property
    def need(self) -> Need:
        """What a worker needs for it."""
        return window_need(self.view, self.window)

    @property
    def window(self) -> Region:
        """The positions of the feature grid between which its pixels lie."""
        return grid_window(self.region, self.step, self.view.grid_shape)

    @property
    def step(self) -> tuple[int, float]:
        """Downsampling, and stride of the feature grid."""
        return self.view.image.downsampling, self.view.extractor.grid.stride

    def __str__(self) -> str:
        return f"{self.view.image.meta.name} y {self.region.y0}:{self.region.y1} x {self.region.x0}:{self.region.x1}"


@dataclass(frozen=True, slots=True)
class LevelTask:
    """Write a region of a level of labels from the level below."""

    name: str
    """Of the image."""
    path: str
    template: ImageTemplate
    level: int
    region: Region

    def __str__(self) -> str:
        return f"{self.name} level {self.level} y {self.region.y0} x {self.region.x0}"


@dataclass(frozen=True, slots=True)
class DrawTask:
    """Draw the labels of an image, and outline their areas."""

    view: View
    path: str
    """Where the labels are."""
    template: ImageTemplate
    classes: tuple[str, ...]
    overlay: Path
    """PNG to write."""
    outlines: Path
    """GeoJSON to write."""

    def __str__(self) -> str:
        return self.view.image.meta.name


def find_tissue(task: TissueTask) -> NDArray[np.bool_]:
    """Return the (H, W) tissue mask of an overview."""
    height, width = task.image.shape
    pixels = read_scaled(task.image, Region(0, height, 0, width))
    return tissue_mask(rescale(pixels, [(0.0, float(np.iinfo(task.image.meta.dtype).max))] * 3))


def segment_tile(task: SegmentTask) -> NDArray[np.int64]:
    """Write the labels of a region, and return how many pixels each class has, background first."""
    view = task.view
    model = model_on_worker(view.trunk, view.arithmetic)
    window = task.window
    probabilities = window_maps(model.trunk, view, window, model.probability_maps, view.margin)
    labels = label_pixels(probabilities, window, task.region, task.step, task.thresholds)
    if task.tissue is not None:
        labels[~_enlarged(task.tissue, task.region, task.tissue_downsampling)] = 0
    write_region(task.path, 0, task.region, labels[None])
    return np.bincount(labels.ravel(), minlength=len(probabilities))


def write_level(task: LevelTask) -> None:
    """Write a region of a level."""
    write_level_from_below(task.path, task.template, task.level, task.region)


def draw_segmentation(task: DrawTask) -> tuple[str, ...]:
    """Write the overlay and the outlines of the labels of an image, from an overview of at most 2048 px.

    Returns
    -------
    tuple of str
        Why the overlay could not be drawn, where that is so.
    """
    shapes = task.template.level_shapes
    level = next((i for i, shape in enumerate(shapes) if max(shape) <= _OVERVIEW), len(shapes) - 1)
    height, width = shapes[level]
    labels = read_level(task.path, level, Region(0, height, 0, width), slice(None))[0]
    meta, view = task.view.image.meta, task.view
    colors = {name: CLASS_COLORS[index % len(CLASS_COLORS)] for index, name in enumerate(task.classes)}
    with store_errors(str(task.overlay)):
        notes = try_to_draw(
            task.overlay,
            lambda: draw_areas(meta, view.channels, view.ranges, labels, task.classes, task.overlay),
        )
    areas = (
        (name, polygon)
        for value, name in enumerate(task.classes, start=1)
        for polygon in outline(labels == value, 2**level, _TOLERANCE)
    )
    write_areas(areas, colors, task.outlines)
    return notes


def _enlarged(mask: NDArray[np.bool_], region: Region, factor: int) -> NDArray[np.bool_]:
    """Look up each pixel of a region in an overview."""
    rows = np.arange(region.y0, region.y1) // factor - region.y0 // factor
    columns = np.arange(region.x0, region.x1) // factor - region.x0 // factor
    enlarged: NDArray[np.bool_] = mask[rows[:, None], columns]
    return enlarged
