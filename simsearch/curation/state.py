"""The state of a curation, as values that never change (paper section 2.3).

Two rules keep it free of contradictions. Marks that a person makes one by one (prototypes, confirmed patches,
negatives, patches that are not background) are never overruled: an action that says the opposite is refused. What is
approved in bulk (positives, background) gives way to later marks.
"""

from __future__ import annotations

import math
import secrets
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simsearch.errors import CurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from simsearch.core.named_regions import NamedRegion

BACKGROUND = "background"
"""What is called so is no class."""

_DECIMALS = 3  # of a position in pixels: decimals survive tables and polygons exactly, and finer is noise
_STRIDE = 0.1  # of the patch width (paper section 2.3.1)
NEAR = 0.25
"""Patches nearer than this share of their shorter side mark one object: two peaks are at least twice as far apart."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A place in an image that somebody has judged."""

    id: str
    """Names the patch for as long as it is there, wherever it is moved."""
    image: str
    """Name of the image."""
    y: float
    """Row of the centre in level-0 pixels."""
    x: float
    """Column of the centre in level-0 pixels."""

    def __str__(self) -> str:
        return f"y {self.y:g} x {self.x:g} in {self.image}"

    @classmethod
    def at(cls, image: str, y: float, x: float) -> Patch:
        """Make a new patch, its position rounded to 1/1000 px."""
        return cls(secrets.token_hex(8), image, round(y, _DECIMALS), round(x, _DECIMALS))

    def moved(self, y: float, x: float) -> Patch:
        """Return the same patch elsewhere in its image."""
        return replace(self, y=round(y, _DECIMALS), x=round(x, _DECIMALS))

    def moved_inside(self, patch_shape: tuple[float, float], image_shape: tuple[int, int]) -> Patch:
        """Return the same patch, moved inwards where it would not lie in its image, if there is room for it.

        Examples
        --------
        >>> str(Patch.at("a", 5, 60).moved_inside((48, 40), (100, 30)))
        'y 23.5 x 60 in a'
        """
        sides = zip((self.y, self.x), patch_shape, image_shape, strict=True)
        centres = (
            centre if side > length else min(max(centre, (side - 1) / 2), length - (side + 1) / 2)
            for centre, side, length in sides
        )
        return self.moved(*centres)


@dataclass(frozen=True, slots=True)
class RoiClass:
    """A class of regions of interest."""

    name: str
    """Unique in its curation."""
    color: str
    """``#`` and 6 hex digits."""
    prototypes: tuple[Patch, ...] = ()
    """What was drawn."""
    positives: tuple[Patch, ...] = ()
    """Suggestions that were accepted; prototypes not among them unless they were suggested."""
    negatives: tuple[Patch, ...] = ()
    """Suggestions that were flagged: they look like the class, and are not of it."""
    confirmed: tuple[Patch, ...] = ()
    """Suggestions that somebody looked at one by one, and that are of the class."""
    similarity_threshold: float | None = None
    """Suggestions are at least as similar; None while nobody has chosen."""
    confidence_threshold: float | None = None
    """Detections have at least this confidence; None while nobody has chosen."""
    is_accepted: bool = False
    """Whether the suggestions were accepted, and nothing was said since that asks for that anew."""
    n_changes: int = 0
    """How often boxes were added, moved or removed since the suggestions were accepted; they stay accepted."""
    patch_shape: tuple[float, float] | None = None
    """Height and width of its patches: those of its first prototype; None while there is no patch of it, and where one
    patch serves all classes."""

    def with_prototypes(self, prototypes: tuple[Patch, ...]) -> RoiClass:
        """Return the class with other prototypes. What was accepted stays so, and the change is counted."""
        is_left = bool(prototypes or self.positives or self.confirmed)
        is_accepted = self.is_accepted and is_left
        n_changes = self.n_changes + 1 if is_accepted else 0
        return replace(self, prototypes=prototypes, is_accepted=is_accepted, n_changes=n_changes)

    def patches(self) -> Iterator[Patch]:
        """Iterate over all patches of which something was said for the class."""
        yield from (*self.prototypes, *self.confirmed, *self.positives, *self.negatives)


