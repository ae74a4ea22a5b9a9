"""Versions on client, scheduler and workers, which send Python objects to each other: they must be the same."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from simsearch.errors import ClusterError
from simsearch.runtime.asking import Answered, ask_dask_versions, ask_scheduler, ask_workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from distributed import Client

PACKAGES = ("simsearch", "dask", "distributed", "cloudpickle", "numpy", "torch", "zarr")
"""What travels, or what results depend on."""


def installed_versions() -> dict[str, str]:
    """Tell the versions of Python and of `PACKAGES` in this process; "none" of what is not installed."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def differences(here: Mapping[str, str], there: Mapping[str, Mapping[str, str] | None]) -> Iterator[str]:
    """Tell what is of another version elsewhere.

    Parameters
    ----------
    here : mapping of str to str
        Versions of this process.
    there : mapping of str to mapping
        By place, or None where simsearch could not even be imported.

    Examples
    --------
    >>> list(differences({"dask": "2"}, {"scheduler": {"dask": "1"}, "worker tcp://a:1": None}))
    ['dask 1 on scheduler, 2 here', 'no simsearch on worker tcp://a:1']
    """
    for place, versions in there.items():
        if versions is None:
            yield f"no simsearch on {place}"
            continue
        for package, ours in here.items():
            if versions.get(package) != ours:
                yield f"{package} {versions.get(package)} on {place}, {ours} here"


def gather_versions(
    client: Client, workers: Sequence[str] | None = None, timeout_s: float = 60.0
) -> dict[str, Mapping[str, str] | None]:
    """Ask scheduler and workers for their versions, by place; who has gone or does not answer in time is left out.

    Without addresses of workers, all are asked.
    A process of another Python, or without simsearch, cannot take our question: Dask's own answers tell that.
    """
    asked = list(client.nthreads()) if workers is None else workers
    told_by = ask_workers(client, installed_versions, workers=asked, timeout_s=timeout_s)
    scheduler = ask_scheduler(client, installed_versions, timeout_s=timeout_s)
    answers = {"scheduler": scheduler, **{f"worker {name}": answer for name, answer in told_by.items()}}
    if all(isinstance(answer, Answered) for answer in answers.values()):
        known = {}
    else:
        told = ask_dask_versions(client, timeout_s=timeout_s)
        known = {"scheduler": told.get("scheduler", {})}
        known |= {f"worker {name}": versions for name, versions in told.get("workers", {}).items()}
    there = {"scheduler", *(f"worker {name}" for name in client.nthreads())}
    return {
        place: answer.value if isinstance(answer, Answered) else _merged(known.get(place, {}))
        for place, answer in answers.items()
        if isinstance(answer, Answered) or (place in there and not answer.is_late)
    }


def check_versions(client: Client) -> None:
    """Refuse a cluster of other versions.

    Raises
    ------
    ClusterError
        If anything differs on the scheduler or a worker.
    """
    different = list(differences(installed_versions(), gather_versions(client)))
    if different:
        others = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise ClusterError(
            f"expected the same versions everywhere, got {different[0]}{others}: install all from one "
            "constraints.txt, or use one image or one environment that all machines share"
        )


def _merged(known: Any) -> Mapping[str, str] | None:  # noqa: ANN401  of Dask, which has no types
    """Put together what Dask tells of a process; None if nothing but that simsearch is missing explains its silence."""
    host, packages = known.get("host", {}), known.get("packages", {})
    theirs = {package: str(packages[package]) for package in PACKAGES if packages.get(package)}
    theirs["python"] = ".".join(str(host.get("python", "?")).split(".")[:2])
    ours = installed_versions()
    return None if all(ours[name] == told for name, told in theirs.items()) else ours | theirs
