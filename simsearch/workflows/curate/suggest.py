"""What a study suggests: patches like the prototypes on displayed images, and training patches from all others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simsearch.core.peaks import Peak
from simsearch.curation.background import (
    N_BACKGROUND,
    amount_in_images,
    known_similarities,
    offer_background,
)
from simsearch.curation.checks import common_shape
from simsearch.curation.state import BACKGROUND, Patch
from simsearch.curation.suggestions import background_patches, marked_patches, own_candidates, own_of
from simsearch.errors import CurationError, SourceError
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.curate.refine import answer_blocks, refined_query, said_of, sample_background
from simsearch.workflows.curate.sight import study_groups, study_setting, study_sight
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.find.features import can_keep_features, keep_features
from simsearch.workflows.find.peaks import Candidates, Way, find_group_candidates
from simsearch.workflows.find.query import Group, Setting, find_query, view_of
from simsearch.workflows.find.tissue import find_tissues
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simsearch.curation.state import Curation
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.nn.similarity import Query
    from simsearch.runtime import Client
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.find.tissue import Tissue


@dataclass(frozen=True, slots=True)
class _Sight:
    """How a study looks at images."""

    group: Group
    setting: Setting
    query: Query


def find_suggestions(
    client: Client, study: Study, curation: Curation, *, way: Way | None = None, observe: Observer = ignore
) -> Candidates:
    """Find the peaks of similarity above 0 on the displayed images of a study, whatever the thresholds.

    `suggested_patches` and `background_patches` choose among them. Features are computed the first time and kept in
    the study's folder: as long as images, channels and the patch shape stay the same, no pixel is read again but those
    around new prototypes.

    Parameters
    ----------
    client : distributed.Client
        The cluster, whose workers can read the images and write the study's folder.
    study : Study
        The study.
    curation : Curation
        What was said in it.
    way : Way, optional
        How to go through the images; by default glass is left out of those that are too large for features to be kept.
    observe : callable
        Gets the events.

    Raises
    ------
    CurationError
        If no class has a prototype.
    SourceError, StoreError
        If an image cannot be read, or the folder not written.
    """
    displayed = study_images(study, curation.displayed)
    if way is None:
        groups, setting = study_groups(curation), study_setting(client, study, curation, observe)
        way = Way(tissues=tissue_of_large(client, displayed, groups, setting, observe))
    return find_elsewhere(client, study, curation, displayed, observe=observe, way=way)


def tissue_of_large(
    client: Client, images: Sequence[ImageMeta], groups: Sequence[Group], setting: Setting, observe: Observer
) -> Mapping[str, Tissue]:
    """Find the tissue in images that are stained, and too large for features to be kept.

    Raises
    ------
    SourceError, StoreError
        If an image cannot be read.
    """
    finest = min(groups, key=lambda group: group.downsampling)
    large = [image for image in images if not can_keep_features(view_of(image, finest, setting))]
    return find_tissues(client, ImageSet(large), finest.downsampling, observe) if large else {}


def find_noisy(
    client: Client,
    study: Study,
    curation: Curation,
    *,
    n_background: int = N_BACKGROUND,
    paper: bool = False,
    observe: Observer = ignore,
) -> list[Peak]:
    """Find training patches on the images that are not displayed, which nobody checks (paper section 2.3.3).

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    curation : Curation
        What was said in it; each class with prototypes has a similarity threshold.
    n_background : int
        How many patches of most similarity, and how many others, are taken as background from an image.
    paper : bool
        Whether these others are the least similar ones, and both may look like a class just below its threshold.
    observe : callable
        Gets the events.

    Returns
    -------
    list of Peak
        At each place of the most similar class, or background; the same for any number of workers. Empty if all images
        are displayed.

    Raises
    ------
    CurationError
        If no class has a prototype, or one has no similarity threshold.
    SourceError, StoreError
        If an image cannot be read, or the folder not written.
    """
    others = [name for name in curation.shapes if name not in set(curation.displayed)]
    thresholds = {each.name: _similarity_threshold(each.name, curation) for each in curation.classes if each.prototypes}
    if not others:
        return []
    found = find_elsewhere(client, study, curation, study_images(study, others), observe=observe)
    own = own_of(curation, others, found.peaks)
    similar = [p for p in own_candidates(curation, others, own) if p.score >= thresholds[p.class_name]]
    if paper:
        # Something may have been said about images that are not displayed any more.
        marked = [*marked_patches(curation), *(Patch.at(peak.image, peak.y, peak.x) for peak in similar)]
        difficult, easy = background_patches(curation, found.highest, found.lowest, marked, n_background)
        background = [*difficult, *easy]
    else:
        known = known_similarities(others, found.highest, found.lowest, own, thresholds)
        background = [*offer_background(curation, known, amount_in_images(n_background, len(others))).suggested]
    shape = common_shape(curation)
    return similar + [Peak(p.image, BACKGROUND, p.y, p.x, shape, 0.0) for p in background]


def find_elsewhere(
    client: Client,
    study: Study,
    curation: Curation,
    images: Sequence[ImageMeta],
    *,
    observe: Observer = ignore,
    way: Way | None = None,
) -> Candidates:
    """Find on any images what `find_suggestions` finds on the displayed ones.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    curation : Curation
        What was said in it.
    images : sequence of ImageMeta
        Where to look: of the study, or others with the same channels and pixel type.
    observe : callable
        Gets the events.
    way : Way, optional
        Where to look first, and whom to tell of it.

    Returns
    -------
    Candidates
        Those for classes of one patch shape after those of another.

    Raises
    ------
    CurationError
        If no class has a prototype.
    SourceError, StoreError
        If an image cannot be read, or the folder not written.
    """
    found: list[Candidates] = []

    def tell(part: Candidates) -> None:
        if way and way.tell:
            way.tell(_merged([*found, part]))

    own_way = replace(way, tell=tell) if way and way.tell else way
    for sight in _look(client, study, curation, observe):
        searched = ImageSet(list(images))
        found.append(find_group_candidates(client, searched, sight.group, sight.setting, sight.query, observe, own_way))
    return _merged(found)


def _merged(found: Sequence[Candidates]) -> Candidates:
    """Put together what was found for classes of different patch shapes."""
    peaks, highest, lowest = (
        tuple(peak for each in found for peak in getattr(each, part)) for part in ("peaks", "highest", "lowest")
    )
    left_out = {name: values for each in found for name, values in each.left_out.items()}
    return Candidates(peaks, highest, lowest, left_out)


def prepare_suggestions(client: Client, study: Study, curation: Curation, *, observe: Observer = ignore) -> None:
    """Compute what suggestions need of the displayed images, before anybody has drawn a box or after.

    Features depend on the patch only by the downsampling. While there is no patch, images are looked at as they are:
    a first patch of less than 96 px then finds its features ready.

    Raises
    ------
    ConfigError
        If a channel has no range, or is constant.
    SourceError, StoreError, TrunkError
        If an image or the trunk cannot be read, or the folder cannot be written.
    """
    groups, setting = study_sight(client, study, curation, observe=observe)
    for group in groups:
        keep_features(client, ImageSet(study_images(study, curation.displayed)), group, setting, observe)


def prepare_all(client: Client, study: Study, curation: Curation, *, observe: Observer = ignore) -> None:
    """Compute for all images of a study what `prepare_suggestions` computes for the displayed ones.

    What was computed before, also by a run that was killed, is not computed again, image by image.

    Raises
    ------
    ConfigError
        If a channel has no range, or is constant.
    SourceError, StoreError, TrunkError
        If an image or the trunk cannot be read, or the folder cannot be written; all other images are done then.
    """
    groups, setting = study_sight(client, study, curation, observe=observe)
    images = ImageSet(study_images(study), skip_errors=True)
    for group in groups:
        keep_features(client, images, group, setting, observe)
    if images.failures:
        (name, why), n = images.failures[0], len(images.failures)
        raise SourceError(f"expected features of all images, got none of {n}, such as {name} ({why}): mend them")


def queries_of(
    client: Client, study: Study, curation: Curation, coarsest: int, observe: Observer = ignore
) -> list[tuple[Group, Query]]:
    """Make what classes are searched with, at the scale of each, but no coarser than a model looks at images.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    curation : Curation
        What was said in it.
    coarsest : int
        The downsampling of the model.
    observe : callable
        Gets the events.

    Raises
    ------
    CurationError
        If no class has a prototype.
    SourceError, StoreError
        If an image cannot be read, or the folder not written.
    """
    setting = study_setting(client, study, curation, observe)
    seen = [replace(each, scale=min(each.downsampling, coarsest)) for each in study_groups(curation)]
    return [(group, _look_for(client, study, curation, group, setting, observe).query) for group in seen]


def _look(client: Client, study: Study, curation: Curation, observe: Observer) -> Iterator[_Sight]:
    setting = study_setting(client, study, curation, observe)
    for group in study_groups(curation):
        yield _look_for(client, study, curation, group, setting, observe)


def _look_for(
    client: Client, study: Study, curation: Curation, group: Group, setting: Setting, observe: Observer
) -> _Sight:
    displayed = ImageSet(study_images(study, curation.displayed))
    keep_features(client, displayed, group, setting, observe)
    said = said_of(curation, group)
    answered = [box for each in said.values() for box in each.boxes]
    drawn_on = ImageSet(study_images(study, _in_order(curation, {box.image for box in (*group.boxes, *answered)})))
    query = find_query(client, drawn_on, displayed, group, setting, observe)
    if said:
        blocks = answer_blocks(client, drawn_on, answered, group, setting, observe)
        background = sample_background(client, displayed, group, setting, observe)
        query = refined_query(query, group, said, blocks, background)
    return _Sight(group, setting, query)


def _similarity_threshold(name: str, curation: Curation) -> float:
    least = curation.roi_class(name).similarity_threshold
    if least is None:
        raise CurationError(
            f"class {name}: expected a similarity threshold, got none: choose one in the browser, or with "
            "`simsearch study suggest --threshold NAME=VALUE`"
        )
    return least


def _in_order(curation: Curation, names: set[str]) -> Sequence[str]:
    return [name for name in curation.shapes if name in names]
