"""From files to what looks like some boxes: `convert`, `measure`, `search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from simsearch.api.calling import ImageOptions, client_of, image_set, options_of, paths_of, takes
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.convert.pipeline import Report
from simsearch.workflows.convert.pipeline import convert as run_convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.find.measure import Measurement, write_measurement
from simsearch.workflows.find.measure import measure as run_measure
from simsearch.workflows.find.search import SearchOptions, SearchReport
from simsearch.workflows.find.search import search as run_search

if TYPE_CHECKING:
    from simsearch.api.calling import AnyPath, Cluster, Paths
    from simsearch.api.keywords import ConvertKeywords, ImageKeywords, SearchKeywords


@takes(ConvertOptions)
def convert(
    sources: Paths,
    destination: AnyPath,
    *,
    cluster: Cluster = "local",
    observe: Observer = ignore,
    **options: Unpack[ConvertKeywords],
) -> Report:
    """Convert images, slides, folders of a plate or a LoadData CSV to OME-Zarr.

    Parameters
    ----------
    sources : str, Path or sequence of them
        What to convert: files, folders, URLs.
    destination : str or Path
        Folder to write; several images get a folder each in it.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress.

    Returns
    -------
    Report
        Where the images are, how many, and notes on what was not understood.

    Raises
    ------
    SimSearchError
        If a source cannot be read, options are wrong, or the destination is there already.

    Examples
    --------
    >>> import simsearch as ss
    >>> report = ss.convert(
    ...     "cells.npy", "cells.ome.zarr", channel_names=["GFP", "DNA"], pixel_size_um=0.5, cluster="threads"
    ... )
    >>> report.n_images
    1
    """
    size = options.get("pixel_size_um")
    if isinstance(size, int | float):
        options["pixel_size_um"] = (size, size)
    chosen = options_of(ConvertOptions, options)
    with client_of(cluster) as client:
        return run_convert(client, paths_of(sources), Path(destination), chosen, observe=observe)


@takes(ImageOptions)
def measure(
    images: Paths,
    out: AnyPath | None = None,
    *,
    downsampling: int = 1,
    cluster: Cluster = "local",
    observe: Observer = ignore,
    **options: Unpack[ImageKeywords],
) -> Measurement:
    """Measure the intensity ranges and the channel correlation of images that were recorded with the same settings.

    Parameters
    ----------
    images : str, Path or sequence of them
        OME-Zarr images or plates, paths or URLs.
    out : str or Path, optional
        JSON file to write, for ``measurement`` of other functions.
    downsampling : int
        Measure images downsampled by this power of two.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress.

    Returns
    -------
    Measurement
        ``table()`` is a data frame with the range of each channel; ``correlation`` is (C, C).

    Raises
    ------
    SimSearchError
        If an image cannot be read, or they differ in channels or pixel type.

    Examples
    --------
    >>> import simsearch as ss
    >>> measurement = ss.measure("cells.ome.zarr", "measure.json", cluster="threads")
    >>> list(measurement.table()["channel"])
    ['GFP', 'DNA']
    """
    with client_of(cluster) as client:
        found = run_measure(client, image_set(images, options), downsampling=downsampling, observe=observe)
    if out is not None:
        write_measurement(found, Path(out))
    return found


@takes(ImageOptions, SearchOptions)
def search(
    images: Paths,
    prototypes: AnyPath,
    out: AnyPath,
    *,
    cluster: Cluster = "local",
    observe: Observer = ignore,
    **options: Unpack[SearchKeywords],
) -> SearchReport:
    """Search images for what looks like the boxes in a CSV file.

    Parameters
    ----------
    images : str, Path or sequence of them
        OME-Zarr images or plates, paths or URLs.
    prototypes : str or Path
        CSV: image, class, y, x, height, width.
    out : str or Path
        Folder for results.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress.

    Returns
    -------
    SearchReport
        ``peaks()`` is a data frame, ``similarity(image, class_name)`` a lazy map; ``suggested_thresholds`` is where to
        start looking.

    Raises
    ------
    SimSearchError
        If an image, a box or an option is wrong, or the folder holds results already.

    Examples
    --------
    >>> import simsearch as ss
    >>> found = ss.search("cells.ome.zarr", "boxes.csv", "found", floor=0.1, cluster="threads")
    >>> peaks = found.peaks()
    >>> list(peaks.columns)
    ['image', 'class', 'y', 'x', 'y_um', 'x_um', 'height', 'width', 'similarity']
    >>> found.similarity("cells", "nucleus").dims
    ('y', 'x')
    """
    chosen = options_of(SearchOptions, options)
    with client_of(cluster) as client:
        return run_search(client, image_set(images, options), Path(prototypes), Path(out), chosen, observe=observe)
