"""BBBC013 without a model: nuclei by their DNA, and GFP in them and around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.segmentation import watershed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_LEAST_AREA, _APART, _RING = 60, 6, 6  # px of 8-bit fields of 640 px, whose nuclei have about 180


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Mean GFP of each nucleus of a well, in grey levels, and where it is."""

    inside: NDArray[np.float64]
    """(N,) in the nucleus."""
    around: NDArray[np.float64]
    """(N,) in a ring around it that no other nucleus is nearer to."""
    centres: NDArray[np.float64]
    """(N, 2) y, x in pixels."""


def measure_nuclei(folder: Path, row: Mapping[str, object]) -> Nuclei:
    """Measure the well of a row of the plate map."""
    gfp, dna = (_pixels(folder, str(row[name])) for name in ("channel1_gfp", "channel2_dna"))
    smooth = gaussian(dna, 1.5)
    is_nucleus = ndimage.binary_opening(smooth > threshold_otsu(smooth), iterations=2)
    depth = gaussian(ndimage.distance_transform_edt(is_nucleus), 1)
    centres = peak_local_max(depth, min_distance=_APART, labels=ndimage.label(is_nucleus)[0])
    seeds = np.zeros(gfp.shape, int)
    seeds[tuple(centres.T)] = numbers = np.arange(1, len(centres) + 1)
    labels = watershed(-depth, seeds, mask=is_nucleus)
    near = ndimage.distance_transform_edt(~is_nucleus) <= _RING
    rings = np.where(is_nucleus, 0, watershed(np.zeros_like(gfp), labels, mask=near))
    kept = numbers[ndimage.sum(is_nucleus, labels, numbers) > _LEAST_AREA]
    inside, around = (np.asarray(ndimage.mean(gfp, of, kept)) for of in (labels, rings))
    return Nuclei(inside, around, np.array(ndimage.center_of_mass(is_nucleus, labels, kept)))


def _pixels(folder: Path, name: str) -> NDArray[np.float64]:
    path = next(folder.glob(f"{name.rpartition('.')[0]}.*"))
    return np.asarray(Image.open(path).convert("L"), np.float64)
