"""What may be background: places that look like no class, of many kinds, and as many as the classes need.

The paper takes a few of the most and of the least similar places of each image (`suggestions.background_patches`). Here
none of them looks like a class just below its threshold, and the least similar ones are not all of empty ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from simsearch.core.ranked_peaks import RankedPeaks, ranked_peaks
from simsearch.curation.checks import common_shape
from simsearch.curation.state import NEAR, Patch, singled_out
from simsearch.curation.suggestions import marked_patches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.core.peaks import Peak
    from simsearch.curation.state import Curation

    _Points = NDArray[np.float64]
    _Rows = NDArray[np.intp]

T = TypeVar("T")

N_BACKGROUND = 5
"""How many patches of most and of least similarity the paper suggests as background in an image (algorithm 1)."""
MOST_LOOKED_AT = 60
"""So many patches a person can look over at once."""

_MARGIN = 0.05  # of similarity below a threshold, in which much is still of the class (benchmarks/RESULTS.md)
_N_ASKED = 12  # questions at a time
_HALF, _BESIDE = 0.5, 1.0  # patches from an object: outside of its box, and not farther than this
_APART = 2.0  # patches between those of one kind in an image, where there is room
_TRIED = 20  # for each that is wanted: a slide has a million places


@dataclass(frozen=True, slots=True, eq=False)
class Similarities:
    """What is known of how like the prototypes images are, the same whoever computed it."""

    images: tuple[str, ...]
    """Names that columns refer to."""
    highest: tuple[RankedPeaks, ...]
    """For each patch shape, local maxima of the mean similarity to all prototypes of it."""
    lowest: tuple[RankedPeaks, ...]
    """Its local minima."""
    own: Mapping[str, RankedPeaks]
    """The own peaks of each class with prototypes (`own_peaks`)."""
    least: Mapping[str, float]
    """The similarity thresholds of these classes, chosen or suggested."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How many patches to suggest."""

    n: int
    """Of background; half of them the most similar ones, where there are so many."""
    most_in_image: int
    """Of the most similar ones, and of others."""
    n_asked: int = _N_ASKED
    """Questions."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a place that looks like a class, just below its threshold, is one."""

    class_name: str
    patch: Patch


@dataclass(frozen=True, slots=True)
class BackgroundOffer:
    """What is suggested as background, and what is asked about instead."""

    difficult: tuple[Patch, ...] = ()
    """Most like what is looked for, of all that no class reaches."""
    beside: tuple[Patch, ...] = ()
    """Half a patch to a patch from an object."""
    easy: tuple[Patch, ...] = ()
    """Least like what is looked for: structure and plain ground in turns."""
    kept: tuple[Patch, ...] = ()
    """Background already, elsewhere, and no class reaches it."""
    asked: tuple[Question, ...] = ()
    """The most similar first, classes in turns."""

    @property
    def suggested(self) -> tuple[Patch, ...]:
        """All that is suggested."""
        return (*self.difficult, *self.beside, *self.easy)


def known_similarities(
    images: Sequence[str],
    highest: Iterable[Peak],
    lowest: Iterable[Peak],
    own: Mapping[str, RankedPeaks],
    least: Mapping[str, float],
) -> Similarities:
    """Gather what is known of images."""
    high, low = tuple(highest), tuple(lowest)
    shapes = sorted({peak.patch_shape for peak in (*high, *low)})
    of_shapes = [
        tuple(ranked_peaks((peak for peak in peaks if peak.patch_shape == shape), images) for shape in shapes)
        for peaks in (high, low)
    ]
    return Similarities(tuple(images), of_shapes[0], of_shapes[1], own, least)


