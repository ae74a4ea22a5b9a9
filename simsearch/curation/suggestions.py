"""What is suggested to a person: patches like the prototypes, and patches that may be background (paper section 2.3).

Suggestions are chosen among peaks that were found once: another threshold, another flag choose anew, and compute
nothing.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from typing import TYPE_CHECKING

from simsearch.curation.state import Curation, Patch, Places
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simsearch.core.peaks import Peak

_TRIES = 8  # directions to look for a free place in


def suggested_patches(curation: Curation, class_name: str, peaks: Iterable[Peak]) -> list[Patch]:
    """Choose what is suggested for a class: peaks that reach its similarity threshold and are not negatives of it.

    Parameters
    ----------
    curation : Curation
        What was said.
    class_name : str
        Which class.
    peaks : iterable of Peak
        Of any classes and images.

    Returns
    -------
    list of Patch
        On displayed images, the most similar first.

    Raises
    ------
    CurationError
        If there is no such class, or it has no similarity threshold yet.
    """
    roi_class = curation.roi_class(class_name)
    least = roi_class.similarity_threshold
    if least is None or curation.patch_shape is None:
        raise CurationError(f"class {class_name}: expected a similarity threshold, got none: choose one first")
    negatives = Places(roi_class.negatives, curation.patch_shape)
    similar = [p for p in peaks if p.class_name == class_name and p.score >= least and p.image in curation.displayed]
    similar.sort(key=lambda peak: (-peak.score, peak.image, peak.y, peak.x))
    patches = (Patch.at(peak.image, peak.y, peak.x) for peak in similar)
    return [patch for patch in patches if negatives.near(patch) is None]


def marked_patches(curation: Curation) -> list[Patch]:
    """List all patches about which somebody has said what they are, or that they are not background."""
    marked = [patch for each in curation.classes for patch in (*each.prototypes, *each.positives, *each.negatives)]
    return [*marked, *curation.not_background]


def background_patches(
    curation: Curation, highest: Iterable[Peak], lowest: Iterable[Peak], marked: Iterable[Patch], n: int
) -> tuple[list[Patch], list[Patch]]:
    """Choose what may be background (paper algorithm 1).

    Parameters
    ----------
    curation : Curation
        Knows the images and the patch shape.
    highest, lowest : iterable of Peak
        Local maxima and minima of the similarity to all prototypes.
    marked : iterable of Patch
        No patch is chosen whose centre lies in one of them.
    n : int
        How many to choose of each in an image.

    Returns
    -------
    difficult, easy : list of Patch
        In each image the n most and the n least similar, wholly inside the image where it is large enough.

    Raises
    ------
    CurationError
        If there is no prototype yet.
    """
    if curation.patch_shape is None:
        raise CurationError("expected a prototype, got none: draw one before you look for background")
    boxes = _Boxes(marked, curation.patch_shape)
    difficult = _first_in_each_image(curation, sorted(highest, key=_descending), boxes, n)
    taken = _Boxes(difficult, curation.patch_shape)  # where an image has little room, both may name one place
    free = [peak for peak in sorted(lowest, key=_ascending) if not taken.contain(peak)]
    return difficult, _first_in_each_image(curation, free, boxes, n)


def beside_objects(curation: Curation, seed: int) -> list[Patch]:
    """Choose places half a patch beside objects, where no other marked object is.

    Parameters
    ----------
    curation : Curation
        What was said.
    seed : int
        Of the directions.

    Returns
    -------
    list of Patch
        One for each object where there is room for it in the image.
    """
    if curation.patch_shape is None:
        return []
    objects = [patch for each in curation.classes for patch in (*each.prototypes, *each.positives)]
    known = Places((*objects, *curation.not_background), curation.patch_shape)
    rng, (height, width) = random.Random(seed), curation.patch_shape
    chosen = []
    for patch in objects:
        for _ in range(_TRIES):
            angle = rng.uniform(0, 2 * math.pi)
            beside = Patch.at(
                patch.image, patch.y + height / 2 * math.sin(angle), patch.x + width / 2 * math.cos(angle)
            )
            if _is_within(beside, curation.shapes[patch.image], (1, 1)) and known.near(beside) is None:
                chosen.append(beside)
                break
    return chosen


class _Boxes:
    """Patches with their whole extent."""

    def __init__(self, patches: Iterable[Patch], shape: tuple[float, float]) -> None:
        self._shape = shape
        self._by_image: dict[str, list[Patch]] = defaultdict(list)
        for patch in patches:
            self._by_image[patch.image].append(patch)

    def contain(self, peak: Peak) -> bool:
        height, width = self._shape
        here = self._by_image.get(peak.image, ())
        return any(abs(p.y - peak.y) < height / 2 and abs(p.x - peak.x) < width / 2 for p in here)


def _first_in_each_image(curation: Curation, peaks: Sequence[Peak], boxes: _Boxes, n: int) -> list[Patch]:
    chosen: dict[str, list[Patch]] = defaultdict(list)
    for peak in peaks:
        here = chosen[peak.image]
        fits = _is_within(peak, curation.shapes[peak.image], peak.patch_shape)
        if len(here) < n and fits and not boxes.contain(peak):
            here.append(Patch.at(peak.image, peak.y, peak.x))
    return [patch for here in chosen.values() for patch in here]


def _is_within(at: Patch | Peak, shape: tuple[int, int], patch_shape: tuple[float, float]) -> bool:
    """Tell whether a patch lies in its image, along each axis on which it could."""
    axes = zip((at.y, at.x), patch_shape, shape, strict=True)
    return all(side > length or (side - 1) / 2 <= centre <= length - (side + 1) / 2 for centre, side, length in axes)


def _descending(peak: Peak) -> tuple[float, str, float, float]:
    return -peak.score, peak.image, peak.y, peak.x


def _ascending(peak: Peak) -> tuple[float, str, float, float]:
    return peak.score, peak.image, peak.y, peak.x
