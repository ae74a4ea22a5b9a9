"""What reads results and no pixels: `rethreshold`, `evaluate`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from simsearch.io.places import input_place, output_place
from simsearch.workflows.learn.evaluate import Evaluation
from simsearch.workflows.learn.evaluate import evaluate as run_evaluate
from simsearch.workflows.run.objects import ObjectsReport
from simsearch.workflows.run.objects import rethreshold as run_rethreshold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simsearch.api.calling import AnyPath

_AS_THEY_ARE: Mapping[str, float] = MappingProxyType({})


def rethreshold(results: AnyPath, confidence_thresholds: Mapping[str, float] = _AS_THEY_ARE) -> ObjectsReport:
    """Choose other confidence thresholds for the results of a detection; no pixel is read.

    Parameters
    ----------
    results : str or Path
        Folder with results of `detect`.
    confidence_thresholds : mapping of str to float
        By class; those of other classes stay as they are.

    Returns
    -------
    ObjectsReport
        Reads the same tables as the result of `detect`.

    Raises
    ------
    SimSearchError
        If there are no results, no such class, or a threshold is below what was kept.

    Examples
    --------
    >>> import simsearch as ss
    >>> sure = ss.rethreshold("detected", {"nucleus": 0.9})
    >>> len(sure.objects()) <= len(sure.detections())
    True
    """
    return run_rethreshold(output_place(results), confidence_thresholds)


def evaluate(peaks: AnyPath, truth: AnyPath, out: AnyPath, *, distance: float | None = None) -> Evaluation:
    """Compare peaks or detections with where objects really are: precision and recall.

    Parameters
    ----------
    peaks : str or Path
        ``peaks.parquet`` of `search`, or ``detections.parquet`` of `detect`.
    truth : str or Path
        CSV: image, class, y, x. Images that it does not name are not judged.
    out : str or Path
        Folder for scores and curves.
    distance : float, optional
        A peak nearer than this to an object finds it, in level-0 pixels; by default 0.3 of the patch's width.

    Returns
    -------
    Evaluation
        ``scores()`` and ``curves()`` are data frames.

    Raises
    ------
    SimSearchError
        If a table is wrong, or peaks and truth have no class or no image in common.

    Examples
    --------
    >>> import simsearch as ss
    >>> judged = ss.evaluate("found/peaks.parquet", "truth.csv", "scores")
    >>> judged.scores().loc[0, "average_precision"] > 0.5
    np.True_
    """
    return run_evaluate(input_place(peaks), input_place(truth), output_place(out), distance=distance)
