"""Images made and measured: `convert` and its preview, `measure`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from simsearch.api.calling import ImageOptions, client_of, image_set, options_of, paths_of, takes, warn
from simsearch.io.places import output_place
from simsearch.workflows.convert.pipeline import Report
from simsearch.workflows.convert.pipeline import convert as run_convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.convert.preview import Preview
from simsearch.workflows.convert.preview import preview_conversion as run_preview
from simsearch.workflows.find.measure import Measurement, write_measurement
from simsearch.workflows.find.measure import measure as run_measure

if TYPE_CHECKING:
    from simsearch.api.calling import AnyPath, Cluster, Paths
    from simsearch.api.keywords import ConvertKeywords, ImageKeywords
    from simsearch.runtime.events import Observer


@takes(ConvertOptions)
def convert(
    sources: Paths,
    destination: AnyPath,
    *,
    cluster: Cluster | None = None,
    observe: Observer = warn,
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
        Gets events of the progress, and notes; by default notes become warnings.

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
    chosen, folder = _convert_options(options), output_place(destination)
    with client_of(cluster, observe) as client:
        return run_convert(client, paths_of(sources), folder, chosen, observe=observe)


@takes(ConvertOptions)
def preview_conversion(
    sources: Paths,
    destination: AnyPath,
    *,
    cluster: Cluster | None = None,
    observe: Observer = warn,
    **options: Unpack[ConvertKeywords],
) -> Preview:
    """Tell what `convert` would make, and write nothing (``simsearch convert --dry-run``).

    Parameters
    ----------
    sources, destination
        As of `convert`.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress, and notes; by default notes become warnings.

    Returns
    -------
    Preview
        What would become what, what would be left out, and notes on what was not understood.

    Raises
    ------
    SimSearchError
        Where `convert` would, before it writes.

    Examples
    --------
    >>> import simsearch as ss
    >>> preview = ss.preview_conversion("cells.npy", "more.ome.zarr", cluster="threads")
    >>> preview.products[0].images[0].shape
    (144, 144)
    """
    chosen, folder = _convert_options(options), output_place(destination)
    with client_of(cluster, observe) as client:
        return run_preview(client, paths_of(sources), folder, chosen, observe=observe)


@takes(ImageOptions)
def measure(
    images: Paths,
    out: AnyPath | None = None,
    *,
    downsampling: int = 1,
    cluster: Cluster | None = None,
    observe: Observer = warn,
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
        Gets events of the progress, and notes; by default notes become warnings.

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
    file = None if out is None else output_place(out)
    found = image_set(images, options, observe)
    with client_of(cluster, observe) as client:
        measurement = run_measure(client, found, downsampling=downsampling, observe=observe)
    if file is not None:
        write_measurement(measurement, file)
    return measurement


def _convert_options(options: ConvertKeywords) -> ConvertOptions:
    size = options.get("pixel_size_um")
    if isinstance(size, int | float):
        options["pixel_size_um"] = (size, size)
    return options_of(ConvertOptions, options)
