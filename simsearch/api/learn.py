"""Training, and how well things are found: `train`, `pretrain`, `evaluate`; and the `demo` of it all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from simsearch.api.calling import client_of, options_of, paths_of, study_of, takes
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.curate.study import Study, read_curation
from simsearch.workflows.demo import DemoReport, run_demo
from simsearch.workflows.learn.evaluate import Evaluation
from simsearch.workflows.learn.evaluate import evaluate as run_evaluate
from simsearch.workflows.learn.pretrain import PretrainOptions, PretrainReport, pretrain_trunk
from simsearch.workflows.learn.train import TrainOptions, TrainReport, train_study

if TYPE_CHECKING:
    from simsearch.api.calling import AnyPath, Cluster, Paths
    from simsearch.api.keywords import PretrainKeywords, TrainKeywords


@takes(TrainOptions)
def train(
    folder: AnyPath | Study,
    *,
    cluster: Cluster = "local",
    observe: Observer = ignore,
    **options: Unpack[TrainKeywords],
) -> TrainReport:
    """Train a model on what was curated in a study; it goes on where it was if it was stopped.

    Parameters
    ----------
    folder : str, Path or Study
        The study.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress.

    Returns
    -------
    TrainReport
        ``model`` is the file, for `detect` and `segment`.

    Raises
    ------
    SimSearchError
        If there is no study, or too little was accepted in it.

    Examples
    --------
    >>> import simsearch as ss
    >>> trained = ss.train("study", cluster="threads")
    >>> trained.model.name
    'model.safetensors'
    """
    study, chosen = study_of(folder), options_of(TrainOptions, options)
    with client_of(cluster) as client:
        return train_study(client, study, read_curation(study)[0].state, chosen, observe=observe)


@takes(PretrainOptions)
def pretrain(
    images: Paths,
    out: AnyPath,
    *,
    cluster: Cluster = "local",
    observe: Observer = ignore,
    **options: Unpack[PretrainKeywords],
) -> PretrainReport:
    """Train a trunk on images of any kinds, without labels; what was stopped goes on.

    Parameters
    ----------
    images : str, Path or sequence of them
        OME-Zarr images or plates, paths or URLs.
    out : str or Path
        The trunk: ``NAME.safetensors``, for ``trunk`` of other functions.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress.

    Returns
    -------
    PretrainReport
        ``trunk`` is the file, ``losses`` how training went.

    Raises
    ------
    SimSearchError
        If an image cannot be read, or options do not go together.

    Examples
    --------
    >>> import simsearch as ss
    >>> short = {"steps": 2, "batch": 2, "crop": 32, "scales": (0.5, 1)}  # a trunk wants thousands
    >>> own = ss.pretrain("cells.ome.zarr", "own.safetensors", **short, cluster="threads")
    >>> own.trunk.name
    'own.safetensors'
    """
    with client_of(cluster) as client:
        chosen = options_of(PretrainOptions, options)
        return pretrain_trunk(client, paths_of(images), Path(out), chosen, observe=observe)


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
    return run_evaluate(Path(peaks), Path(truth), Path(out), distance=distance)


def demo(
    folder: AnyPath = "demo", *, trunk: str = "bundled", cluster: Cluster = "local", observe: Observer = ignore
) -> DemoReport:
    """Convert, measure and search a real tissue image and a synthetic plate.

    Parameters
    ----------
    folder : str or Path
        Where to write.
    trunk : str
        bundled, imagenet (downloaded once) or a file.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress.

    Returns
    -------
    DemoReport
        ``tissue`` and ``plate`` are what `search` returns.

    Raises
    ------
    SimSearchError
        If the folder cannot be written.

    Examples
    --------
    >>> import simsearch as ss
    >>> ss.demo("demo").plate.peaks()
    """
    with client_of(cluster) as client:
        return run_demo(client, Path(folder), trunk=trunk, observe=observe)