@dataclass(frozen=True, slots=True)
class Curation:
    """All that was said about a set of images."""

    shapes: Mapping[str, tuple[int, int]]
    """Height and width of each image at level 0; not to be changed."""
    channel_names: tuple[str, ...]
    """Channels of the images."""
    displayed: tuple[str, ...] = ()
    """Names of the images that are shown."""
    channels: tuple[str, ...] = ()
    """Names of the channels that are looked at."""
    classes: tuple[RoiClass, ...] = ()
    """In the order in which they were added."""
    patch_shape: tuple[float, float] | None = None
    """Height and width of patches that are of no class, such as background: as high and as wide as the largest of any
    class; None while there is no patch."""
    background: tuple[Patch, ...] = ()
    """Accepted background."""
    not_background: tuple[Patch, ...] = ()
    """Suggested as background and flagged."""
    is_background_accepted: bool = False
    """Whether the background was accepted after the last flag."""
    regions: tuple[NamedRegion, ...] = ()
    """Parts of images to run and count in, in the order in which they were outlined."""
    has_one_patch: bool = False
    """Whether the first prototype of all fixes the patch of all classes, as in the paper; else that of each its own."""

    @property
    def stride(self) -> float | None:
        """Distance between patches of the paper's sliding window in pixels (section 2.3.1)."""
        return None if self.patch_shape is None else _STRIDE * self.patch_shape[1]

    def roi_class(self, name: str) -> RoiClass:
        """Find a class.

        Raises
        ------
        CurationError
            If there is none of that name.
        """
        for each in self.classes:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.classes) or "none yet"
        raise CurationError(f"expected one of the classes ({known}), got {name!r}: add it, or correct the name")

    def with_class(self, name: str, changed: RoiClass) -> Curation:
        """Return the curation with one class in place of another."""
        return replace(self, classes=tuple(changed if each.name == name else each for each in self.classes))

    def reopened(self, name: str) -> Curation:
        """Return the curation with the suggestions of a class to be accepted again."""
        return self.with_class(name, replace(self.roi_class(name), is_accepted=False, n_changes=0))

    def patches(self) -> Iterator[Patch]:
        """Iterate over all patches."""
        for each in self.classes:
            yield from each.patches()
        yield from (*self.background, *self.not_background)

    def shape_of(self, roi_class: RoiClass) -> tuple[float, float] | None:
        """Return height and width of the patches of a class: its own, or while nobody has drawn it the largest."""
        return roi_class.patch_shape or self.patch_shape

    def released(self) -> Curation:
        """Return the curation with patch shapes free again where there is no patch left."""
        if not next(self.patches(), None):
            classes = tuple(replace(each, patch_shape=None) for each in self.classes)
            return replace(self, classes=classes, patch_shape=None)
        if self.has_one_patch:
            return self
        is_used = [next(each.patches(), None) is not None for each in self.classes]
        classes = tuple(
            each if used else replace(each, patch_shape=None) for each, used in zip(self.classes, is_used, strict=True)
        )
        return replace(self, classes=classes).measured()

    def measured(self) -> Curation:
        """Return the curation with patches of no class as high and as wide as the largest; as before where none is."""
        shapes = [each.patch_shape for each in self.classes if each.patch_shape]
        return replace(self, patch_shape=envelope(shapes)) if shapes else self


def envelope(shapes: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the greatest height and the greatest width of some patches.

    Examples
    --------
    >>> envelope([(48, 40), (20, 60)])
    (48, 60)
    """
    return max(height for height, _ in shapes), max(width for _, width in shapes)


class Places:
    """Patches by where they are, to find what was said about a place.

    Parameters
    ----------
    patches : iterable of Patch
        What to look among.
    patch_shape : (float, float)
        Height and width of patches in pixels.
    """

    def __init__(self, patches: Iterable[Patch], patch_shape: tuple[float, float]) -> None:
        self._radius = NEAR * min(patch_shape)
        self._cells: dict[tuple[str, int, int], list[Patch]] = defaultdict(list)
        for patch in patches:
            self.add(patch)

    def add(self, patch: Patch) -> None:
        """Look among one more."""
        self._cells[self._cell(patch)].append(patch)

    def near(self, patch: Patch, shape: tuple[float, float] | None = None) -> Patch | None:
        """Find a patch that marks the same object: nearer than a quarter of a patch's shorter side.

        With a shape it is looked for no farther than a patch of that reaches.

        Examples
        --------
        >>> places = Places([Patch.at("a", 50, 50)], patch_shape=(48, 40))
        >>> str(places.near(Patch.at("a", 56, 57))), places.near(Patch.at("a", 50, 60))
        ('y 50 x 50 in a', None)
        """
        image, row, column = self._cell(patch)
        radius = self._radius if shape is None else min(self._radius, NEAR * min(shape))
        for i in (row - 1, row, row + 1):
            for j in (column - 1, column, column + 1):
                for other in self._cells.get((image, i, j), ()):
                    if math.hypot(other.y - patch.y, other.x - patch.x) < radius:
                        return other
        return None

    def _cell(self, patch: Patch) -> tuple[str, int, int]:
        return patch.image, math.floor(patch.y / self._radius), math.floor(patch.x / self._radius)


def clean_objects(roi_class: RoiClass, patch_shape: tuple[float, float]) -> list[Patch]:
    """List what is of a class; what was drawn, confirmed or accepted at one place is one object."""
    known, listed = Places((), patch_shape), []
    for patches in (roi_class.prototypes, roi_class.confirmed, roi_class.positives):
        listed += (new := [patch for patch in patches if known.near(patch) is None])
        for patch in new:
            known.add(patch)
    return listed


def singled_out(roi_class: RoiClass) -> tuple[Patch, ...]:
    """List what somebody said one by one to be of a class."""
    return (*roi_class.prototypes, *roi_class.confirmed)
