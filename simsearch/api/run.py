"""A model over images: `detect`, `segment`, `rethreshold`."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Unpack

from simsearch.api.calling import ImageOptions, client_of, image_set, options_of, takes
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.run.detect import DetectOptions, DetectReport
from simsearch.workflows.run.detect import detect as run_detect
from simsearch.workflows.run.objects import ObjectsReport
from simsearch.workflows.run.objects import rethreshold as run_rethreshold
from simsearch.workflows.run.segment import SegmentOptions, SegmentReport
from simsearch.workflows.run.segment import segment as run_segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simsearch.api.calling import AnyPath, Cluster, Paths
    from simsearch.api.keywords import DetectKeywords, SegmentKeywords

_AS_THEY_ARE: Mapping[str, float] = MappingProxyType({})


@takes(ImageOptions, DetectOptions)
def detect(
    model: AnyPath,
    images: Paths,
    out: AnyPath,
    *,
    cluster: Cluster = "local",
    observe: Observer = ignore,
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
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress.

    Returns
    -------
    DetectReport
        ``detections()`` and ``objects()`` are data frames; of plates ``wells()`` and ``dose_response()`` too, and
        ``well_grid()`` is the same as ``wells()`` for xarray.

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
    chosen = options_of(DetectOptions, options)
    with client_of(cluster) as client:
        return run_detect(client, image_set(images, options), Path(model), Path(out), chosen, observe=observe)


@takes(ImageOptions, SegmentOptions)
def segment(
    model: AnyPath,
    images: Paths,
    out: AnyPath,
    *,
    cluster: Cluster = "local",
    observe: Observer = ignore,
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
        Gets events of the progress.

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
    chosen = options_of(SegmentOptions, options)
    with client_of(cluster) as client:
        return run_segment(client, image_set(images, options), Path(model), Path(out), chosen, observe=observe)


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
    return run_rethreshold(Path(results), confidence_thresholds)
