"""Curation without a screen: thresholds are set, and what they suggest is accepted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from simsearch.core.boxes import Box
from simsearch.curation.actions import Action, Batch, SetSimilarityThreshold
from simsearch.curation.background import (
    BackgroundOffer,
    amount_for,
    amount_in_images,
    known_similarities,
    offer_background,
)
from simsearch.curation.checks import common_shape
from simsearch.curation.marks import AcceptBackground, AcceptClass
from simsearch.curation.state import BACKGROUND
from simsearch.curation.suggestions import acceptance, own_candidates, own_of, suggested_patches
from simsearch.errors import ConfigError
from simsearch.io.tables.curation import Annotation, write_annotations
from simsearch.runtime.events import Noted, Observer, ignore
from simsearch.workflows.curate.offers import suggested_thresholds, thresholds
from simsearch.workflows.curate.plate_choice import groups_by_column
from simsearch.workflows.curate.study import StudyImage, open_curation
from simsearch.workflows.curate.suggest import find_suggestions
from simsearch.workflows.find.diverse import DiverseOptions, choose_diverse
from simsearch.workflows.image_set import find_image_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.state import Curation
    from simsearch.runtime import Client
    from simsearch.workflows.curate.study import Study, StudyOptions
    from simsearch.workflows.find.peaks import Candidates


@dataclass(frozen=True, slots=True)
class CurateOptions:
    """What to do with suggestions."""

    similarity_thresholds: Mapping[str, float] = field(default_factory=dict)
    """To set, by class; those of other classes stay as they are."""
    accept: bool = False
    """Whether to accept all classes with prototypes and the background, beside what is background already. A class
    without a threshold gets the suggested one; a place that is suggested for several classes is accepted for the most
    similar."""
    difficult: bool = False
    """Whether to suggest difficult background too, in which there may be objects."""
    n_background: int | None = None
    """How many patches of most similarity, and how many others, are suggested as background in an image; by default as
    many as the classes need, and at least 5 and 5."""
    table: Path | None = None
    """CSV that gets the suggestions, to be looked at, edited and imported; thresholds that are suggested are kept."""


@dataclass(frozen=True, slots=True)
class ClassSuggestions:
    """What is suggested for a class."""

    class_name: str
    """Name of the class."""
    n_peaks: int
    """Peaks on displayed images, whatever their similarity."""
    similarity_threshold: float
    """As chosen, or as suggested."""
    is_chosen: bool
    """Whether somebody has chosen it."""
    n_suggested: int
    """Peaks that reach it, are not negatives, and are not more like another class."""


@dataclass(frozen=True, slots=True)
class CurateReport:
    """What is suggested on the displayed images of a study."""

    classes: tuple[ClassSuggestions, ...]
    """Those with prototypes."""
    n_difficult: int
    """Patches suggested as difficult background."""
    n_easy: int
    """Patches suggested as easy background, those beside objects included."""
    n_asked: int
    """Places that look like a class just below its threshold: no background, and no object either, before somebody
    has said so."""
    is_accepted: bool
    """Whether all of it was accepted."""


def choose_displayed(
    client: Client, paths: Sequence[str | Path], options: StudyOptions, *, observe: Observer = ignore
) -> StudyOptions:
    """Choose as many images to display as options say, so that they show what all images have.

    With a column of the plate map, one image of each of its values is chosen in turn: the one that shows most of what
    those that are chosen do not.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    paths : sequence of str or Path
        OME-Zarr images or plates, paths or URLs.
    options : StudyOptions
        How a study is to begin; its ``display`` is a number.
    observe : callable
        Gets the events.

    Returns
    -------
    StudyOptions
        With the names of these images.

    Raises
    ------
    ConfigError
        If the options name images themselves, wish for none, or for those of a column that there is not.
    SourceError
        If an image cannot be read.
    """
    if not isinstance(options.display, int):
        raise ConfigError(
            f"expected how many diverse images to display, got their names ({', '.join(options.display)}): "
            "leave either out"
        )
    images = find_image_set(paths, z=options.z, t=options.t)
    groups = None
    if options.display_by:
        known = [StudyImage(each.name, each.path, each.shape) for each in images]
        groups = groups_by_column(known, options.display_by, options.display, lambda note: observe(Noted(note)))
    chosen = DiverseOptions(options.display, options.channels, options.trunk, options.seed)
    return replace(options, display=choose_diverse(client, images, chosen, groups, observe=observe), display_by=None)


def curate(
    client: Client, study: Study, user: str, options: CurateOptions, *, observe: Observer = ignore
) -> CurateReport:
    """Set similarity thresholds, count what they suggest, and accept it if asked to.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study, which nobody else has open.
    user : str
        Who says so.
    options : CurateOptions
        What to do.
    observe : callable
        Gets the events.

    Raises
    ------
    CurationError
        If there is no such class, or none with a prototype.
    SourceError, StoreError
        If an image cannot be read, or the study cannot be written or is open elsewhere.
    """
    with open_curation(study) as journal:
        for name, value in options.similarity_thresholds.items():
            journal.append(user, SetSimilarityThreshold(name, value))
        found = find_suggestions(client, study, journal.state, observe=observe)
        own = own_of(journal.state, journal.state.displayed, found.peaks)
        classes, actions = _acceptance_of_classes(journal.state, found, own)
        accepted = Batch("accept what is suggested", tuple(actions)).apply(journal.state)
        offer = _background(accepted, found, own, options)
        background = (*(offer.difficult if options.difficult else ()), *offer.beside, *offer.easy, *offer.kept)
        if background:
            actions.append(AcceptBackground(background))
        if options.table:
            write_annotations(_suggestions(actions, journal.state), options.table)
            # The table has no thresholds; who imports it goes on with those that it was made with.
            suggested = tuple(each for each in actions if isinstance(each, SetSimilarityThreshold))
            if suggested and not options.accept:
                journal.append(user, Batch("keep the suggested similarity thresholds", suggested))
        if options.accept:
            journal.append(user, Batch("accept what is suggested", tuple(actions)))
    n_easy = len(offer.beside) + len(offer.easy)
    return CurateReport(tuple(classes), len(offer.difficult), n_easy, len(offer.asked), options.accept)


def _background(
    accepted: Curation, found: Candidates, own: Mapping[str, RankedPeaks], options: CurateOptions
) -> BackgroundOffer:
    """Choose what the browser would, or so many in an image."""
    images = accepted.displayed
    least = thresholds(accepted, dict.fromkeys(own, 0.0))
    known = known_similarities(images, found.highest, found.lowest, own, least)
    n = options.n_background
    amount = amount_for(accepted, known) if n is None else amount_in_images(n, len(images))
    return offer_background(accepted, known, amount)


def _suggestions(actions: Sequence[Action], curation: Curation) -> Iterator[Annotation]:
    """List what actions would accept."""
    for action in actions:
        if isinstance(action, Batch):
            yield from _suggestions(action.actions, curation)
        elif isinstance(action, AcceptClass):
            name, shape = action.class_name, common_shape(curation, curation.roi_class(action.class_name))
            yield from (Annotation(Box(p.image, name, p.y, p.x, *shape), "positive") for p in action.positives)
        elif isinstance(action, AcceptBackground):
            shape = common_shape(curation)
            yield from (Annotation(Box(p.image, BACKGROUND, p.y, p.x, *shape), "background") for p in action.patches)


def _acceptance_of_classes(
    curation: Curation, found: Candidates, own: Mapping[str, RankedPeaks]
) -> tuple[list[ClassSuggestions], list[Action]]:
    """Count what is suggested for each class, and make the actions that accept it, each place for one class."""
    similar = own_candidates(curation, curation.displayed, own)
    chosen = {each.name: each.similarity_threshold for each in curation.classes if each.prototypes}
    missing = {
        name: least
        for name, least in suggested_thresholds(curation, curation.displayed, own, found.left_out).items()
        if chosen[name] is None
    }
    thresholds = {name: missing[name] if least is None else least for name, least in chosen.items()}
    actions: list[Action] = [SetSimilarityThreshold(name, least) for name, least in missing.items()]
    curation = Batch("", tuple(actions)).apply(curation)
    n_peaks = Counter(peak.class_name for peak in found.peaks)
    counts = []
    for name, least in thresholds.items():
        patches = suggested_patches(curation, name, similar)
        actions.append(acceptance(curation, name, patches))
        counts.append(ClassSuggestions(name, n_peaks[name], least, chosen[name] is not None, len(patches)))
    return counts, actions
