"""What a study has on its disk, read once and again when it has changed."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from simsearch.app.session.work import find_model
from simsearch.errors import ConfigError
from simsearch.io.tables.records.results_folder import RUN_NAME
from simsearch.workflows.curate.study import study_models
from simsearch.workflows.curate.trained import TrainedModel, read_trained
from simsearch.workflows.run.found_objects import FoundObjects, read_found
from simsearch.workflows.run.objects import TABLE_NAME
from simsearch.workflows.run.predict import Predictions, predictions_folder, read_predictions
from simsearch.workflows.run.results import RESULTS_NAME, ResultView, read_results

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from simsearch.curation.state import Curation
    from simsearch.workflows.curate.study import Study

    Stamp = tuple[tuple[str, int], ...]

_N_FOUND = 2  # detections whose objects are kept: one, and another beside it


class Shelf:
    """Models and results of a study.

    Parameters
    ----------
    study : Study
        The study.
    """

    def __init__(self, study: Study) -> None:
        self._study, self._turn = study, Lock()
        self._models: tuple[Stamp, tuple[TrainedModel, ...]] = ((), ())
        self._results: tuple[Stamp, tuple[ResultView, ...]] = ((), ())
        self._predictions: tuple[object, Predictions | None] = (None, None)
        self._found: dict[Stamp, FoundObjects] = {}
        self._reading = Lock()

    def models(self) -> tuple[TrainedModel, ...]:
        """Return the trained models, the oldest first."""
        with self._turn:
            stamp = _stamp(study_models(self._study))
            if stamp != self._models[0]:
                self._models = stamp, tuple(read_trained(self._study))
            return self._models[1]

    def results(self) -> tuple[ResultView, ...]:
        """Return the finished runs, the oldest first."""
        with self._turn:
            stamp = _stamp((self._study.folder / RESULTS_NAME).glob("*/run.json"))
            if stamp != self._results[0]:
                self._results = stamp, tuple(read_results(self._study))
            return self._results[1]

    def found(self, result_id: str) -> FoundObjects:
        """Return what a detection found.

        Raises
        ------
        ConfigError
            If there is no such detection.
        AnnotationError
            If its table cannot be read.
        """
        result = next((each for each in self.results() if (each.id, each.kind) == (result_id, "detect")), None)
        if result is None:
            raise ConfigError(f"expected one of the runs that are listed, got {result_id}: it has gone, choose another")
        with self._reading:  # once, whoever asks at the same time
            key = _stamp([result.folder / RUN_NAME, result.folder / TABLE_NAME])
            found = self._found.pop(key, None)
            if found is None:
                found = read_found(result.folder, result.confidence_thresholds)
            self._found[key] = found
            for old in list(self._found)[:-_N_FOUND]:
                del self._found[old]
            return found

    def predictions(self, curation: Curation, model_id: str) -> Predictions | None:
        """Return what a model finds on the displayed images, with estimates from what was judged by now.

        Raises
        ------
        ConfigError
            If there is no such model.
        """
        model = next((each for each in self.models() if each.id == model_id), None) or find_model(self._study, model_id)
        with self._turn:
            judged = (curation.classes, curation.background)
            key = (_stamp([predictions_folder(self._study, curation, model)]), judged)
            if key != self._predictions[0]:
                self._predictions = key, read_predictions(self._study, curation, model)
            return self._predictions[1]


def _stamp(paths: Iterable[Path]) -> Stamp:
    """Tell files from what they were."""
    return tuple((str(path), path.stat().st_mtime_ns) for path in sorted(paths) if path.exists())