def amount_for(curation: Curation, found: Similarities, rounds: int = 1) -> Amount:
    """Decide how many patches of background the classes need.

    In training each class weighs the same, whatever its number: background of as many patches as the largest class is
    repeated no more often than that. It is never less than the paper's; past that it is no more than a person looks
    over.

    Parameters
    ----------
    curation : Curation
        What was said.
    found : Similarities
        What is known.
    rounds : int
        1, and one more for each time that more was asked for.
    """
    suggested = [int((peaks.score >= found.least[name]).sum()) for name, peaks in found.own.items()]
    accepted = [len(each.positives) + len(singled_out(each)) for each in curation.classes]
    wanted = min(MOST_LOOKED_AT, max((*suggested, *accepted), default=0))
    n = max(wanted, 2 * N_BACKGROUND * len(found.images)) * rounds
    return Amount(n, n, _N_ASKED * rounds)


def amount_in_images(n_each: int, n_images: int) -> Amount:
    """Tell how many patches there are with so many of each half in an image, as in the paper."""
    return Amount(2 * n_each * n_images, n_each)


def offer_background(curation: Curation, found: Similarities, amount: Amount) -> BackgroundOffer:
    """Choose what may be background, and what to ask about.

    Parameters
    ----------
    curation : Curation
        What was said.
    found : Similarities
        What is known.
    amount : Amount
        How many patches.

    Returns
    -------
    BackgroundOffer
        Nothing while there is no prototype. Patches lie wholly inside their images where these are large enough.
    """
    if curation.patch_shape is None or not found.own:
        return BackgroundOffer()
    plane, half = _Plane(curation, found.images, curation.patch_shape), amount.n // 2
    own = {name: _unflagged(curation, name, peaks, found.images) for name, peaks in found.own.items()}
    marked, said = _marked(curation, plane)
    reached, objects = (_reaching(curation, found, own, below) for below in (_MARGIN, 0.0))
    # Similarities of one patch shape are not those of another: shapes take turns, as kinds do.
    highs = [plane.free(peaks, (*marked, *reached)) for peaks in found.highest]
    high, of_shapes = _joined(highs), np.repeat(np.arange(len(highs)), [len(peaks) for peaks in highs])
    shapes = [of_shapes == index for index in range(len(highs))]
    difficult = plane.choose(high, shapes, half, amount.most_in_image)
    taken = (*marked, *reached, (plane, plane.points(high)[difficult]))
    lows = [plane.free(_ascending(peaks), taken) for peaks in found.lowest]
    low, kinds = _joined(lows), _kinds(plane, lows, found.highest, (*said, *objects))
    unlike = plane.choose(low, kinds, amount.n - len(difficult), amount.most_in_image)
    chosen = [(plane, plane.points(high)[difficult]), (plane, plane.points(low)[unlike])]
    is_beside = np.any([np.zeros(len(low), bool), *kinds[: len(lows)]], axis=0)
    return BackgroundOffer(
        kept=_kept([patch for patch in curation.background if patch.image in found.images], objects, chosen),
        difficult=plane.patches(high, difficult),
        beside=plane.patches(low, unlike[is_beside[unlike]]),
        easy=plane.patches(low, unlike[~is_beside[unlike]]),
        asked=_questions(curation, found, own, amount.n_asked),
    )


def _marked(curation: Curation, plane: _Plane) -> tuple[list[_Places], list[_Places]]:
    """Gather places about which somebody has said what they are, or are not; and of these the objects."""
    marked, said = [(plane, plane.points_of(curation.not_background))], []
    for each in curation.classes:
        if next(each.patches(), None):
            own = _Plane(curation, plane.images, common_shape(curation, each))
            said.append((own, own.points_of((*singled_out(each), *each.positives))))
            marked += [said[-1], (own, own.points_of(each.negatives))]
    return marked, said


def _reaching(curation: Curation, found: Similarities, own: Mapping[str, RankedPeaks], below: float) -> list[_Places]:
    """Gather what reaches the threshold of its class, or so far below."""
    planes = {name: _Plane(curation, found.images, common_shape(curation, curation.roi_class(name))) for name in own}
    return [
        (planes[name], planes[name].points(peaks)[peaks.score >= found.least[name] - below])
        for name, peaks in own.items()
    ]


