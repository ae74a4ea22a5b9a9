"""Files of annotations are found and read, and each learns which image of a study it is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError, ConfigError, SourceError
from simsearch.io.annotations.formats import SUFFIXES, Target, read_regions
from simsearch.io.annotations.ndpa import SlideFrame, slide_frame
from simsearch.io.annotations.regions import Region, as_annotation
from simsearch.io.ome_zarr.stores import as_location, is_group_folder
from simsearch.io.sources.folders import walk_files
from simsearch.io.tables.curation import Reading, read_annotations, read_each
from simsearch.workflows.curate.study import study_images

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from simsearch.io.tables.curation import Annotation, LeftOut
    from simsearch.workflows.curate.study import Study


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to understand what a file says."""

    image: str | None = None
    """Name of the image that the file is about; by default what it says itself, or is named after."""
    class_name: str | None = None
    """Class of the regions that have none; by default they are left out."""
    fit: bool = False
    """Give boxes of other sizes, and points, the patch shape around the same centre, instead of refusing them."""
    slide: Path | None = None
    """Slide of Hamamatsu's that says where its image lies; NDPA is relative to that."""
    offset_nm: tuple[float, float] | None = None
    """The same, for an image whose pixel size is known: y and x from the centre of the slide to that of the image."""


def read_files(study: Study, path: Path, options: ImportOptions) -> tuple[Reading, tuple[str, ...]]:
    """Read the annotations of a file, or of all in a folder.

    Returns
    -------
    (Reading, tuple of str)
        What was read, and notes about it.

    Raises
    ------
    SourceError
        If one cannot be read.
    AnnotationError
        If one is not what it begins as, or it is not known which image it is about.
    ConfigError
        If one is of no known kind, or options do not go with it.
    """
    if options.image is not None and options.image not in study.initial.shapes:
        raise ConfigError(f"expected one of the images ({_some(study)}), got {options.image!r}: correct --image")
    if not path.is_dir() or is_group_folder(path):
        return _read_file(study, path, path.name, options)
    files = _files_in(path)
    if not files:
        known = ", ".join(suffix for suffixes in SUFFIXES for suffix in suffixes)
        raise SourceError(f"{path}: expected files that end in {known}, got none: export annotations into it")
    if options.image is not None or options.slide or options.offset_nm:
        raise ConfigError(f"{path}: expected one file with --image, --slide or --offset, got a folder: name the file")
    reading: Reading = []
    for file in files:
        name = file.relative_to(path).as_posix()
        reading += [(f"{name}, {place}", item) for place, item in _read_file(study, file, name, options)[0]]
    return reading, ()


def image_named(name: str, known: Collection[str]) -> str | None:
    """Find the image that a file is named after, however many suffixes it has.

    Examples
    --------
    >>> image_named("slide.ndpi.ndpa", ["slide"]), image_named("P/A/01/0.geojson", ["P/A/01/0"])
    ('slide', 'P/A/01/0')
    """
    while name not in known:
        stem, _, suffix = name.rpartition(".")
        if not stem or "/" in suffix:
            return None
        name = stem
    return name


def _files_in(folder: Path) -> list[Path]:
    files = list(walk_files(folder))
    for suffixes in SUFFIXES:
        if chosen := [each for each in files if each.name.lower().endswith(suffixes)]:
            return chosen
    return []


def _read_file(study: Study, path: Path, name: str, options: ImportOptions) -> tuple[Reading, tuple[str, ...]]:
    """Read a file that is named after an image, or else about the only one."""
    shapes = study.initial.shapes
    named = options.image or image_named(name, shapes) or _image_of_labels(study, path)
    only = next(iter(shapes)) if len(shapes) == 1 and name == path.name else None
    image = named or only
    located: list[SlideFrame] = []
    found = read_regions(path, _target(study, path, image, options, located))
    if found is None:
        if options.image or options.class_name:
            raise ConfigError(
                f"{path}: expected a file that names no images or classes itself, as --image and --class are for, got "
                "a table: leave them out"
            )
        items, notes = read_annotations(path)
        return items, notes + _unused(path, options, located)
    reading = [*read_each(found, partial(_annotated, path=path, image=image, study=study, options=options))]
    is_guessed = image != named and any(isinstance(each, Region) and each.image is None for _, each in found)
    note = f"{path.name} is named after no image: taken to be about {image}, the only one of the study"
    return reading, ((note,) if is_guessed else ()) + _unused(path, options, located)


def _unused(path: Path, options: ImportOptions, located: Sequence[SlideFrame]) -> tuple[str, ...]:
    """Tell of an option that says where an image lies on its slide, where nobody asked."""
    name = "--slide" if options.slide else "--offset" if options.offset_nm else ""
    if not name or located:
        return ()
    return (f"{name} is for NDPA: {path.name} says itself where regions are, and was read without",)


def _annotated(
    item: Region | AnnotationError, path: Path, image: str | None, study: Study, options: ImportOptions
) -> Annotation | LeftOut:
    if isinstance(item, AnnotationError):
        raise item
    about = options.image or item.image or image
    if about is None and not item.left_out:
        raise _unnamed(study, path)
    return as_annotation(item, about or "", options.class_name)


def _target(study: Study, path: Path, image: str | None, options: ImportOptions, located: list[SlideFrame]) -> Target:
    def shape() -> tuple[int, int]:
        if image is None:
            raise _unnamed(study, path)
        return study.initial.shapes[image]

    def frame() -> SlideFrame:
        if image is None:
            raise _unnamed(study, path)
        located.append(_frame(study, path, image, options))
        return located[-1]

    return Target(shape, frame)


def _frame(study: Study, path: Path, image: str, options: ImportOptions) -> SlideFrame:
    """Tell where an image lies on its slide."""
    shape = study.initial.shapes[image]
    if options.slide:
        frame = slide_frame(options.slide)
        if frame.shape != shape:
            raise ConfigError(
                f"{options.slide}: expected the slide that {image} was converted from, of {shape[0]} x {shape[1]} px, "
                f"got one of {frame.shape[0]} x {frame.shape[1]} px: name that, or --offset"
            )
        return frame
    size = study_images(study, [image])[0].pixel_size_um if options.offset_nm else None
    if options.offset_nm is None or size is None:
        got = "an image without a pixel size" if options.offset_nm else "nothing"
        raise ConfigError(
            f"{path}: expected to know where {image} lies on its slide, which NDPA is relative to, got {got}: add "
            "--slide FILE.ndpi, or --offset Y,X (nm; what OpenSlide calls hamamatsu.YOffsetFromSlideCentre, and X) for "
            "an image with a pixel size"
        )
    return SlideFrame(shape, size, options.offset_nm)


def _image_of_labels(study: Study, path: Path) -> str | None:
    """Find the image in whose group labels lie."""
    if path.parent.name != "labels":
        return None
    around = as_location(path.parent.parent)
    return next((each.name for each in study.images if each.path == around), None)


def _unnamed(study: Study, path: Path) -> AnnotationError:
    return AnnotationError(
        f"expected a file named after one of the images ({_some(study)}), got {path.name!r}: rename it, or add --image"
    )


def _some(study: Study) -> str:
    names = [each.name for each in study.images]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
