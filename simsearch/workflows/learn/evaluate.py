"""How well what was found agrees with where objects really are (paper section 3.3)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.accuracy.metrics import PrecisionRecall, best_f1, bootstrap_interval, match, precision_recall
from simsearch.errors import AnnotationError, ConfigError
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.pictures.curves import draw_curves
from simsearch.io.pictures.drawing import try_to_draw
from simsearch.io.tables.cells import written
from simsearch.io.tables.frames import csv_frame
from simsearch.io.tables.peaks import read_peaks
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.io.tables.records.results_folder import only_writer
from simsearch.io.tables.truth import TrueObject, read_truth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from simsearch.core.peaks import Peak

_SCORES_NAME, _CURVES_NAME = "scores.csv", "curves.csv"
_SCORE_COLUMNS = ("distance", "average_precision", "low", "high", "best_f1", "at_score")
_SCORE_TYPES = {"class": "string", "objects": "int64", "found": "int64", **dict.fromkeys(_SCORE_COLUMNS, "double")}
_CURVE_TYPES = {"class": "string", **dict.fromkeys(("score", "precision", "recall"), "double")}
_PAPER_DISTANCE = 0.3  # of the patch's width: three strides of a tenth each (section 3.3)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well a class was found."""

    class_name: str
    """Name of the class."""
    n_objects: int
    """Objects that are there."""
    n_found: int
    """Peaks that were judged."""
    distance: float
    """A peak nearer than this to an object finds it, in level-0 pixels."""
    curve: PrecisionRecall
    """Precision and recall over the peaks of all images."""
    interval: tuple[float, float]
    """95 % interval of the average precision, by bootstrap over images; NaN for a single image."""

    @property
    def average_precision(self) -> float:
        """Area under the precision-recall curve."""
        return self.curve.average_precision


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well classes were found."""

    folder: Path
    """Where the tables and the picture are."""
    classes: tuple[ClassScore, ...]
    """One for each class in the truth, in its order."""
    notes: tuple[str, ...] = ()
    """What was guessed in the table of the truth, and why there is no picture, where there is none."""

    def scores(self) -> pd.DataFrame:
        """Read a row for each class, with the columns of ``scores.csv``."""
        return csv_frame(self.folder / _SCORES_NAME, _SCORE_TYPES)

    def curves(self) -> pd.DataFrame:
        """Read precision and recall of each class at each score, with the columns of ``curves.csv``."""
        return csv_frame(self.folder / _CURVES_NAME, _CURVE_TYPES)


def evaluate(peaks: Path, truth: Path, folder: Path, *, distance: float | None = None) -> Evaluation:
    """Compare a table of peaks with ground truth, and write scores and curves.

    Parameters
    ----------
    peaks : Path
        ``peaks.parquet`` of a search, or ``detections.parquet`` of a model.
    truth : Path
        CSV with image, class, y, x. Images that it does not name are not judged.
    folder : Path
        Gets ``scores.csv``, ``curves.csv`` and ``curves.png``.
    distance : float, optional
        A peak nearer than this to an object finds it, in level-0 pixels; by default the paper's three strides.

    Returns
    -------
    Evaluation
        Of the classes in the truth.

    Raises
    ------
    AnnotationError
        If a table is wrong, or peaks and truth have no class or no image in common.
    ConfigError
        If the distance is none.
    StoreError
        If the folder cannot be written.
    """
    if distance is not None and not distance > 0:
        raise ConfigError(f"distance: expected more than 0 px, got {distance:g}: choose another number")
    notes: list[str] = []
    found, objects = read_peaks(peaks), read_truth(truth, notes.append)
    images = sorted({o.image for o in objects})
    judged = [peak for peak in found if peak.image in set(images)]
    classes = list(dict.fromkeys(o.class_name for o in objects))
    if not any(peak.class_name in classes for peak in judged):
        raise AnnotationError(
            f"{truth}: expected images and classes of {peaks}, such as {_example(found)}, got "
            f"{objects[0].class_name} in {objects[0].image} and others: use the same names"
        )
    scores = [_score(name, images, judged, objects, distance) for name in classes]
    with only_writer(folder), store_errors(str(folder)):
        _write(scores, folder)
        picture = folder / "curves.png"
        notes += try_to_draw(picture, lambda: draw_curves({score.class_name: score.curve for score in scores}, picture))
    return Evaluation(folder, tuple(scores), tuple(notes))


def _example(peaks: Sequence[Peak]) -> str:
    return f"{peaks[0].class_name} in {peaks[0].image}" if peaks else "none at all"


def _score(
    class_name: str, images: Sequence[str], peaks: Sequence[Peak], objects: Sequence[TrueObject], distance: float | None
) -> ClassScore:
    found = [peak for peak in peaks if peak.class_name == class_name]
    limit = distance or (_PAPER_DISTANCE * found[0].patch_shape[1] if found else 0.0)
    hits: list[NDArray[np.bool_]] = []
    scores: list[NDArray[np.float64]] = []
    n_objects: list[int] = []
    for image in images:
        here = [peak for peak in found if peak.image == image]
        centres = [(o.y, o.x) for o in objects if (o.image, o.class_name) == (image, class_name)]
        scores.append(np.array([peak.score for peak in here]))
        points = np.array([(peak.y, peak.x) for peak in here]).reshape(-1, 2)
        hits.append(match(points, scores[-1], np.array(centres).reshape(-1, 2), limit))
        n_objects.append(len(centres))
    curve = precision_recall(hits, scores, sum(n_objects))
    interval = bootstrap_interval(hits, scores, n_objects)
    return ClassScore(class_name, sum(n_objects), len(found), limit, curve, interval)


def _write(scores: Sequence[ClassScore], folder: Path) -> None:
    with replacing_text(folder / _SCORES_NAME) as file:
        rows = csv.writer(file)
        rows.writerow(_SCORE_TYPES)
        for score in scores:
            numbers = (score.distance, score.average_precision, *score.interval, *best_f1(score.curve))
            rows.writerow(
                (written(score.class_name), score.n_objects, score.n_found, *(f"{number:.4f}" for number in numbers))
            )
    with replacing_text(folder / _CURVES_NAME) as file:
        rows = csv.writer(file)
        rows.writerow(_CURVE_TYPES)
        for score in scores:
            curve = score.curve
            for point in zip(curve.score, curve.precision, curve.recall, strict=True):
                rows.writerow((written(score.class_name), *(f"{number:.6f}" for number in point)))
