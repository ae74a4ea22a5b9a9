"""Training: `train`, `pretrain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from simsearch.api.calling import client_of, options_of, paths_of, study_of, takes, warn
from simsearch.io.places import output_place
from simsearch.workflows.curate.study import Study, read_curation
from simsearch.workflows.learn.pretrain import PretrainOptions, PretrainReport, pretrain_trunk
from simsearch.workflows.learn.train import TrainOptions, TrainReport, train_study

if TYPE_CHECKING:
    from simsearch.api.calling import AnyPath, Cluster, Paths
    from simsearch.api.keywords import PretrainKeywords, TrainKeywords
    from simsearch.runtime.events import Observer


@takes(TrainOptions)
def train(
    folder: AnyPath | Study,
    out: AnyPath | None = None,
    *,
    cluster: Cluster | None = None,
    observe: Observer = warn,
    **options: Unpack[TrainKeywords],
) -> TrainReport:
    """Train a model on what was curated in a study; it goes on where it was if it was stopped.

    Parameters
    ----------
    folder : str, Path or Study
        The study.
    out : str or Path, optional
        Folder or URL for the model and what lies beside it; by default a folder in the study.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress, and notes; by default notes become warnings.

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
    chosen, place = options_of(TrainOptions, options), None if out is None else output_place(out)
    study = study_of(folder)
    with client_of(cluster, observe) as client:
        return train_study(client, study, read_curation(study)[0].state, chosen, out=place, observe=observe)


@takes(PretrainOptions)
def pretrain(
    images: Paths,
    out: AnyPath,
    *,
    cluster: Cluster | None = None,
    observe: Observer = warn,
    **options: Unpack[PretrainKeywords],
) -> PretrainReport:
    """Train a trunk on images of any kinds, without labels; what was stopped goes on.

    Parameters
    ----------
    images : str, Path or sequence of them
        OME-Zarr images or plates, paths or URLs.
    out : str or Path
        The trunk: ``NAME.safetensors``, a path or a URL, for ``trunk`` of other functions.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress, and notes; by default notes become warnings.

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
    chosen, trunk = options_of(PretrainOptions, options), output_place(out)
    with client_of(cluster, observe) as client:
        return pretrain_trunk(client, paths_of(images), trunk, chosen, observe=observe)