def _questions(curation: Curation, found: Similarities, own: Mapping[str, RankedPeaks], n: int) -> tuple[Question, ...]:
    """Ask about what nearly reaches a threshold where nothing is known, as far as a patch of its class reaches."""
    asked = []
    for name, peaks in own.items():
        plane = _Plane(curation, found.images, common_shape(curation, curation.roi_class(name)))
        marked = plane.points_of([*marked_patches(curation), *curation.background])
        objects = [plane.points(each)[each.score >= found.least[other]] for other, each in own.items()]
        rows = _just_below(plane, peaks, found.least[name], np.concatenate([marked, *objects]))[:n]
        asked.append([Question(name, patch) for patch in plane.patches(peaks, rows)])
    return tuple(_in_turns(asked)[:n])


def _kinds(
    plane: _Plane, lows: Sequence[RankedPeaks], highs: Sequence[RankedPeaks], objects: Sequence[_Places]
) -> list[NDArray[np.bool_]]:
    """Tell which minima lie beside objects, which in structure and which on plain ground: of each shape its own."""
    beside = [_gaps(low, objects) <= _BESIDE for low in lows]
    structure = [
        _is_structure(plane, low, high, ~is_beside) for low, high, is_beside in zip(lows, highs, beside, strict=True)
    ]
    kinds = (
        beside,
        [is_structure & ~is_beside for is_structure, is_beside in zip(structure, beside, strict=True)],
        [~is_structure & ~is_beside for is_structure, is_beside in zip(structure, beside, strict=True)],
    )
    starts = np.cumsum([0, *map(len, lows)])
    masks = []
    for of_shapes in kinds:
        for start, here in zip(starts, of_shapes, strict=False):
            masks.append(mask := np.zeros(starts[-1], bool))
            mask[start : start + len(here)] = here
    return masks


class _Plane:
    """All images in one plane, too far apart to be near, whose unit is a patch."""

    def __init__(self, curation: Curation, images: Sequence[str], shape: tuple[float, float]) -> None:
        self._shape, self.images = shape, images
        self._indices = {name: index for index, name in enumerate(images)}
        self._sides = np.array([curation.shapes[name] for name in images], np.float64).reshape(-1, 2)
        self._span = self._sides[:, 0].max(initial=0) + 10 * self._shape[0]

    def points(self, peaks: RankedPeaks) -> _Points:
        return np.stack([peaks.image * self._span + peaks.y, peaks.x], axis=1) / self._shape

    def points_of(self, patches: Iterable[Patch]) -> _Points:
        here = [(self._indices[p.image], p.y, p.x) for p in patches if p.image in self._indices]
        image, y, x = np.array(here, np.float64).reshape(-1, 3).T
        return np.stack([image * self._span + y, x], axis=1) / self._shape

    def distances(self, points: _Points, known: _Points) -> NDArray[np.float64]:
        """Measure how far the nearest of others is, along the axis on which that is more."""
        if not len(known):
            return np.full(len(points), np.inf)
        return np.asarray(cKDTree(known).query(points, p=np.inf)[0])

    def free(self, peaks: RankedPeaks, taken: Iterable[_Places]) -> RankedPeaks:
        """Leave out what has its centre in a patch of others, or is not whole where there is room for it."""
        fits = np.ones(len(peaks), bool)
        for at, side, lengths in zip((peaks.y, peaks.x), self._shape, self._sides.T, strict=True):
            length = lengths[peaks.image]
            fits &= (side > length) | ((at >= (side - 1) / 2) & (at <= length - (side + 1) / 2))
        return peaks.take(fits & (_gaps(peaks, taken) >= _HALF))

    def choose(self, peaks: RankedPeaks, kinds: Sequence[NDArray[np.bool_]], n: int, most_in_image: int) -> _Rows:
        """Choose rows: images in turns, in each of them kinds in turns, the first ones that are not side by side."""
        points, limit = self.points(peaks), min(n, most_in_image)
        by_image = []
        for image in range(len(self.images)):
            rows = [np.flatnonzero(is_kind & (peaks.image == image)) for is_kind in kinds]
            by_image.append(_in_turns([_apart(points, each, limit) for each in rows])[:limit])
        return np.array(_in_turns(by_image)[:n], np.intp)

    def patches(self, peaks: RankedPeaks, rows: _Rows) -> tuple[Patch, ...]:
        columns = (column[rows].tolist() for column in (peaks.image, peaks.y, peaks.x))
        return tuple(Patch.at(self.images[image], y, x) for image, y, x in zip(*columns, strict=True))


