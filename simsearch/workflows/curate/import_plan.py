"""What is read of annotations is sorted by what it adds to a curation, and turned into actions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from simsearch.curation.actions import Action, AddClass
from simsearch.curation.checks import check_class_name, check_inside, common_shape, count, fixed_shape
from simsearch.curation.marks import (
    AcceptBackground,
    AcceptClass,
    AddPrototypes,
    ConfirmPatches,
    FlagNegatives,
    ReleasePositives,
)
from simsearch.curation.state import BACKGROUND, Curation, Patch, Places, envelope
from simsearch.errors import AnnotationError, CurationError
from simsearch.io.pictures.overlay import CLASS_COLORS
from simsearch.io.tables.curation import Annotation, LeftOut, Reading, Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from simsearch.core.boxes import Box

Key = tuple[Role, str]
"""A role and a class."""

_MOST_LINES = 20  # of an error
_OBJECTS: tuple[Role, ...] = ("prototype", "confirmed", "positive")


class ImportPlan:
    """Sorts what is read by what it adds to a curation."""

    def __init__(self, curation: Curation, shapes: PatchShapes, reading: Reading) -> None:
        self._curation = curation
        self._shapes = shapes
        self._sources = {patch.id: "the study" for patch in curation.patches()}
        self._old = {
            key: {(patch.image, patch.y, patch.x) for patch in patches}
            for key, patches in said_patches(curation).items()
        }
        self._places = {key: Places(patches, shapes.of(key[1])) for key, patches in said_patches(curation).items()}
        self._added: dict[Key, Places] = {}
        self._not_background = Places(curation.not_background, shapes.largest)
        self._read: dict[tuple[Key, str, float, float], str] = {}
        known = [each.name for each in curation.classes]
        self.colors = _new_colors([each.color for each in curation.classes], known, reading)
        """New classes and their colours."""
        self._classes = [*known, *self.colors]
        self.new: defaultdict[Key, list[Patch]] = defaultdict(list)
        """Patches to add."""
        self.n_known = 0
        """Number of those that are there."""
        self.left_out: list[tuple[str, LeftOut]] = []
        """What adds nothing, with its place in the file."""

    def take(self, place: str, item: Annotation | LeftOut | AnnotationError, *, fit: bool) -> str | None:
        """Sort one in, or tell what is wrong with it."""
        if isinstance(item, AnnotationError):
            return str(item)
        if isinstance(item, Annotation) and fit and self._is_at_border(item):
            item = LeftOut("nearer to the border of the image than half a patch", item.box.y, item.box.x)
        if isinstance(item, LeftOut):
            self.left_out.append((place, item))
            return None
        patch = Patch.at(item.box.image, item.box.y, item.box.x)
        key = item.role, item.box.class_name
        try:
            self._check(item, patch, fit=fit)
            self._check_opposites(key, patch)
        except CurationError as error:
            return str(error)
        where = patch.image, patch.y, patch.x
        if where in self._old.get(key, ()):
            self.n_known += 1
            return None
        earlier = self._read.setdefault((key, *where), place)
        if earlier != place:
            return f"expected a patch once, got the same in {earlier}: remove one"
        self.new[key].append(patch)
        for places in (self._places, self._added):
            places.setdefault(key, Places((), self._shapes.of(key[1]))).add(patch)
        self._sources[patch.id] = place
        return None

    @property
    def n_added(self) -> dict[str, dict[str, int]]:
        """Number of patches to add, by their classes and roles."""
        counts: dict[str, dict[str, int]] = {}
        for (role, name), patches in self.new.items():
            if patches:
                counts.setdefault(name, {})[role] = len(patches)
        return counts

    def actions(self) -> Iterator[Action]:
        """Turn what was sorted into actions, in an order in which they apply."""
        moved = self._moved
        for name, color in self.colors.items():
            yield AddClass(name, color)
        for name, given_up in moved.items():
            yield ReleasePositives(name, tuple(patch.id for patch in given_up))
        for name in self._classes:
            if patches := self.new["prototype", name]:
                yield AddPrototypes(name, tuple(patches), self._shapes.of(name))
            if patches := self.new["negative", name]:
                yield FlagNegatives(name, tuple(patches))
            if patches := self.new["confirmed", name]:
                yield ConfirmPatches(name, tuple(patches))
            if patches := self.new["positive", name]:
                there = self._old_positives(name)
                yield AcceptClass(name, (*(p for p in there if p not in moved.get(name, ())), *patches))
        if patches := self.new["background", BACKGROUND]:
            yield AcceptBackground((*self._curation.background, *patches))

    def moved_notes(self) -> tuple[str, ...]:
        """Tell what was accepted with many others, and is of another class from now on."""
        return tuple(
            f"{count(patches, 'positive')} of {name} no longer: there the file has another class, and a place belongs "
            f"to one; the first is {patches[0]}"
            for name, patches in self._moved.items()
        )

    @property
    def _moved(self) -> dict[str, tuple[Patch, ...]]:
        """List by class what the study has accepted with many others, and the file says is of another."""
        moved = {}
        for each in self._curation.classes:
            taken = [
                Places(new, self._shapes.common(each.name, name))
                for (role, name), new in self.new.items()
                if role in _OBJECTS and name != each.name
            ]
            if patches := tuple(p for p in each.positives if any(places.near(p) for places in taken)):
                moved[each.name] = patches
        return moved

    def _old_positives(self, name: str) -> tuple[Patch, ...]:
        return next((each.positives for each in self._curation.classes if each.name == name), ())

    def _check(self, item: Annotation, patch: Patch, *, fit: bool) -> None:
        box = item.box
        if item.role == "prototype":
            check_class_name(box.class_name)
        if item.role != "background" and box.class_name not in self._classes:
            known = ", ".join(self._classes) or "none"
            raise CurationError(
                f"expected one of the classes ({known}), got {box.class_name!r}: a prototype makes a class"
            )
        if not fit and 0 in (box.height, box.width):
            raise CurationError(
                f"expected a box, got a point or a line at {patch}: add --fit to take patches around what has no size"
            )
        shape = self._shapes.of(box.class_name)
        if not fit and _shape(box) != shape:
            raise CurationError(
                f"expected a patch of {shape[0]:g} x {shape[1]:g} px, as the first prototype fixed, got "
                f"{box.height:g} x {box.width:g} px: draw it so, or add --fit to take its centre only"
            )
        check_inside(self._curation, patch, shape if item.role == "prototype" else None)

    def _is_at_border(self, item: Annotation) -> bool:
        """Tell whether a prototype is inside its image, but a patch around its centre would not be."""
        shape = self._curation.shapes.get(item.box.image)
        height, width = self._shapes.of(item.box.class_name)
        patch = replace(item.box, height=height, width=width)
        return bool(shape and item.role == "prototype" and item.box.is_inside(shape) and not patch.is_inside(shape))

    def _check_opposites(self, key: Key, patch: Patch) -> None:
        for opposite in _opposites(key, self._classes):
            role, name = opposite
            gives_way = key[0] in _OBJECTS and role == "positive"  # what the study has accepted in bulk
            places = (self._added if gives_way else self._places).get(opposite)
            if other := places and places.near(patch, self._shapes.common(key[1], name)):
                what = role if role == name else f"{role} of {name}"
                raise CurationError(
                    f"{patch}: expected no {key[0]}, got one where {self._sources[other.id]} has a {what}"
                )
        if key[0] == "background" and self._not_background.near(patch):
            raise CurationError(f"{patch}: expected no background, got some where the study has a flag that it is none")


def _opposites(key: Key, classes: Sequence[str]) -> list[Key]:
    """Tell what must not be said of the same place."""
    role, name = key
    if role == "negative":
        return [("prototype", name), ("confirmed", name), ("positive", name)]
    if role == "background":
        return [(each, other) for each in ("prototype", "confirmed", "positive") for other in classes]
    opposites: list[Key] = [("negative", name), ("background", BACKGROUND)]
    # A place belongs to one class, in whatever order a file says so; but boxes that were drawn may share a centre.
    single = [each for each in _OBJECTS if (role, each) != ("prototype", "prototype")]
    opposites += [(each, other) for each in single for other in classes if other != name]
    return opposites


def _shape(box: Box) -> tuple[float, float]:
    return round(box.height, 3), round(box.width, 3)


class PatchShapes:
    """Which patches classes will have: their own, or those of their first prototypes (paper section 2.3.1).

    Parameters
    ----------
    curation : Curation
        What was said so far.
    new : mapping of str to (float, float)
        By class the shape of its first prototype that is read.
    """

    def __init__(self, curation: Curation, new: Mapping[str, tuple[float, float]]) -> None:
        known = {each.name: shape for each in curation.classes if (shape := fixed_shape(curation, each))}
        self._own = dict(new) | known
        if curation.has_one_patch:
            one = curation.patch_shape or next(iter(new.values()))
            self._own = dict.fromkeys(self._own, one)
        self.largest = envelope([*self._own.values()] or [common_shape(curation)])
        """Of the background, and of classes that nobody has drawn."""

    def of(self, name: str) -> tuple[float, float]:
        """Return the patch of a class or, without one of its own, the largest."""
        return self._own.get(name, self.largest)

    def common(self, name: str, other: str) -> tuple[float, float]:
        """Return the patch that tells how near places of two classes are to be one; background has the largest."""
        return min(self.of(name), self.of(other), key=min)


def patch_shapes_of(curation: Curation, reading: Reading, path: Path) -> PatchShapes:
    """Tell the patch shapes: those of the study, and of the first prototypes of other classes."""
    new: dict[str, tuple[float, float]] = {}
    for _, item in reading:
        if isinstance(item, Annotation) and item.role == "prototype" and item.box.height > 0 and item.box.width > 0:
            new.setdefault(item.box.class_name, _shape(item.box))
    if new or curation.patch_shape:
        return PatchShapes(curation, new)
    # What is wrong with its rows, or left out of it, is more to the point than that it has no prototype.
    wrong = [f"{place}: {item}" for place, item in reading if isinstance(item, AnnotationError)]
    left_out = left_out_notes([(place, item) for place, item in reading if isinstance(item, LeftOut)])
    raise AnnotationError(
        f"{path}: expected a prototype with a height and a width, which fixes the shape of patches, got none here or "
        f"in the study: draw a box around an object; nothing was imported{listed([*wrong, *left_out])}"
    )


def listed(lines: Sequence[str]) -> str:
    """Write what an error is about behind it, or below it where it is more than one thing; some of them, if many."""
    if len(lines) == 1:
        return f": {lines[0]}"
    shown = [*lines[:_MOST_LINES], *([f"and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else [])]
    return "\n  ".join([":", *shown]) if shown else ""


def left_out_notes(left_out: Sequence[tuple[str, LeftOut]]) -> tuple[str, ...]:
    """Tell how many are left out for each reason, and where the first of them is."""
    groups: dict[str, list[tuple[str, LeftOut]]] = {}
    for place, item in left_out:
        groups.setdefault(item.reason, []).append((place, item))
    notes = []
    for reason, items in groups.items():
        place, first = items[0]
        where = "" if first.y is None or first.x is None else f" at y {first.y:g} x {first.x:g}"
        notes.append(f"{len(items)} left out: {reason}; the first is {place}{where}")
    return tuple(notes)


def _new_colors(used: Sequence[str], known: Sequence[str], reading: Reading) -> dict[str, str]:
    """Choose colours for the classes of prototypes that are not known: those they have, or the next free one."""
    colors: dict[str, str] = {}
    for _, item in reading:
        if not isinstance(item, Annotation) or item.role != "prototype":
            continue
        name = item.box.class_name
        if name not in known and name not in colors and _is_class_name(name):
            taken = {*used, *colors.values()}
            free = [color.lower() for color in CLASS_COLORS if color.lower() not in taken]
            next_one = free[0] if free else CLASS_COLORS[len(taken) % len(CLASS_COLORS)].lower()
            colors[name] = item.color or next_one
    return colors


def _is_class_name(name: str) -> bool:
    try:
        check_class_name(name)
    except CurationError:
        return False
    return True


def said_patches(curation: Curation) -> dict[Key, tuple[Patch, ...]]:
    """List the patches of a curation by what was said about them."""
    said: dict[Key, tuple[Patch, ...]] = {}
    for each in curation.classes:
        said["prototype", each.name] = each.prototypes
        said["confirmed", each.name] = each.confirmed
        said["positive", each.name] = each.positives
        said["negative", each.name] = each.negatives
    said["background", BACKGROUND] = curation.background
    return said
