"""What people have said about images elsewhere comes into a study, and goes out of it: CSV, and GeoJSON of QuPath."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.boxes import Box
from simsearch.curation.actions import Action, AddClass, Batch, apply
from simsearch.curation.checks import check_class_name, check_inside
from simsearch.curation.marks import AcceptBackground, AcceptClass, AddPrototypes, FlagNegatives
from simsearch.curation.state import BACKGROUND, Curation, Patch, Places
from simsearch.errors import AnnotationError, ConfigError, CurationError, SourceError, StoreError
from simsearch.io.pictures.overlay import CLASS_COLORS
from simsearch.io.tables.curation import Annotation, Reading, Role, read_annotations, write_annotations
from simsearch.io.tables.geojson import read_features, write_features
from simsearch.workflows.curate.study import open_curation, read_curation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from simsearch.curation.journal import Torn
    from simsearch.workflows.curate.study import Study

Key = tuple[Role, str]
"""A role and a class."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import has done."""

    n_added: Mapping[str, int]
    """Number of patches that were new, by their roles."""
    n_known: int
    """Number of patches that had been there with the same class and role."""
    new_classes: tuple[str, ...]
    """Classes that were added."""
    torn: Torn | None
    """What was cut off the journal before."""


def import_annotations(
    study: Study, path: Path, *, user: str, image: str | None = None, fit: bool = False
) -> ImportReport:
    """Add what a file says to a study: all of it in one action, or nothing.

    Parameters
    ----------
    study : Study
        The study, which nobody else has open.
    path : Path
        CSV, GeoJSON, or a folder of GeoJSON named after images. A prototype makes its class if there is none. Positives
        accept their class, and background the background, together with what had been accepted before.
    user : str
        Who says so.
    image : str, optional
        Name of the image that a GeoJSON file is about, if it does not say.
    fit : bool
        Give boxes of other sizes the patch shape, around the same centre, instead of refusing them.

    Raises
    ------
    AnnotationError
        If anything in it does not go with the study: the message lists every row.
    SourceError
        If it cannot be read as text.
    ConfigError
        If it is of another kind.
    StoreError
        If the study cannot be written, or another has it open.
    """
    reading = _read(path, image)
    with open_curation(study) as journal:
        plan = _Plan(journal.state, _patch_shape(journal.state, reading, path), reading)
        problems = [f"\n  {place}: {error}" for place, item in reading if (error := plan.take(place, item, fit=fit))]
        if problems:
            raise AnnotationError(
                f"{path}: expected annotations that go with the study, got {len(problems)} of {len(reading)} that do "
                f"not; nothing was imported:{''.join(problems)}"
            )
        actions = tuple(plan.actions())
        if actions:
            journal.append(user, _checked(journal.state, Batch(f"import {path.name}", actions), path))
        return ImportReport(plan.n_added, plan.n_known, tuple(plan.colors), journal.torn)


def export_annotations(study: Study, destination: Path, *, overwrite: bool = False) -> tuple[int, int]:
    """Write what was said in a study as a table, or as GeoJSON that QuPath reads.

    Parameters
    ----------
    study : Study
        The study; others may have it open.
    destination : Path
        A file whose name ends in ``.csv``, or a folder that gets ``IMAGE.geojson`` for each image about which
        something was said.
    overwrite : bool
        Replace what is there.

    Returns
    -------
    (int, int)
        Number of patches and of files.

    Raises
    ------
    CurationError
        If nothing was said yet.
    ConfigError
        If the destination is of another kind.
    StoreError
        If it is there, or cannot be written.
    """
    is_table = destination.suffix.lower() == ".csv"
    if not is_table and destination.suffix.lower() in (".geojson", ".json"):
        raise ConfigError(f"{destination}: expected FILE.csv or a folder for GeoJSON, a file an image: name a folder")
    curation = read_curation(study)[0].state
    annotations = list(curated_patches(curation))
    if not annotations:
        raise CurationError(f"{study.folder}: expected patches to export, got none: nothing was marked yet")
    if is_table:
        _check_free([destination], overwrite=overwrite)
        return write_annotations(annotations, destination), 1
    by_image: dict[str, list[Annotation]] = {name: [] for name in curation.shapes}
    for each in annotations:
        by_image[each.box.image].append(each)
    paths = {name: destination / f"{name}.geojson" for name in by_image}
    _check_free([path for name, path in paths.items() if by_image[name]], overwrite=overwrite)
    # A file of an earlier export, about whose image nothing is said any more, must not say it still.
    written = [name for name, path in paths.items() if by_image[name] or path.exists()]
    return sum(write_features(by_image[name], paths[name]) for name in written), len(written)


