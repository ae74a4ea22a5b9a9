"""What would go wrong in a long run, told before it: `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.api.calling import paths_of, warn
from simsearch.workflows.doctor.examination import DoctorReport, examine

if TYPE_CHECKING:
    from simsearch.api.calling import AnyPath, Cluster, Paths
    from simsearch.runtime.events import Observer


def doctor(
    paths: Paths = (),
    out: AnyPath | None = None,
    *,
    port: int | None = None,
    cluster: Cluster | None = None,
    observe: Observer = warn,
) -> DoctorReport:
    """Look for what would go wrong in a long run: on this machine, on the cluster, and with files.

    Parameters
    ----------
    paths : str, Path or sequence of them
        What the run would read: images, plates, slides, models, tables; paths or URLs. Each worker reads a little.
    out : str or Path, optional
        Folder or URL that it would write to. Each worker leaves a small file there, which is removed.
    port : int, optional
        Port that the app would listen at; by default 5006 is tried, and told of if it is taken.
    cluster : str or distributed.Client
        Where to compute, as `open_cluster` takes it, or a client that is open.
    observe : callable
        Gets events of the progress, and notes; by default notes become warnings.

    Returns
    -------
    DoctorReport
        ``problems`` would make the run fail or are unsafe, ``warnings`` make it slower; ``table()`` has all that was
        looked at.

    Raises
    ------
    SimSearchError
        If `cluster` is no cluster. What cannot be reached is a problem in the report.

    Examples
    --------
    >>> import simsearch as ss
    >>> report = ss.doctor("cells.ome.zarr", out="checked", cluster="threads")
    >>> [problem.check for problem in report.problems]
    []
    """
    return examine(paths_of(paths), out, port=port, cluster=cluster, observe=observe)
