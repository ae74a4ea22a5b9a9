"""What is known of a run: its own results, and what the study says that its model was trained in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simsearch.errors import SimSearchError, StoreError
from simsearch.io.pictures.overlay import CLASS_COLORS, paper_color
from simsearch.io.places import input_place
from simsearch.io.tables.records.results_folder import read_run
from simsearch.workflows.curate.study import STUDY_NAME, open_study, read_curation
from simsearch.workflows.curate.trained import read_trained, read_trained_at
from simsearch.workflows.run.results import RESULTS_NAME, read_result
from simsearch.workflows.run.sample import read_sampled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simsearch.curation.state import Curation
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.curate.trained import TrainedModel
    from simsearch.workflows.run.results import ResultView
    from simsearch.workflows.run.sample import ClassSample


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run."""

    result: ResultView
    """What it gave."""
    record: Mapping[str, Any]
    """What ``run.json`` says."""
    model: TrainedModel | None
    """How its model was trained, where that is still there."""
    study: Study | None
    """What the model was trained in, where that is still there."""
    curation: Curation | None
    """What was said in it so far."""
    sample: tuple[ClassSample, ...]
    """What a random sample tells of each class of which places were judged."""
    notes: tuple[str, ...]
    """What could not be read, and why."""

    @property
    def header(self) -> Mapping[str, Any]:
        """What the model says of itself."""
        header: Mapping[str, Any] = self.record["header"]
        return header

    def color(self, class_name: str) -> str:
        """Return the colour of a class: that of the study, or as in figures."""
        for each in self.curation.classes if self.curation else ():
            if each.name == class_name:
                return each.color
        known = self.result.classes
        return paper_color(known.index(class_name)) if class_name in known else CLASS_COLORS[0]


def gather_facts(folder: Path) -> RunFacts:
    """Read what is known of a detection or a segmentation.

    Raises
    ------
    StoreError
        If there are no such results, or they are of a newer simsearch.
    AnnotationError
        If a table of them is damaged.
    """
    result = read_result(folder)
    record = read_run(folder)
    path = input_place(str(record["model"]).rpartition("@")[0])
    notes: list[str] = []
    study, curation = _study(folder, path, notes)
    known = [*(read_trained(study) if study else ()), read_trained_at(path)]
    model = next((each for each in known if each is not None and each.sha256 == result.model), None)
    try:
        sample = read_sampled(folder) if result.kind == "detect" else ()
    except SimSearchError as error:
        sample = ()
        notes.append(f"The judged sample could not be read: {error}")
    judged = tuple(each for each in sample if each.estimate.n_judged)
    return RunFacts(result, record, model, study, curation, judged, tuple(notes))


def _study(folder: Path, model: Path, notes: list[str]) -> tuple[Study | None, Curation | None]:
    """Find the study of a run: it lies in the study, or its model does."""
    near = folder.absolute().parent
    places = [*([near.parent] if near.name == RESULTS_NAME else []), *list(model.parents)[2:3]]
    for place in places:
        if not (place / STUDY_NAME).exists():
            continue
        try:
            study = open_study(place)
            return study, read_curation(study)[0].state
        except StoreError as error:
            notes.append(f"The study could not be read: {error}")
    return None, None
