"""Suggestions while a person draws: what was computed for the last prototypes is kept for the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.ranked_peaks import ranked_peaks
from simsearch.curation.suggestions import background_patches, marked_patches
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.peaks import suggested_threshold
from simsearch.workflows.suggest import N_BACKGROUND, find_suggestions, study_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simsearch.core.peaks import Peak
    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.state import Curation, Patch
    from simsearch.runtime import Client
    from simsearch.workflows.study import Study


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What the displayed images have to offer."""

    images: tuple[str, ...]
    """Their names, which columns refer to."""
    by_class: Mapping[str, RankedPeaks]
    """Peaks of similarity above 0 of each class with prototypes."""
    suggested_thresholds: Mapping[str, float]
    """For each of these classes."""
    highest: tuple[Peak, ...]
    """As `Candidates` has them."""
    lowest: tuple[Peak, ...]
    """As `Candidates` has them."""


class LiveSearch:
    """Finds what `find_suggestions` finds, again and again.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    """

    def __init__(self, client: Client, study: Study) -> None:
        self._client, self._study = client, study

    def find(self, curation: Curation, *, observe: Observer = ignore) -> Findings:
        """Find the peaks of similarity on the displayed images.

        Raises
        ------
        CurationError
            If no class has a prototype.
        SourceError, StoreError
            If an image cannot be read, or the folder not written.
        """
        group = study_group(curation)
        found = find_suggestions(self._client, self._study, curation, observe=observe)
        by_class = {name: [peak for peak in found.peaks if peak.class_name == name] for name in group.classes}
        boxes = {name: [box for box in group.boxes if box.class_name == name] for name in group.classes}
        return Findings(
            curation.displayed,
            {name: ranked_peaks(peaks, curation.displayed) for name, peaks in by_class.items()},
            {name: suggested_threshold(by_class[name], boxes[name]) for name in group.classes},
            found.highest,
            found.lowest,
        )


def suggested_background(curation: Curation, found: Findings) -> tuple[list[Patch], list[Patch]]:
    """Choose what may be background, difficult and easy, where nobody has marked anything (paper algorithm 1)."""
    return background_patches(curation, found.highest, found.lowest, marked_patches(curation), N_BACKGROUND)
