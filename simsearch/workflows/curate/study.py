"""A study: a folder that refers to images and keeps what people say about them.

``study.json`` is written once: which images, which of them to begin with, which channels. All that is said later stands
in ``curation.jsonl``, the intensity ranges in ``measure.json``, what was trained in ``models``. These are small and can
be copied; ``cache`` holds features that can be computed again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.checks.formats import FORMAT_KEY, check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.core.checks.names import check_name, image_key
from simsearch.core.checks.options import check_range
from simsearch.curation.checks import check_choice
from simsearch.curation.journal import Journal, Torn, create_journal, read_journal
from simsearch.curation.state import Curation
from simsearch.errors import ConfigError, CurationError, SimSearchError, SourceError, StoreError, TrunkError
from simsearch.io.ome_zarr.plates.hierarchy import find_images
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import input_place, replacing
from simsearch.io.tables.plate_maps.treatments import ROLE
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.workflows.curate.layout import find_layout, plate_maps
from simsearch.workflows.curate.plate_choice import choose_by_column, has_controls
from simsearch.workflows.find.measure import read_ranges
from simsearch.workflows.image_set import channel_indices, find_image_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from simsearch.curation.history import History
    from simsearch.io.ome_zarr.image import ImageMeta, Selection

STUDY_NAME, JOURNAL_NAME = "study.json", "curation.jsonl"
MEASURE_NAME, CACHE_NAME, MODELS_NAME, MODEL_NAME = "measure.json", "cache", "models", "model.safetensors"
_PRIVATE, _SHARED = 0o700, 0o777  # modes of a study's folder; the umask takes from the latter
_VERSION = 2  # of study.json; 1 had one patch for all classes


@dataclass(frozen=True, slots=True)
class StudyImage:
    """An image that a study refers to."""

    name: str
    """As ImageMeta has it."""
    path: str
    """Path or URL of the image group."""
    shape: tuple[int, int]
    """Height and width at level 0 when the study was created."""


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """How to begin a study."""

    channels: tuple[str, ...] | None = None
    """Names or numbers of the channels to look at; all of them by default."""
    display: int | tuple[str, ...] = 6
    """How many images to display, chosen at random, or the names of the images."""
    display_by: str | None = None
    """Column of the plate map each of whose values has some of them; by default ``role``, where it tells controls, and
    none if it is empty."""
    seed: int = 0
    """Of the random choice."""
    trunk: str = "bundled"
    """What sees: bundled, imagenet, a file or its URL."""
    measurement: Path | None = None
    """JSON of `simsearch measure` with the intensity ranges; by default they are measured when they are needed."""
    z: Selection = None
    """Which z plane, or max for the maximum over all."""
    t: Selection = None
    """Which time point, or max for the maximum over all."""
    private: bool = False
    """Whether nobody else on the machine may look into the folder."""
    one_patch: bool = False
    """Whether the first prototype fixes the patch of all classes, as in the paper, and not only that of its own."""

    def __post_init__(self) -> None:
        check_range("seed", self.seed, 0)


@dataclass(frozen=True, slots=True)
class Study:
    """What ``study.json`` says."""

    folder: Path
    """Where the study is."""
    images: tuple[StudyImage, ...]
    """All of them, fields of plates one by one."""
    channel_names: tuple[str, ...]
    """Channels of the images."""
    dtype: str
    """Pixel type of the images."""
    channels: tuple[str, ...]
    """Those looked at in the beginning."""
    displayed: tuple[str, ...]
    """Names of the images displayed in the beginning."""
    seed: int
    """What they were chosen with."""
    trunk: str
    """What sees: bundled, imagenet, an absolute path or a URL."""
    z: Selection
    """What is read of the z axis."""
    t: Selection
    """What is read of the t axis."""
    created: str
    """When, in ISO 8601 with UTC."""
    has_one_patch: bool
    """Whether the first prototype fixes the patch of all classes, as in studies of before there was a choice."""

    @property
    def initial(self) -> Curation:
        """The curation before anybody has said anything."""
        shapes = {image.name: image.shape for image in self.images}
        return Curation(shapes, self.channel_names, self.displayed, self.channels, has_one_patch=self.has_one_patch)

    @property
    def journal_path(self) -> Path:
        """Where what people say is kept."""
        return self.folder / JOURNAL_NAME


def create_study(
    folder: Path,
    image_paths: Sequence[str | Path],
    options: StudyOptions,
    tell: Callable[[str], object] = lambda note: None,
) -> Study:
    """Create a study in a folder.

    Parameters
    ----------
    folder : Path
        New, or without a study.
    image_paths : sequence of str or Path
        OME-Zarr images or plates, paths or URLs.
    options : StudyOptions
        How to begin.
    tell : callable
        Gets what a user should know of the images.

    Raises
    ------
    SourceError
        If an image cannot be read, or they differ in channels or pixel type.
    AnnotationError
        If there is no such channel.
    ConfigError
        If there is no such image to display, or a z or t axis needs a choice.
    TrunkError
        If there is no such trunk.
    StoreError
        If there is a study, or the folder cannot be written.
    """
    if (folder / STUDY_NAME).exists():
        raise StoreError(f"{folder}: expected a folder without a study, got one with {STUDY_NAME}: name another")
    found = find_image_set(image_paths, z=options.z, t=options.t)
    for note in found.notes:
        tell(note)
    images = sorted(found, key=lambda image: image_key(image.name))
    first = images[0]
    study = Study(
        folder=folder,
        images=tuple(StudyImage(image.name, image.path, image.shape) for image in images),
        channel_names=first.channel_names,
        dtype=first.dtype,
        channels=tuple(first.channel_names[index] for index in channel_indices(first, options.channels)),
        displayed=_displayed([StudyImage(each.name, each.path, each.shape) for each in images], options, tell),
        seed=options.seed,
        trunk=_trunk_name(options.trunk),
        z=options.z,
        t=options.t,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        has_one_patch=options.one_patch,
    )
    _check_names(study)
    if options.measurement:
        read_ranges(options.measurement, study.channels)  # refuses what does not fit before there is a study
    _write(study, options.measurement, mode=_PRIVATE if options.private else _SHARED)
    return study


def open_study(folder: Path) -> Study:
    """Read what a study refers to; no image is opened.

    Raises
    ------
    StoreError
        If there is no study, it is damaged, or of a newer simsearch.
    """
    path = folder / STUDY_NAME
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        check_format({FORMAT_KEY: content["version"]}, _VERSION, str(path))
        return _parsed(folder, content)
    except FileNotFoundError as error:
        raise StoreError(f"{folder}: expected a study, got no {STUDY_NAME}: `simsearch study create` it") from error
    except SimSearchError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise StoreError(
            f"{path}: expected the description of a study, got {type(error).__name__}: {error}: restore it from a copy"
        ) from error


def read_curation(study: Study) -> tuple[History, Torn | None]:
    """Read what was said so far, whoever else writes.

    Raises
    ------
    StoreError
        If it cannot be read, or is damaged.
    """
    return read_journal(study.journal_path, study.initial)


def open_curation(study: Study) -> Journal:
    """Open what was said so far to say more; one at a time can.

    Raises
    ------
    StoreError
        If another has it open, it cannot be read or written, or is damaged.
    """
    return Journal(study.journal_path, study.initial)


def study_images(study: Study, names: Sequence[str] | None = None) -> list[ImageMeta]:
    """Describe images of a study for those who read pixels.

    Parameters
    ----------
    study : Study
        The study.
    names : sequence of str, optional
        Which, in this order; all of them by default.

    Raises
    ------
    SourceError
        If one cannot be read, or is not what it was when the study was created.
    """
    known = {image.name: image for image in study.images}
    wanted = [known[name] for name in (known if names is None else names)]
    found = find_images([image.path for image in wanted], z=study.z, t=study.t)
    for image, meta in zip(wanted, found, strict=True):
        if (meta.shape, meta.channel_names, meta.dtype) != (image.shape, study.channel_names, study.dtype):
            raise SourceError(
                f"{image.path}: expected {image.shape} px of {study.dtype} with the channels "
                f"{', '.join(study.channel_names)}, as when the study was created, got {meta.shape} px of {meta.dtype} "
                f"with {', '.join(meta.channel_names)}: put the image back, or create another study"
            )
    return found


def study_models(study: Study) -> list[Path]:
    """List the models that were trained in a study, the oldest first."""
    models = (study.folder / MODELS_NAME).glob(f"*/{MODEL_NAME}")
    return sorted(models, key=lambda path: path.stat().st_mtime_ns)


def _trunk_name(trunk: str) -> str:
    if trunk in ("bundled", "imagenet"):
        return trunk
    place = input_place(trunk)
    if not place.exists() or place.is_dir():
        raise TrunkError(f"{trunk}: expected bundled, imagenet or a file, got nothing there: check the path")
    return str(place.absolute())


def _displayed(images: Sequence[StudyImage], options: StudyOptions, tell: Callable[[str], object]) -> tuple[str, ...]:
    """Choose images, in their order in the study."""
    names = [image.name for image in images]
    if isinstance(options.display, int):
        if options.display < 1:
            raise ConfigError(f"expected at least one image to display, got {options.display}: show some")
        if column := _column(images, options):
            return choose_by_column(images, column, options.display, options.seed, tell)
        chosen = np.random.default_rng(options.seed).permutation(len(names))[: options.display]
        return tuple(names[i] for i in sorted(chosen))
    if options.display_by:
        raise ConfigError(
            f"expected how many images to display by {options.display_by}, got their names: leave either out"
        )
    try:
        check_choice(options.display, names, "image")
    except CurationError as error:
        raise ConfigError(f"images to display: {error}") from error
    return options.display


def _column(images: Sequence[StudyImage], options: StudyOptions) -> str:
    """Name the column of the plate map to choose images by; empty if none."""
    if options.display_by is not None:
        return options.display_by
    try:
        return ROLE if has_controls(plate_maps(find_layout(images))) else ""
    except SimSearchError:  # a plate without a map that can be read can still be chosen from
        return ""


def _check_names(study: Study) -> None:
    try:
        check_choice(study.channels, study.channel_names, "channel")
    except CurationError as error:
        raise ConfigError(str(error)) from error
    if len(set(study.channel_names)) != len(study.channel_names):
        raise SourceError(
            f"{study.images[0].path}: expected channels of different names, got {', '.join(study.channel_names)}: "
            "convert the images again with --channel-names"
        )


def _write(study: Study, measurement: Path | None, mode: int) -> None:
    """Write a new study into a folder of a mode: it is one as soon as the last file, its description, is complete."""
    content: dict[str, Any] = {"format": "simsearch-study", "version": _VERSION, "simsearch": version("simsearch")}
    content |= asdict(study)
    del content["folder"]
    try:
        study.folder.mkdir(parents=True, exist_ok=True, mode=mode)
        if mode == _PRIVATE:
            study.folder.chmod(mode)  # it may have been there
    except OSError as error:
        raise StoreError(f"{study.folder}: expected a folder, got {error.strerror}: check the path") from error
    create_journal(study.journal_path)
    if measurement:
        with store_errors(str(study.folder)), replacing(study.folder / MEASURE_NAME) as partial:
            partial.write_bytes(measurement.read_bytes())
    with replacing_text(study.folder / STUDY_NAME) as file:
        json.dump(content, file, indent=1)
    descriptor = os.open(study.folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parsed(folder: Path, content: dict[str, Any]) -> Study:
    def texts(name: str) -> tuple[str, ...]:
        return tuple(str(each) for each in content[name])

    return Study(
        folder=folder,
        images=tuple(
            StudyImage(
                check_name(str(each["name"]), str(folder)),
                str(each["path"]),
                (int(each["shape"][0]), int(each["shape"][1])),
            )
            for each in content["images"]
        ),
        channel_names=texts("channel_names"),
        dtype=str(content["dtype"]),
        channels=texts("channels"),
        displayed=texts("displayed"),
        seed=int(content["seed"]),
        trunk=str(content.get("trunk", "bundled")),
        z=_selection(content["z"]),
        t=_selection(content["t"]),
        created=str(content["created"]),
        has_one_patch=content["version"] == 1 or bool(content["has_one_patch"]),
    )


def _selection(value: object) -> Selection:
    if value is None or value == "max":
        return "max" if value else None
    if not isinstance(value, int):
        raise TypeError(f"a choice of a plane is no {value!r}")
    return value
