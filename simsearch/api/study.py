"""Studies: what people say about images, without a screen (``simsearch study``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from simsearch.api.calling import client_of, options_of, paths_of, study_of, takes, warn
from simsearch.core.checks.places import FOR_STUDIES, local_path
from simsearch.io.places import input_place, output_place
from simsearch.io.tables.truth import read_truth
from simsearch.runtime.events import Noted, Observer
from simsearch.workflows.curate.annotation_files import ImportOptions
from simsearch.workflows.curate.exchange import ImportReport, export_annotations, import_annotations
from simsearch.workflows.curate.headless import CurateOptions, CurateReport, choose_displayed, curate
from simsearch.workflows.curate.simulated_user import Behaviour, simulate_curation
from simsearch.workflows.curate.study import Study, StudyOptions, create_study
from simsearch.workflows.curate.summary import StudySummary, summarise_study
from simsearch.workflows.provenance import user_name

if TYPE_CHECKING:
    from simsearch.api.calling import AnyPath, Cluster, Paths
    from simsearch.api.keywords import BehaviourKeywords, ImportKeywords, StudyKeywords, SuggestKeywords

__all__ = ["create", "export", "import_", "show", "simulate", "suggest"]


@takes(StudyOptions)
def create(
    folder: AnyPath,
    images: Paths,
    *,
    diverse: bool = False,
    cluster: Cluster | None = None,
    observe: Observer = warn,
    **options: Unpack[StudyKeywords],
) -> Study:
    """Create a study of images in a folder.

    Parameters
    ----------
    folder : str or Path
        New, or without a study.
    images : str, Path or sequence of them
        OME-Zarr images or plates, paths or URLs.
    diverse : bool
        Display images that show what all have, instead of random ones; with `display_by` of each value in turn.
    cluster : str or distributed.Client
        Where to compute (only with `diverse`), as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress, and notes; by default notes become warnings.

    Returns
    -------
    Study
        For the other functions, which take its folder as well.

    Raises
    ------
    SimSearchError
        If an image or an option is wrong, or there is a study in the folder.

    Examples
    --------
    >>> import simsearch as ss
    >>> study = ss.study.create("study", "cells.ome.zarr", display=1)
    >>> study.displayed
    ('cells',)
    """
    place = local_path(folder, FOR_STUDIES)
    paths, chosen = paths_of(images), options_of(StudyOptions, options)
    if diverse:
        with client_of(cluster, observe) as client:
            chosen = choose_displayed(client, paths, chosen, observe=observe)
    return create_study(place, paths, chosen, lambda note: observe(Noted(note)))


def show(folder: AnyPath | Study) -> StudySummary:
    """Show what was said in a study.

    Parameters
    ----------
    folder : str, Path or Study
        The study.

    Returns
    -------
    StudySummary
        ``classes()`` and ``patches()`` are data frames; ``models`` are what was trained.

    Raises
    ------
    SimSearchError
        If there is no study, or it is damaged.

    Examples
    --------
    >>> import simsearch as ss
    >>> ss.study.show("study").classes()[["class", "prototypes"]].values.tolist()
    [['nucleus', 3]]
    """
    return summarise_study(study_of(folder))


@takes(CurateOptions)
def suggest(
    folder: AnyPath | Study,
    *,
    user: str | None = None,
    cluster: Cluster | None = None,
    observe: Observer = warn,
    **options: Unpack[SuggestKeywords],
) -> CurateReport:
    """Find what looks like the prototypes on the displayed images of a study, and what may be background.

    Parameters
    ----------
    folder : str, Path or Study
        The study.
    user : str, optional
        Who says so; by default you.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress, and notes; by default notes become warnings.

    Returns
    -------
    CurateReport
        How much is suggested, of each class and as background.

    Raises
    ------
    SimSearchError
        If there is no study, no class has a prototype, or a threshold is none.

    Examples
    --------
    >>> import simsearch as ss
    >>> suggested = ss.study.suggest("study", accept=True, n_background=3, cluster="threads")
    >>> suggested.is_accepted
    True
    """
    chosen, study = options_of(CurateOptions, options, output_place), study_of(folder)
    with client_of(cluster, observe) as client:
        return curate(client, study, user or user_name(), chosen, observe=observe)


@takes(ImportOptions)
def import_(
    folder: AnyPath | Study, file: AnyPath, *, user: str | None = None, **options: Unpack[ImportKeywords]
) -> ImportReport:
    """Add what a file says to a study: all of it, or nothing.

    Parameters
    ----------
    folder : str, Path or Study
        The study.
    file : str or Path
        A CSV (image, class, role, y, x, height, width); GeoJSON of QuPath; XML of ImageScope or ASAP; NDPA; regions of
        interest of ImageJ (.roi, .zip); a label image (TIFF, PNG, OME-Zarr); or a folder of such files named after
        images. A path or a URL.
    user : str, optional
        Who says so; by default you.

    Returns
    -------
    ImportReport
        What was new; ``notes`` say what was left out, and why.

    Raises
    ------
    SimSearchError
        If anything in the file does not go with the study: the message lists every row.

    Examples
    --------
    >>> import simsearch as ss
    >>> ss.study.import_("study", "boxes.csv").n_added
    {'prototype': 3}
    """
    chosen, path = options_of(ImportOptions, options, local_path), input_place(file)
    return import_annotations(study_of(folder), path, user=user or user_name(), options=chosen)


def export(folder: AnyPath | Study, destination: AnyPath, *, overwrite: bool = False) -> tuple[int, int]:
    """Write what was said in a study.

    Parameters
    ----------
    folder : str, Path or Study
        The study.
    destination : str or Path
        ``FILE.csv``, or a folder that gets a GeoJSON for QuPath per image; a path or a URL.
    overwrite : bool
        Replace what is there.

    Returns
    -------
    (int, int)
        Number of patches and of files.

    Raises
    ------
    SimSearchError
        If nothing was said yet, or the destination is there.

    Examples
    --------
    >>> import simsearch as ss
    >>> n_patches, n_files = ss.study.export("study", "curation.csv")
    >>> n_files
    1
    """
    place = output_place(destination)
    return export_annotations(study_of(folder), place, overwrite=overwrite)


@takes(Behaviour)
def simulate(
    folder: AnyPath | Study,
    truth: AnyPath,
    *,
    cluster: Cluster | None = None,
    observe: Observer = warn,
    **options: Unpack[BehaviourKeywords],
) -> StudySummary:
    """Let a simulated person curate a new study from ground truth, to evaluate what a real one would get.

    Parameters
    ----------
    folder : str, Path or Study
        A study in which nothing was said.
    truth : str or Path
        CSV: image, class, y, x of objects on its displayed images.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress, and notes; by default notes become warnings.

    Returns
    -------
    StudySummary
        What the person has said, as `show` tells it.

    Raises
    ------
    SimSearchError
        If a table is wrong, or there are too few objects of a class for its prototypes.

    Examples
    --------
    >>> import simsearch as ss
    >>> study = ss.study.create("simulated", "cells.ome.zarr", display=1)
    >>> summary = ss.study.simulate(
    ...     study, "truth.csv", classes=["nucleus"], patch_shape=(40, 40), n_prototypes=2, cluster="threads"
    ... )
    >>> summary.classes()["prototypes"].tolist()
    [2]
    """
    behaviour, table = options_of(Behaviour, options), input_place(truth)
    study, objects = study_of(folder), read_truth(table)
    with client_of(cluster, observe) as client:
        simulate_curation(client, study, objects, behaviour, observe=observe)
    return summarise_study(study)
