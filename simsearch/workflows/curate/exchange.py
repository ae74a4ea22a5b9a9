"""What people have said about images elsewhere comes into a study, and goes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simsearch.core.boxes import Box
from simsearch.core.checks.names import path_in
from simsearch.curation.actions import Batch, apply
from simsearch.errors import AnnotationError, ConfigError, CurationError, StoreError
from simsearch.io.tables.curation import ROLES, Annotation, write_annotations
from simsearch.io.tables.geojson import write_features
from simsearch.workflows.curate.annotation_files import ImportOptions, read_files
from simsearch.workflows.curate.import_plan import ImportPlan, left_out_notes, listed, patch_shapes_of, said_patches
from simsearch.workflows.curate.study import open_curation, read_curation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from simsearch.curation.journal import Torn
    from simsearch.curation.state import Curation
    from simsearch.workflows.curate.study import Study


_PLAIN = ImportOptions()


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
    by_class: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Number of patches that were new, by their classes and roles."""
    notes: tuple[str, ...] = ()
    """What was left out, and why; what was taken for granted."""


def import_annotations(study: Study, path: Path, *, user: str, options: ImportOptions = _PLAIN) -> ImportReport:
    """Add what a file says to a study: all of it in one action, or nothing.

    Parameters
    ----------
    study : Study
        The study, which nobody else has open.
    path : Path
        CSV, or what another program has written: GeoJSON of QuPath, XML of ImageScope or ASAP, NDPA, regions of
        interest of ImageJ, a label image; or a folder of such files named after images. A prototype makes its class if
        there is none. Positives accept their class, and background the background, together with what had been accepted
        before.
    user : str
        Who says so.
    options : ImportOptions
        How to understand the file.

    Raises
    ------
    AnnotationError
        If anything in it does not go with the study: the message lists every row, up to twenty.
    SourceError
        If it cannot be read.
    ConfigError
        If it is of another kind.
    StoreError
        If the study cannot be written, or another has it open.
    """
    reading, notes = read_files(study, path, options)
    with open_curation(study) as journal:
        plan = ImportPlan(journal.state, patch_shapes_of(journal.state, reading, path), reading)
        problems = [(place, error) for place, item in reading if (error := plan.take(place, item, fit=options.fit))]
        if problems:
            raise _refusal(path, problems, len(reading))
        actions = tuple(plan.actions())
        if actions:
            journal.append(user, _checked(journal.state, Batch(f"import {path.name}", actions), path))
        return ImportReport(
            n_added={role: n for role in ROLES if (n := sum(counts.get(role, 0) for counts in plan.n_added.values()))},
            n_known=plan.n_known,
            new_classes=tuple(plan.colors),
            torn=journal.torn,
            by_class=plan.n_added,
            notes=notes + plan.moved_notes() + left_out_notes(plan.left_out),
        )


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
    paths = {name: path_in(destination, name, ".geojson") for name in by_image}
    _check_free([path for name, path in paths.items() if by_image[name]], overwrite=overwrite)
    # A file of an earlier export, about whose image nothing is said any more, must not say it still.
    written = [name for name, path in paths.items() if by_image[name] or path.exists()]
    return sum(write_features(by_image[name], paths[name]) for name in written), len(written)


def _refusal(path: Path, problems: Sequence[tuple[str, str]], n_read: int) -> AnnotationError:
    if len(problems) == 1:
        [(place, problem)] = problems
        return AnnotationError(f"{path}, {place}: {problem}; nothing was imported")
    return AnnotationError(
        f"{path}: expected annotations that go with the study, got {len(problems)} of {n_read} that do not; nothing "
        f"was imported{listed([f'{place}: {problem}' for place, problem in problems])}"
    )


def _checked(curation: Curation, batch: Batch, path: Path) -> Batch:
    """Refuse in the words of an import what the actions refuse: rows that are right one by one, and not together."""
    try:
        apply(curation, batch)
    except CurationError as error:
        raise AnnotationError(f"{path}: {error}; nothing was imported") from error
    return batch


def curated_patches(curation: Curation) -> Iterator[Annotation]:
    """Tell of each patch what was said about it, class by class, then the background."""
    colors = {each.name: each.color for each in curation.classes}
    shapes: dict[str, tuple[float, float] | None] = {each.name: curation.shape_of(each) for each in curation.classes}
    for (role, name), patches in said_patches(curation).items():
        shape = shapes.get(name, curation.patch_shape)
        for patch in patches:
            if shape:
                yield Annotation(Box(patch.image, name, patch.y, patch.x, *shape), role, colors.get(name))


def _check_free(paths: Sequence[Path], *, overwrite: bool) -> None:
    there = next((path for path in paths if path.exists()), None)
    if there and not overwrite:
        raise StoreError(f"{there}: expected a new file, got one that is there: add --overwrite or name another place")
