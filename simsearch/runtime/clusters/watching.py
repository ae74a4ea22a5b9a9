"""Dask's own pages and its report of a run, for whoever wants to see where time and memory go."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING, Any

import dask
from distributed import performance_report

from simsearch.core.checks.places import local_path
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.runtime.clusters.workers import LOOPBACK, SCHEDULER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

_ICON = re.compile(r'<link rel="shortcut icon"[^>]*>')
_ORIGINS = "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin"


@contextmanager
def pages(is_shown: bool) -> Iterator[dict[str, Any]]:
    """Choose how a scheduler that is started meanwhile shows its pages: on loopback, the dashboard if it is wanted.

    Yields
    ------
    dict
        Options of `distributed.Scheduler`.
    """
    if not is_shown:
        yield SCHEDULER
        return
    port = _free_port()
    # By default any page that a browser shows may open a connection to the dashboard, and hear what Dask tells there.
    origins = [f"{name}:{port}" for name in (LOOPBACK, "localhost")]
    with dask.config.set({_ORIGINS: origins}):
        yield {"dashboard": True, "dashboard_address": f"{LOOPBACK}:{port}"}


def dashboard_link(client: Client) -> str:
    """Tell where the dashboard of a scheduler is that was started with `pages`."""
    # Not that of the client, which takes the host from the scheduler's address.
    port = client.scheduler_info(n_workers=0)["services"]["dashboard"]
    return f"http://{LOOPBACK}:{port}/status"


@contextmanager
def reported(client: Client, path: Path | None) -> Iterator[None]:
    """Write Dask's performance report of what a cluster does meanwhile, as one HTML file; without a path, nothing.

    Raises
    ------
    StoreError
        If the file cannot be written, before anything is done.
    """
    if path is None:
        yield
        return
    path = local_path(path)
    with store_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=path.parent).close()
    with TemporaryDirectory() as folder, client.as_current():
        made = Path(folder) / "report.html"
        with performance_report(made, mode="inline"):
            yield
        text = _ICON.sub("", made.read_text(encoding="utf-8"))  # so that nothing is fetched to look at it
    with replacing_text(path) as file:
        file.write(text)


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        return int(trial.getsockname()[1])
