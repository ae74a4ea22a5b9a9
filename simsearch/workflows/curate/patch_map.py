"""A map of what is suggested for a class: patches that look alike lie near each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.boxes import Box
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.curate.refine import answer_blocks
from simsearch.workflows.curate.sight import study_groups, study_setting
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.state import Curation
    from simsearch.runtime import Client
    from simsearch.workflows.curate.study import Study

_MOST = 400  # patches of a map: more would hide each other, and each is read


@dataclass(frozen=True, slots=True, eq=False)
class PatchMap:
    """Patches, and where on a map they lie."""

    peaks: RankedPeaks
    """The patches, the most similar to the class first."""
    places: NDArray[np.float64]
    """(N, 2) scores of the first two principal components of their features."""


def map_patches(
    client: Client,
    study: Study,
    curation: Curation,
    class_name: str,
    images: Sequence[str],
    found: RankedPeaks,
    *,
    observe: Observer = ignore,
) -> PatchMap:
    """Lay out what was found for a class by its features.

    Parameters
    ----------
    client : distributed.Client
        The cluster, whose workers read features, or compute them where none are kept.
    study : Study
        The study.
    curation : Curation
        What was said.
    class_name : str
        A class with a prototype.
    images : sequence of str
        Names that `found` refers to.
    found : RankedPeaks
        Of the class. At most 400 are laid out, more of the most similar than of others.
    observe : callable
        Gets the events.

    Raises
    ------
    CurationError
        If no class has a prototype.
    SourceError, StoreError, TrunkError
        If an image, its features or the trunk cannot be read.
    """
    group = next(each for each in study_groups(curation) if class_name in each.classes).only(class_name)
    setting = study_setting(client, study, curation, observe)
    rows = _spread(len(found))
    boxes = [
        Box(images[found.image[row]], class_name, float(found.y[row]), float(found.x[row]), *group.patch_shape)
        for row in rows
    ]
    blocks = answer_blocks(client, ImageSet(study_images(study, images)), boxes, group, setting, observe)
    is_read = np.array([box in blocks for box in boxes], bool)
    vectors = np.array([describe(blocks[box]) for box in boxes if box in blocks])
    return PatchMap(found.take(rows[is_read]), principal_components(vectors))


def describe(block: torch.Tensor) -> NDArray[np.float32]:
    """Return a (2 D,) unit vector of a (D, kh, kw) block, the same for all turns: means of its middle and of all."""
    height, width = block.shape[1:]
    top, left = height // 4, width // 4
    middle = block[:, top : height - top, left : width - left].mean(dim=(1, 2))
    vector = np.concatenate([middle.numpy(), block.mean(dim=(1, 2)).numpy()])
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def principal_components(vectors: NDArray[np.float32], n: int = 2) -> NDArray[np.float64]:
    """Return the (N, n) scores of the first principal components of (N, D) vectors; 0 where there are fewer.

    The sign of each is the one with which its largest loading is positive, so that a map does not turn over.

    Examples
    --------
    >>> principal_components(np.array([[0, 0], [3, 0], [0, 1]], np.float32)).round(2).tolist()
    [[-0.92, -0.51], [2.03, 0.03], [-1.1, 0.48]]
    """
    scores = np.zeros((len(vectors), n))
    if len(vectors) > 1:
        u, s, loadings = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
        largest = np.take_along_axis(loadings, np.abs(loadings).argmax(axis=1)[:, None], axis=1)[:, 0]
        found = (u * s * np.where(largest < 0, -1, 1))[:, :n]
        scores[:, : found.shape[1]] = found
    return scores


def _spread(n: int) -> NDArray[np.intp]:
    """Choose some of n rows, close together at first and ever farther apart."""
    return np.unique(((n - 1) * np.linspace(0, 1, min(n, _MOST)) ** (2 if n > _MOST else 1)).round().astype(np.intp))
