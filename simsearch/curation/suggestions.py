"""What is suggested to a person: patches like the prototypes, and patches that may be background (paper section 2.3).

Suggestions are chosen among peaks that were found once: another threshold, another flag choose anew, and compute
nothing.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from simsearch.core.peaks import NEAREST, Peak, strongest
from simsearch.core.ranked_peaks import RankedPeaks, ranked_peaks
from simsearch.curation.actions import Action, Batch
from simsearch.curation.checks import common_shape
from simsearch.curation.marks import AcceptClass, ReleasePositives
from simsearch.curation.state import BACKGROUND, NEAR, Curation, Patch, Places, singled_out
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

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
    least, shape = roi_class.similarity_threshold, curation.shape_of(roi_class)
    if least is None or shape is None:
        raise CurationError(f"class {class_name}: expected a similarity threshold, got none: choose one first")
    negatives = Places(roi_class.negatives, shape)
    similar = [p for p in peaks if p.class_name == class_name and p.score >= least and p.image in curation.displayed]
    similar.sort(key=lambda peak: (-peak.score, peak.image, peak.y, peak.x))
    patches = (Patch.at(peak.image, peak.y, peak.x) for peak in similar)
    return [patch for patch in patches if negatives.near(patch) is None]


def own_peaks(curation: Curation, images: Sequence[str], by_class: Mapping[str, RankedPeaks]) -> dict[str, RankedPeaks]:
    """Leave out of each class what is another's: a place belongs to one class.

    That is the class of which somebody said so one by one; elsewhere the most similar of those for which the place was
    not flagged, whatever the thresholds. Places reach as far as those of `objects`.

    Parameters
    ----------
    curation : Curation
        What was said.
    images : sequence of str
        Names that the peaks refer to.
    by_class : mapping of str to RankedPeaks
        All peaks of similarity.

    Returns
    -------
    dict of str to RankedPeaks
        What was flagged for a class is still among its own.
    """
    if curation.patch_shape is None or len(by_class) < 2:
        return dict(by_class)
    names = list(by_class)
    sides = np.array([min(common_shape(curation, curation.roi_class(name))) for name in names])
    owner = np.repeat(np.arange(len(names)), [len(by_class[name]) for name in names])
    image, y, x, score = (
        np.concatenate([getattr(by_class[name], column) for name in names]) for column in ("image", "y", "x", "score")
    )
    # One plane for all images, which lie too far apart to compete.
    span = max(curation.shapes[name][0] for name in images) + float(sides.max())
    points = np.stack([image * span + y, x], axis=1)
    is_flagged, is_said, is_others = (np.zeros(len(points), bool) for _ in range(3))
    tree = cKDTree(points)
    for index, name in enumerate(names):
        roi_class, is_own = curation.roi_class(name), owner == index
        radii = NEAR * np.minimum(sides[index], sides)
        for radius in np.unique(radii):
            said = _rows_near(tree, singled_out(roi_class), images, span, radius) & (radii[owner] == radius)
            is_said |= said & is_own
            is_others |= said & ~is_own
        is_flagged |= _rows_near(tree, roi_class.negatives, images, span, radii[index]) & is_own
    competes = ~is_flagged & (is_said | ~is_others)
    is_kept = is_flagged
    claim = np.where(is_said, np.inf, score)[competes]
    is_kept[competes] = strongest(points[competes], claim, NEAREST * sides[owner][competes])
    starts = np.searchsorted(owner, np.arange(len(names) + 1))
    return {
        name: by_class[name].take(is_kept[start:end])
        for name, start, end in zip(names, starts[:-1], starts[1:], strict=True)
    }


def without_flagged(curation: Curation, class_name: str, images: Sequence[str], peaks: RankedPeaks) -> RankedPeaks:
    """Leave out of the peaks of a class those where a negative of it is, as far as `own_peaks` looks for them."""
    roi_class = curation.roi_class(class_name)
    if not roi_class.negatives or not len(peaks):
        return peaks
    shape = min(common_shape(curation, roi_class))
    span = max(curation.shapes[name][0] for name in images) + shape
    tree = cKDTree(np.stack([peaks.image * span + peaks.y, peaks.x], axis=1))
    return peaks.take(~_rows_near(tree, roi_class.negatives, images, span, NEAR * shape))


def _rows_near(
    tree: cKDTree, patches: Sequence[Patch], images: Sequence[str], span: float, radius: float
) -> NDArray[np.bool_]:
    """Tell which points are nearer to a patch than a radius."""
    indices = {name: index for index, name in enumerate(images)}
    places = [(indices[p.image] * span + p.y, p.x) for p in patches if p.image in indices]
    is_near = np.zeros(tree.n, bool)
    for rows in tree.query_ball_point(places, radius) if places else ():
        is_near[rows] = True
    return is_near


def acceptance(curation: Curation, class_name: str, patches: Sequence[Patch]) -> Action:
    """Accept suggestions for a class; what was accepted there for others moves to it."""
    shape = common_shape(curation, curation.roi_class(class_name))
    accept, released = AcceptClass(class_name, tuple(patches)), release(curation, class_name, patches, shape)
    return Batch(str(accept), (*released, accept)) if released else accept


def release(
    curation: Curation, class_name: str, patches: Sequence[Patch], shape: tuple[float, float]
) -> list[ReleasePositives]:
    """Take the places of patches of a shape from all other classes for which they were accepted with many."""
    released = []
    for each in curation.classes:
        if each.name != class_name and each.positives:
            taken = Places(patches, min(shape, common_shape(curation, each), key=min))
            if ids := tuple(patch.id for patch in each.positives if taken.near(patch)):
                released.append(ReleasePositives(each.name, ids))
    return released


def own_candidates(curation: Curation, images: Sequence[str], own: Mapping[str, RankedPeaks]) -> list[Peak]:
    """List the peaks of any classes that are of their class (`own_peaks`), and not flagged for it."""
    shapes = {name: common_shape(curation, curation.roi_class(name)) for name in own}
    flagged = {name: Places(curation.roi_class(name).negatives, shape) for name, shape in shapes.items()}
    return [
        Peak(images[image], name, y, x, shapes[name], score)
        for name, peaks in own.items()
        for image, y, x, score in zip(
            *(each.tolist() for each in (peaks.image, peaks.y, peaks.x, peaks.score)), strict=True
        )
        if flagged[name].near(Patch.at(images[image], y, x)) is None
    ]


def own_of(curation: Curation, images: Sequence[str], peaks: Iterable[Peak]) -> dict[str, RankedPeaks]:
    """Sort peaks of any classes into those that are each class's own (`own_peaks`)."""
    by_class: dict[str, list[Peak]] = defaultdict(list)
    for peak in peaks:
        by_class[peak.class_name].append(peak)
    return own_peaks(curation, images, {name: ranked_peaks(here, images) for name, here in by_class.items()})


