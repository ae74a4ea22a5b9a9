"""How a study looks at images: in which groups of patches, at what intensities, with which trunk."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from simsearch.core.boxes import Box
from simsearch.curation.checks import common_shape
from simsearch.errors import CurationError, SimSearchError
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import replacing
from simsearch.nn.trunk_file import trunk_label
from simsearch.runtime.arithmetic import choose_arithmetic
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.worker import broadcast
from simsearch.workflows.curate.contents import check_contents
from simsearch.workflows.curate.study import CACHE_NAME, MEASURE_NAME, study_images
from simsearch.workflows.find.measure import measure, read_ranges, write_measurement
from simsearch.workflows.find.query import STUDY_FRAME, Group, Setting, group_boxes
from simsearch.workflows.find.trunks import read_chosen_trunk
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simsearch.curation.state import Curation
    from simsearch.runtime import Client
    from simsearch.workflows.curate.study import Study

_FIRST_PATCH = (48.0, 48.0)  # what features are computed for while nobody has drawn one


def study_groups(curation: Curation) -> list[Group]:
    """Return the classes of a curation that have prototypes, those of one patch shape together.

    Raises
    ------
    CurationError
        If there is none.
    """
    boxes = [
        Box(p.image, each.name, p.y, p.x, *common_shape(curation, each))
        for each in curation.classes
        for p in each.prototypes
    ]
    if not boxes:
        raise CurationError("expected a class with a prototype, got none: draw one, or import boxes")
    return sorted(group_boxes(boxes), key=lambda group: group.patch_shape)


def study_trunk(study: Study) -> str:
    """Name the trunk of a study as results do, ``imagenet`` without its sha256: it may not be there yet."""
    if study.trunk == "imagenet":
        return study.trunk
    try:
        return trunk_label(study.trunk, hashlib.sha256(read_chosen_trunk(study.trunk)).hexdigest())
    except SimSearchError as error:  # or the store does not answer
        return f"cannot be had: {error}"


def study_setting(client: Client, study: Study, curation: Curation, observe: Observer = ignore) -> Setting:
    """Tell how a study looks at images; its trunk is sent to the workers.

    Intensity ranges are measured over all its images the first time, and kept in ``measure.json``.

    Raises
    ------
    CurationError
        If no class has a prototype.
    ConfigError
        If a channel has no range, or is constant.
    SourceError, StoreError, TrunkError
        If an image or the trunk cannot be read.
    """
    return _setting(client, study, curation, settle_measurement(client, study, curation, observe=observe))


def settle_measurement(client: Client, study: Study, curation: Curation, *, observe: Observer = ignore) -> Path:
    """Have a study look at images with what is measured at the scale of its smallest patches, from now on.

    Returns
    -------
    Path
        What `write_measurement` wrote.

    Raises
    ------
    CurationError
        If no class has a prototype.
    SourceError, StoreError
        If an image cannot be read, or the folder cannot be written.
    """
    measured, groups = study.folder / MEASURE_NAME, study_groups(curation)
    if not measured.exists():
        found = _measured(client, study, _finest(groups), observe)
        with store_errors(str(measured)), replacing(measured) as partial:
            partial.write_bytes(found.read_bytes())
    return measured


def study_sight(
    client: Client, study: Study, curation: Curation, *, observe: Observer = ignore
) -> tuple[list[Group], Setting]:
    """Tell how a study looks at images, or would at a first patch of less than 96 px while there is none.

    Returns
    -------
    (list of Group, Setting)
        One group, which has no classes, while there is no prototype.

    Raises
    ------
    ConfigError
        If a channel has no range, or is constant.
    SourceError, StoreError, TrunkError
        If an image or the trunk cannot be read, or the folder cannot be written.
    """
    if any(each.prototypes for each in curation.classes):
        return study_groups(curation), study_setting(client, study, curation, observe)
    return sight_groups(curation), _setting(
        client, study, curation, study_measurement(client, study, curation, observe=observe)
    )


def sight_groups(curation: Curation) -> list[Group]:
    """Return the classes of a curation that have prototypes; of none and a usual patch while there is none."""
    has_prototypes = any(each.prototypes for each in curation.classes)
    return study_groups(curation) if has_prototypes else [Group(curation.patch_shape or _FIRST_PATCH, (), ())]


def study_measurement(client: Client, study: Study, curation: Curation, *, observe: Observer = ignore) -> Path:
    """Find the measurement that a study looks at images with, or would while nobody has drawn a patch.

    Returns
    -------
    Path
        What `write_measurement` wrote.

    Raises
    ------
    SourceError, StoreError
        If an image cannot be read, or the folder cannot be written.
    """
    measured = study.folder / MEASURE_NAME
    if measured.exists():
        return measured
    return _measured(client, study, _finest(sight_groups(curation)), observe)


def _finest(groups: Sequence[Group]) -> int:
    return min(group.downsampling for group in groups)


def _measured(client: Client, study: Study, downsampling: int, observe: Observer) -> Path:
    """Measure all images of a study, or take what was measured before."""
    kept = study.folder / CACHE_NAME / f"measure-{downsampling}.json"
    if not kept.exists():
        found = measure(client, ImageSet(study_images(study)), downsampling=downsampling, observe=observe)
        with store_errors(str(kept)):
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replacing(kept) as partial:
                write_measurement(found, partial)
    return kept


def _setting(client: Client, study: Study, curation: Curation, measured: Path) -> Setting:
    check_contents(study, curation)
    return Setting(
        method="template",
        channels=tuple(study.channel_names.index(name) for name in curation.channels),
        ranges=read_ranges(measured, curation.channels),
        trunk=broadcast(client, read_chosen_trunk(study.trunk)),
        floor=0.0,
        cache=(study.folder / CACHE_NAME).absolute(),
        frame=STUDY_FRAME,
        arithmetic=choose_arithmetic(client),
    )