_Places = tuple[_Plane, "_Points"]
"""Places in a plane whose unit is their patch."""


def _gaps(at: RankedPeaks | Sequence[Patch], taken: Iterable[_Places]) -> NDArray[np.float64]:
    """Measure how far the nearest of some places is, each in patches of its own."""
    gaps = [
        plane.distances(plane.points(at) if isinstance(at, RankedPeaks) else plane.points_of(at), points)
        for plane, points in taken
    ]
    return np.asarray(np.min([np.full(len(at), np.inf), *gaps], axis=0))


def _kept(background: Sequence[Patch], objects: Sequence[_Places], chosen: Sequence[_Places]) -> tuple[Patch, ...]:
    """List what stays background beside what is suggested: what was drawn just below a threshold, too."""
    stays = (_gaps(background, objects) >= _HALF) & (_gaps(background, chosen) >= NEAR)
    return tuple(patch for patch, is_kept in zip(background, stays, strict=True) if is_kept)


def _joined(parts: Sequence[RankedPeaks]) -> RankedPeaks:
    columns = ("image", "y", "x", "score")
    some = [*parts, ranked_peaks((), ())]
    return RankedPeaks(*(np.concatenate([getattr(part, column) for part in some]) for column in columns))


def _unflagged(curation: Curation, name: str, peaks: RankedPeaks, images: Sequence[str]) -> RankedPeaks:
    roi_class = curation.roi_class(name)
    plane, flagged = _Plane(curation, images, common_shape(curation, roi_class)), roi_class.negatives
    return peaks.take(plane.distances(plane.points(peaks), plane.points_of(flagged)) >= NEAR)


def _ascending(peaks: RankedPeaks) -> RankedPeaks:
    return peaks.take(np.lexsort((peaks.x, peaks.y, peaks.image, peaks.score)))


def _just_below(plane: _Plane, peaks: RankedPeaks, least: float, taken: _Points) -> _Rows:
    """List the rows of peaks that nearly reach a threshold where nothing is known, the most similar first."""
    is_near = (peaks.score >= least - _MARGIN) & (peaks.score < least)
    return np.flatnonzero(is_near & (plane.distances(plane.points(peaks), taken) >= _HALF))


def _is_structure(plane: _Plane, low: RankedPeaks, high: RankedPeaks, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which minima lie in structure, and which on plain ground, where the similarity hardly changes.

    How far it rises to the nearest maximum needs nothing that is not at hand, and falls into two groups.
    """
    if not len(low) or not len(high):
        return np.zeros(len(low), bool)
    nearest = cKDTree(plane.points(high)).query(plane.points(low))[1]
    rise = high.score[nearest] - low.score
    return rise > threshold_otsu(rise[rows]) if len(np.unique(rise[rows])) > 1 else np.ones(len(low), bool)


def _apart(points: _Points, rows: _Rows, limit: int) -> list[int]:
    """Take the first rows that are apart from those taken, and others where these are too few."""
    taken: list[int] = []
    others: list[int] = []
    for row in rows[: _TRIED * limit].tolist():
        is_near = taken and np.abs(points[taken] - points[row]).max(axis=1).min() < _APART
        (others if is_near else taken).append(row)
        if len(taken) == limit:
            break
    return [*taken, *others][:limit]


def _in_turns(groups: Sequence[Sequence[T]]) -> list[T]:
    """Take the first of each group, then the second of each."""
    return [group[turn] for turn in range(max(map(len, groups), default=0)) for group in groups if turn < len(group)]
