"""What a study has on its disk, read once and again when it has changed."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from simsearch.app.session.work import find_model
from simsearch.workflows.curate.study import study_models
from simsearch.workflows.curate.trained import TrainedModel, read_trained
from simsearch.workflows.run.predict import Predictions, predictions_folder, read_predictions
from simsearch.workflows.run.results import RESULTS_NAME, ResultView, read_results

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from simsearch.curation.state import Curation
    from simsearch.workflows.curate.study import Study

    Stamp = tuple[tuple[str, int], ...]


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
