"""What was said in a study so far, at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from simsearch.io.tables.curation import ANNOTATION_COLUMNS
from simsearch.workflows.curate.exchange import curated_patches
from simsearch.workflows.curate.sight import study_trunk
from simsearch.workflows.curate.study import read_curation, study_models

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.curation.history import History
    from simsearch.curation.journal import Torn
    from simsearch.workflows.curate.study import Study

_CLASS_COLUMNS = (
    *("class", "color", "height", "width", "prototypes", "positives", "confirmed", "negatives"),
    *("similarity_threshold", "confidence_threshold", "is_accepted"),
)


@dataclass(frozen=True, slots=True)
class StudySummary:
    """What was said in a study, and what was trained on it."""

    study: Study
    """What it refers to."""
    history: History
    """All that was said; ``history.state`` is what holds now."""
    torn: Torn | None
    """What cannot be read at the end of the journal."""
    trunk: str
    """Name of the trunk."""
    models: tuple[Path, ...]
    """Files of the models, the oldest first."""

    def classes(self) -> pd.DataFrame:
        """Tell of each class how large its patches are, how many it has and what was chosen for it, a row each."""
        rows = [
            (
                *(each.name, each.color),
                *(self.history.state.shape_of(each) or (None, None)),
                *(len(said) for said in (each.prototypes, each.positives, each.confirmed, each.negatives)),
                *(each.similarity_threshold, each.confidence_threshold, each.is_accepted),
            )
            for each in self.history.state.classes
        ]
        return pd.DataFrame(rows, columns=list(_CLASS_COLUMNS))

    def patches(self) -> pd.DataFrame:
        """Tell of each patch what was said about it, with the columns of ``simsearch study export``."""
        rows = [
            (a.box.image, a.box.class_name, a.role, a.box.y, a.box.x, a.box.height, a.box.width)
            for a in curated_patches(self.history.state)
        ]
        return pd.DataFrame(rows, columns=list(ANNOTATION_COLUMNS))


def summarise_study(study: Study) -> StudySummary:
    """Read what was said in a study, whoever else writes.

    Raises
    ------
    StoreError
        If it cannot be read, or is damaged.
    """
    history, torn = read_curation(study)
    return StudySummary(study, history, torn, study_trunk(study), tuple(study_models(study)))