def marked_patches(curation: Curation) -> list[Patch]:
    """List all patches about which somebody has said what they are, or that they are not background."""
    marked = [p for each in curation.classes for p in (*singled_out(each), *each.positives, *each.negatives)]
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
        Local maxima and minima of the similarity to all prototypes of a patch shape.
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
    """Choose places half a patch of its class beside each object, where no other marked object is.

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
    said = [(common_shape(curation, each), (*singled_out(each), *each.positives)) for each in curation.classes]
    known = [Places(objects, shape) for shape, objects in said]
    known.append(Places(curation.not_background, curation.patch_shape))
    rng, chosen = random.Random(seed), []
    for (height, width), objects in said:
        for patch in objects:
            for _ in range(_TRIES):
                angle = rng.uniform(0, 2 * math.pi)
                dy, dx = height / 2 * math.sin(angle), width / 2 * math.cos(angle)
                beside = Patch.at(patch.image, patch.y + dy, patch.x + dx)
                is_inside = _is_within(beside, curation.shapes[patch.image], (1, 1))
                if is_inside and not any(places.near(beside) for places in known):
                    chosen.append(beside)
                    break
    return chosen


def inside_objects(curation: Curation, seed: int) -> list[tuple[str, Patch]]:
    """Choose places in objects, off their middles, where some class is less than half as large.

    What is looked for at the size of the small one must not be found in a large one. Nearer to the middle than a
    quarter of its patch a place is of the class of the object; farther it is background.

    Parameters
    ----------
    curation : Curation
        What was said.
    seed : int
        Of the places.

    Returns
    -------
    list of (str, Patch)
        The class, or `BACKGROUND`, of each place: some for each large object, where no other marked object is.
    """
    said = [(each, (*singled_out(each), *each.positives)) for each in curation.classes if next(each.patches(), None)]
    shapes = {each.name: common_shape(curation, each) for each, _ in said}
    known = [Places(objects, shapes[each.name]) for each, objects in said]
    least, rng, chosen = min(map(min, shapes.values()), default=0.0), random.Random(seed), []
    for each, objects in said:
        height, width = shapes[each.name]
        nearest = NEAREST * least / min(height, width)
        for patch, (name, low, high) in product(objects, ((each.name, nearest, NEAR), (BACKGROUND, NEAR, 0.5)) * 2):
            angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(low, high)
            at = Patch.at(
                patch.image, patch.y + far * height * math.sin(angle), patch.x + far * width * math.cos(angle)
            )
            is_free = all(places.near(at) in (None, patch) for places in known)
            if 2 * least < min(height, width) and _is_within(at, curation.shapes[patch.image], (1, 1)) and is_free:
                chosen.append((name, at))
    return chosen


class _Boxes:
    """Patches with their whole extent."""

    def __init__(self, patches: Iterable[Patch], shape: tuple[float, float]) -> None:
        self.shape = shape
        self._by_image: dict[str, list[Patch]] = defaultdict(list)
        for patch in patches:
            self._by_image[patch.image].append(patch)

    def contain(self, peak: Peak) -> bool:
        height, width = self.shape
        here = self._by_image.get(peak.image, ())
        return any(abs(p.y - peak.y) < height / 2 and abs(p.x - peak.x) < width / 2 for p in here)


def _first_in_each_image(curation: Curation, peaks: Sequence[Peak], boxes: _Boxes, n: int) -> list[Patch]:
    chosen: dict[str, list[Patch]] = defaultdict(list)
    for peak in peaks:
        here = chosen[peak.image]
        fits = _is_within(peak, curation.shapes[peak.image], boxes.shape)
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