class _Plan:
    """Sorts what is read by what it adds to a curation."""

    def __init__(self, curation: Curation, patch_shape: tuple[float, float], reading: Reading) -> None:
        self._curation = curation
        self._shape = patch_shape
        self._sources = {patch.id: "the study" for patch in curation.patches()}
        self._old = {
            key: {(patch.image, patch.y, patch.x) for patch in patches} for key, patches in _said(curation).items()
        }
        self._places: defaultdict[Key, Places] = defaultdict(lambda: Places((), patch_shape))
        for key, patches in _said(curation).items():
            self._places[key] = Places(patches, patch_shape)
        self._not_background = Places(curation.not_background, patch_shape)
        self._read: dict[tuple[Key, str, float, float], str] = {}
        known = [each.name for each in curation.classes]
        self.colors = _new_colors([each.color for each in curation.classes], known, reading)
        """New classes and their colours."""
        self._classes = [*known, *self.colors]
        self.new: defaultdict[Key, list[Patch]] = defaultdict(list)
        """Patches to add."""
        self.n_known = 0
        """Number of those that are there."""

    def take(self, place: str, item: Annotation | AnnotationError, *, fit: bool) -> str | None:
        """Sort one in, or tell what is wrong with it."""
        if isinstance(item, AnnotationError):
            return str(item)
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
        self._places[key].add(patch)
        self._sources[patch.id] = place
        return None

    @property
    def n_added(self) -> dict[str, int]:
        """Number of patches to add, by their roles."""
        counts: Counter[str] = Counter()
        for (role, _), patches in self.new.items():
            counts[role] += len(patches)
        return {role: count for role, count in counts.items() if count}

    def actions(self) -> Iterator[Action]:
        """Turn what was sorted into actions, in an order in which they apply."""
        said = _said(self._curation)
        for name, color in self.colors.items():
            yield AddClass(name, color)
        for name in self._classes:
            if patches := self.new["prototype", name]:
                yield AddPrototypes(name, tuple(patches), self._shape)
            if patches := self.new["negative", name]:
                yield FlagNegatives(name, tuple(patches))
            if patches := self.new["positive", name]:
                yield AcceptClass(name, (*said.get(("positive", name), ()), *patches))
        if patches := self.new["background", BACKGROUND]:
            yield AcceptBackground((*self._curation.background, *patches))

    def _check(self, item: Annotation, patch: Patch, *, fit: bool) -> None:
        box = item.box
        if item.role == "prototype":
            check_class_name(box.class_name)
        if item.role != "background" and box.class_name not in self._classes:
            known = ", ".join(self._classes) or "none"
            raise CurationError(
                f"expected one of the classes ({known}), got {box.class_name!r}: a prototype makes a class"
            )
        if not fit and _shape(box) != self._shape:
            raise CurationError(
                f"expected a patch of {self._shape[0]:g} x {self._shape[1]:g} px, as the first prototype fixed, got "
                f"{box.height:g} x {box.width:g} px: draw it so, or add --fit to take its centre only"
            )
        check_inside(self._curation, patch, self._shape if item.role == "prototype" else None)

    def _check_opposites(self, key: Key, patch: Patch) -> None:
        for opposite in _opposites(key, self._classes):
            if other := self._places[opposite].near(patch):
                role, name = opposite
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
        return [("prototype", name), ("positive", name)]
    if role == "background":
        return [(each, other) for each in ("prototype", "positive") for other in classes]
    return [("negative", name), ("background", BACKGROUND)]


def _read(path: Path, image: str | None) -> Reading:
    suffix = path.suffix.lower()
    if path.is_dir() and image is None:
        files = sorted(path.rglob("*.geojson"))
        if not files:
            raise SourceError(f"{path}: expected files that end in .geojson, got none: export them from QuPath")
        names = [file.relative_to(path).as_posix() for file in files]
        return [
            (f"{name}, {place}", item)
            for file, name in zip(files, names, strict=True)
            for place, item in read_features(file, default=name.removesuffix(".geojson"))
        ]
    if suffix in (".geojson", ".json"):
        return read_features(path, image)
    if suffix != ".csv" or image is not None:
        raise ConfigError(
            f"{path}: expected a .csv, a .geojson (which alone can have --image) or a folder of .geojson: name one"
        )
    return read_annotations(path)


def _shape(box: Box) -> tuple[float, float]:
    return round(box.height, 3), round(box.width, 3)


def _patch_shape(curation: Curation, reading: Reading, path: Path) -> tuple[float, float]:
    """Tell the patch shape: that of the study, or of the first prototype (paper section 2.3.1)."""
    if curation.patch_shape:
        return curation.patch_shape
    for _, item in reading:
        if isinstance(item, Annotation) and item.role == "prototype":
            return _shape(item.box)
    # What is wrong with its rows is more to the point than that it has no prototype.
    wrong = "".join(f"\n  {place}: {item}" for place, item in reading if isinstance(item, AnnotationError))
    raise AnnotationError(
        f"{path}: expected a prototype, which fixes the shape of patches, got none here or in the study: draw one; "
        f"nothing was imported{':' if wrong else ''}{wrong}"
    )


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


def _checked(curation: Curation, batch: Batch, path: Path) -> Batch:
    """Refuse in the words of an import what the actions refuse: rows that are right one by one, and not together."""
    try:
        apply(curation, batch)
    except CurationError as error:
        raise AnnotationError(f"{path}: {error}; nothing was imported") from error
    return batch


def _said(curation: Curation) -> dict[Key, tuple[Patch, ...]]:
    said: dict[Key, tuple[Patch, ...]] = {}
    for each in curation.classes:
        said["prototype", each.name] = each.prototypes
        said["positive", each.name] = each.positives
        said["negative", each.name] = each.negatives
    said["background", BACKGROUND] = curation.background
    return said


def curated_patches(curation: Curation) -> Iterator[Annotation]:
    """Tell of each patch what was said about it, class by class, then the background."""
    colors = {each.name: each.color for each in curation.classes}
    for (role, name), patches in _said(curation).items():
        for patch in patches:
            if curation.patch_shape:
                yield Annotation(
                    Box(patch.image, name, patch.y, patch.x, *curation.patch_shape), role, colors.get(name)
                )


def _check_free(paths: Sequence[Path], *, overwrite: bool) -> None:
    there = next((path for path in paths if path.exists()), None)
    if there and not overwrite:
        raise StoreError(f"{there}: expected a new file, got one that is there: add --overwrite or name another place")
