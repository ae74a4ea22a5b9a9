"""What looks like what somebody points at: `search`, and the `demo` of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from simsearch.api.calling import ImageOptions, client_of, image_set, options_of, takes, warn
from simsearch.core.checks.places import local_path
from simsearch.io.places import input_place, output_place
from simsearch.workflows.demo import DemoReport, run_demo
from simsearch.workflows.find.search import SearchOptions, SearchReport
from simsearch.workflows.find.search import search as run_search

if TYPE_CHECKING:
    from simsearch.api.calling import AnyPath, Cluster, Paths
    from simsearch.api.keywords import SearchKeywords
    from simsearch.runtime.events import Observer


@takes(ImageOptions, SearchOptions)
def search(
    images: Paths,
    prototypes: AnyPath,
    out: AnyPath,
    *,
    cluster: Cluster | None = None,
    observe: Observer = warn,
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
        Gets events of the progress, and notes; by default notes become warnings.

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
    boxes, folder = input_place(prototypes), output_place(out)
    chosen, found = options_of(SearchOptions, options), image_set(images, options, observe)
    with client_of(cluster, observe) as client:
        return run_search(client, found, boxes, folder, chosen, observe=observe)


def demo(
    folder: AnyPath = "demo", *, trunk: str = "bundled", cluster: Cluster | None = None, observe: Observer = warn
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
        Gets events of the progress, and notes; by default notes become warnings.

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
    place = local_path(folder)
    with client_of(cluster, observe) as client:
        return run_demo(client, place, trunk=trunk, observe=observe)
