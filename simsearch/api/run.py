"""A model over images: `detect`, `segment`; and results of before: `open_results`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from simsearch.api.calling import ImageOptions, client_of, image_set, options_of, takes, warn
from simsearch.io.places import input_place, output_place
from simsearch.workflows.run.detect import DetectOptions, DetectReport
from simsearch.workflows.run.detect import detect as run_detect
from simsearch.workflows.run.region_counts import read_regions
from simsearch.workflows.run.reports import read_report
from simsearch.workflows.run.segment import SegmentOptions, SegmentReport
from simsearch.workflows.run.segment import segment as run_segment

if TYPE_CHECKING:
    from simsearch.api.calling import AnyPath, Cluster, Paths
    from simsearch.api.keywords import DetectKeywords, SegmentKeywords
    from simsearch.runtime.events import Observer
    from simsearch.workflows.find.search import SearchReport


@takes(ImageOptions, DetectOptions)
def detect(
    model: AnyPath,
    images: Paths,
    out: AnyPath,
    *,
    regions: AnyPath | None = None,
    cluster: Cluster | None = None,
    observe: Observer = warn,
    **options: Unpack[DetectKeywords],
) -> DetectReport:
    """Run a model over images; what was stopped goes on.

    Parameters
    ----------
    model : str or Path
        Model file of `train`.
    images : str, Path or sequence of them
        OME-Zarr images or plates, paths or URLs.
    out : str or Path
        Folder for results.
    regions : str or Path, optional
        Look only in the named regions of a study, or of a GeoJSON file.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress, and notes; by default notes become warnings.

    Returns
    -------
    DetectReport
        ``detections()`` and ``objects()`` are data frames; of plates ``wells()`` and ``dose_response()`` too, and
        ``well_grid()`` is the same as ``wells()`` for xarray; with regions also ``region_counts()``.

    Raises
    ------
    SimSearchError
        If the model, an image or an option is wrong, or the folder holds other results.

    Examples
    --------
    >>> import simsearch as ss
    >>> detected = ss.detect(trained.model, "cells.ome.zarr", "detected", cluster="threads")
    >>> detections = detected.detections()
    >>> bool((detections["confidence"] >= 0.05).all())
    True
    """
    file, folder = input_place(model), output_place(out)
    outlined = None if regions is None else input_place(regions)
    chosen, found = options_of(DetectOptions, options), image_set(images, options, observe)
    inside = () if outlined is None else read_regions(outlined)
    with client_of(cluster, observe) as client:
        return run_detect(client, found, file, folder, chosen, regions=inside, observe=observe)


@takes(ImageOptions, SegmentOptions)
def segment(
    model: AnyPath,
    images: Paths,
    out: AnyPath,
    *,
    cluster: Cluster | None = None,
    observe: Observer = warn,
    **options: Unpack[SegmentKeywords],
) -> SegmentReport:
    """Give each pixel of images a class, as OME-Zarr labels, and measure areas; what was stopped goes on.

    Parameters
    ----------
    model : str or Path
        Model file of `train` with ``beside=False``.
    images : str, Path or sequence of them
        OME-Zarr images or plates, paths or URLs.
    out : str or Path
        Folder for results.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress, and notes; by default notes become warnings.

    Returns
    -------
    SegmentReport
        ``areas()`` is a data frame, ``labels(image)`` a lazy (y, x) array.

    Raises
    ------
    SimSearchError
        If the model, an image or an option is wrong, or there are labels of that name.

    Examples
    --------
    >>> import simsearch as ss
    >>> segmented = ss.segment(trained.model, "cells.ome.zarr", "areas", cluster="threads")
    >>> list(segmented.areas()["class"])
    ['nucleus']
    >>> segmented.labels("cells").dtype
    dtype('uint8')
    """
    file, folder = input_place(model), output_place(out)
    chosen, found = options_of(SegmentOptions, options), image_set(images, options, observe)
    with client_of(cluster, observe) as client:
        return run_segment(client, found, file, folder, chosen, observe=observe)


def open_results(folder: AnyPath) -> SearchReport | DetectReport | SegmentReport:
    """Open results that `search`, `detect` or `segment` has written before.

    Parameters
    ----------
    folder : str or Path
        Where they are.

    Returns
    -------
    SearchReport, DetectReport or SegmentReport
        What the function has returned.

    Raises
    ------
    SimSearchError
        If there are no results, or they are of another version of simsearch.

    Examples
    --------
    >>> import simsearch as ss
    >>> found = ss.open_results("found")
    >>> len(found.peaks()) == found.n_peaks["nucleus"]
    True
    """
    return read_report(input_place(folder))
