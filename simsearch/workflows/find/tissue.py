"""Where there is tissue in stained images, so that glass is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.io.ome_zarr.image import is_rgb
from simsearch.io.ome_zarr.scaled import downsampling_to, scaled
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.segment import TissueTask, find_tissue

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.workflows.image_set import ImageSet

SLIDE = 2048
"""Pixels of the longer side of an image that may be mostly glass, at least."""
_OVERVIEW = 2048  # pixels of the longer side of a tissue mask, at most
_MASK_PIXEL = 8  # pixels of the working scale, at least: single pixels of pale tissue are as bright as glass


@dataclass(frozen=True, slots=True)
class Tissue:
    """Where there is tissue in an image."""

    mask: NDArray[np.bool_]
    """Pixels of an overview."""
    downsampling: int
    """Level-0 pixels per pixel of it."""

    def within(self, region: Region) -> NDArray[np.bool_]:
        """Cut out the pixels of the mask that a region of level-0 pixels lies in."""
        y1, x1 = -(-region.y1 // self.downsampling), -(-region.x1 // self.downsampling)
        return self.mask[region.y0 // self.downsampling : y1, region.x0 // self.downsampling : x1]

    def are_at(self, y: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tell for (N,) places in level-0 pixel centres whether there is tissue."""
        places = zip((y, x), self.mask.shape, strict=True)
        rows, columns = (np.clip((at + 0.5) // self.downsampling, 0, n - 1).astype(np.intp) for at, n in places)
        found: NDArray[np.bool_] = self.mask[rows, columns]
        return found

    def area(self, shape: tuple[int, int]) -> int:
        """Count the level-0 pixels with tissue in an image of a height and width."""
        return round(float(self.mask.mean()) * shape[0] * shape[1])


def find_tissues(
    client: Client,
    images: ImageSet,
    downsampling: int,
    observe: Observer,
    among: Callable[[ImageMeta], bool] = is_rgb,
) -> dict[str, Tissue]:
    """Find the tissue in those images that are RGB of 8 bits, as stained slides are.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    images : ImageSet
        Images that cannot be read are left out of it, or end the run.
    downsampling : int
        Of the model that will look at the images.
    observe : callable
        Gets the events of the step ``tissue``.
    among : callable
        Which of the images to look at, all of them RGB of 8 bits.

    Returns
    -------
    dict of str to Tissue
        By the name of the image; none for other images.
    """
    stained = [image for image in images if among(image)]
    if not stained:
        return {}
    factors = {image.name: _mask_downsampling(image, downsampling) for image in stained}
    tasks = [TissueTask(scaled(image, factors[image.name])) for image in stained]
    outcomes = run_tasks(client, find_tissue, tasks, step="tissue", observe=observe)
    return {str(task): Tissue(mask, factors[str(task)]) for task, mask in images.results(outcomes, str)}


def is_slide(image: ImageMeta) -> bool:
    """Tell whether an image may be a stained slide, of which much may be glass: a field is small, and looked at whole.

    What lies between the cells of a smear, such as platelets, is on glass too.
    """
    return is_rgb(image) and max(image.shape) > SLIDE


def _mask_downsampling(image: ImageMeta, downsampling: int) -> int:
    return max(downsampling_to(max(image.shape), _OVERVIEW), _MASK_PIXEL * downsampling)
