"""What is done with results: `rethreshold`, `sample`, `report`, `evaluate`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from simsearch.io.places import input_place, output_place
from simsearch.workflows.learn.evaluate import Evaluation
from simsearch.workflows.learn.evaluate import evaluate as run_evaluate
from simsearch.workflows.run.html_report.page import HtmlReport, write_html_report
from simsearch.workflows.run.objects import ObjectsReport
from simsearch.workflows.run.objects import rethreshold as run_rethreshold
from simsearch.workflows.run.sample import SampleReport, sample_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simsearch.api.calling import AnyPath

_AS_THEY_ARE: Mapping[str, float] = MappingProxyType({})


def rethreshold(
    results: AnyPath,
    confidence_thresholds: Mapping[str, float] = _AS_THEY_ARE,
    *,
    aside: Sequence[str] | None = None,
) -> ObjectsReport:
    """Choose other confidence thresholds for the results of a detection; no pixel is read.

    Parameters
    ----------
    results : str or Path
        Folder with results of `detect`.
    confidence_thresholds : mapping of str to float
        By class; those of other classes stay as they are.
    aside : sequence of str, optional
        Classes whose objects do not count in the shares of others, such as cells that cannot respond; none, if it is
        empty. By default as it was chosen before.

    Returns
    -------
    ObjectsReport
        Reads the same tables as the result of `detect`.

    Raises
    ------
    SimSearchError
        If there are no results, no such class, a threshold is below what was kept, or no class is left to count.

    Examples
    --------
    >>> import simsearch as ss
    >>> sure = ss.rethreshold("detected", {"nucleus": 0.9})
    >>> len(sure.objects()) <= len(sure.detections())
    True
    """
    return run_rethreshold(output_place(results), confidence_thresholds, aside)


def sample(
    results: AnyPath, *, n: int = 20, classes: Sequence[str] = (), seed: int = 0, pictures: bool = True
) -> SampleReport:
    """Draw a random sample of what was detected, to be judged, and estimate how right all of it is.

    Write yes or no into the column ``right`` of ``sample.csv``, and call it again: it estimates from what was judged.

    Parameters
    ----------
    results : str or Path
        Folder with results of `detect`.
    n : int
        Places of each class: half of them objects, half of lower confidence. More are added to those that there are.
    classes : sequence of str
        Which; all, if none is named.
    seed : int
        Of all randomness.
    pictures : bool
        Whether to draw the places, numbered as in the table, as ``sample/CLASS.png``.

    Returns
    -------
    SampleReport
        ``classes`` has precision, recall and number of each class at its threshold, with 90 % intervals;
        ``estimates()`` is a data frame of them over thresholds.

    Raises
    ------
    SimSearchError
        If there are no results, no such class, or the table cannot be understood.

    Examples
    --------
    >>> import simsearch as ss
    >>> report = ss.sample("detected", n=2)
    >>> report.classes[0].n_open
    2
    """
    return sample_results(output_place(results), n=n, classes=classes, seed=seed, pictures=pictures)


def report(results: AnyPath, out: AnyPath | None = None) -> HtmlReport:
    """Write a page of a run: methods in words for a paper, tables, figures, examples of objects, how it was made.

    Parameters
    ----------
    results : str or Path
        Folder with results of `detect` or `segment`.
    out : str or Path, optional
        The file, which needs no other; by default ``run.html`` in the folder.

    Returns
    -------
    HtmlReport
        ``path`` is the file; ``notes`` say what is not on it, and why.

    Raises
    ------
    SimSearchError
        If there are no results, or the file cannot be written.

    Examples
    --------
    >>> import simsearch as ss
    >>> ss.report("detected", "detected.html").path.name
    'detected.html'
    """
    return write_html_report(output_place(results), None if out is None else output_place(out))


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
