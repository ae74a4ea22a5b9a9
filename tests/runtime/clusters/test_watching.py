"""Dask's dashboard, metrics and report: on request, and for this machine only."""

from __future__ import annotations

import os
import re
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from simsearch.cli import main
from simsearch.errors import ClusterError, ConfigError, StoreError
from simsearch.runtime import ClusterSpec, open_cluster, resolve_cluster
from simsearch.runtime.clusters.watching import dashboard_link
from simsearch.runtime.events import Noted
from simsearch.runtime.submit import run_tasks

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

    from simsearch.runtime.events import Event
    from tests.conftest import SaveImage

NOTE = re.compile(r"Dask's dashboard is at (http://127\.0\.0\.1:\d+/status), for who is on this machine")


def get(link: str, path: str, **headers: str) -> tuple[int, str]:
    connection = HTTPConnection(urlsplit(link).netloc, timeout=60)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    try:
        return answer.status, "" if answer.status == 101 else answer.read().decode()
    finally:
        connection.close()


def heard_at(port: int) -> set[str]:
    sockets = psutil.Process(os.getpid()).net_connections("inet")
    return {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN and each.laddr.port == port}


def open_watched(kind: str) -> tuple[Any, list[Event]]:
    events: list[Event] = []
    return open_cluster(resolve_cluster(kind, {"SIMSEARCH_CLUSTER_DASHBOARD": "yes"}), observe=events.append), events


@pytest.mark.parametrize("kind", ["threads:1", pytest.param("local:1", marks=pytest.mark.cluster)])
def test_the_dashboard_and_metrics_are_shown_to_this_machine_only(kind: str) -> None:
    opened, events = open_watched(kind)
    with opened as client:
        (noted,) = events
        assert isinstance(noted, Noted)
        link = NOTE.fullmatch(noted.note)[1]  # type: ignore[index]  # or the test fails
        status, page = get(link, "/status")
        assert (status, "Dask" in page) == (200, True)
        assert heard_at(int(urlsplit(link).port or 0)) == {"127.0.0.1"}
        list(run_tasks(client, abs, [-1, 2], step="x"))
        status, metrics = get(link, "/metrics")
        assert status == 200
        assert re.search(
            r'^dask_scheduler_workers\{state="(idle|saturated|partially_saturated)"\} 1\.0$', metrics, re.M
        )
        assert "dask_scheduler_tasks" in metrics
    with pytest.raises(OSError, match="refused"):
        get(link, "/status")


def test_other_pages_in_the_browser_cannot_listen_to_the_dashboard() -> None:
    opened, _ = open_watched("threads:1")
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    with opened as client:
        link = dashboard_link(client)
        own = link.removesuffix("/status")
        assert get(link, "/status/ws", Origin="http://elsewhere.example", **upgrade)[0] == 403
        assert get(link, "/status/ws", Origin=own, **upgrade)[0] == 101
        assert get(link, "/status/ws", Origin=own.replace("127.0.0.1", "localhost"), **upgrade)[0] == 101


def test_without_being_asked_there_is_no_dashboard(client: Client) -> None:
    link = dashboard_link(client)
    assert get(link, "/status")[0] == 404
    assert get(link, "/metrics")[0] == 200


@pytest.mark.parametrize("wanted", ["kubernetes", "tls://node7:8786"])
def test_a_dashboard_that_is_elsewhere_is_refused_with_where_to_look(wanted: str) -> None:
    words = rf"^expected a scheduler on this machine for its dashboard \(local, threads, cuda, slurm\), got {wanted}: "
    run = CliRunner().invoke(main, ["doctor", "--cluster", wanted, "--dashboard"])
    assert run.exit_code == 2
    assert re.match(words.replace("^", "^Error: "), run.stderr)
    with pytest.raises(ConfigError, match=words):
        ClusterSpec("kubernetes" if wanted == "kubernetes" else "address", address=wanted, dashboard=True)


def test_a_report_of_the_run_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "new" / "report.html"
    with open_cluster(ClusterSpec("threads", workers=1, report=file)) as client:
        list(run_tasks(client, abs, [-1, 2], step="x"))
        assert not file.exists()
    text = file.read_text(encoding="utf-8")
    assert "Dask Performance Report" in text
    assert "run_task" in text
    assert re.findall(r"""<(?:script|link)\s[^>]{0,200}(?:src|href)=["'](?!data:)""", text) == []
    assert [path.name for path in file.parent.iterdir()] == ["report.html"]


def test_no_report_is_written_of_a_run_that_fails_whose_error_is_told(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    with pytest.raises(ClusterError, match="its own"), open_cluster(ClusterSpec("threads", workers=1, report=file)):
        raise ClusterError("its own")
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    spec = ClusterSpec("threads", workers=1, report=tmp_path / "taken" / "report.html")
    with pytest.raises(StoreError, match=r"report.html: expected to write, got"), open_cluster(spec):
        raise AssertionError("it was opened")
    with pytest.raises(ConfigError, match=r"expected a path on this machine as report, got 's3://b/r.html'"):
        resolve_cluster("threads", {"SIMSEARCH_CLUSTER_REPORT": "s3://b/r.html"})


def test_a_command_prints_where_its_dashboard_is_and_writes_its_report(save_image: SaveImage, tmp_path: Path) -> None:
    image = save_image(tmp_path / "a.ome.zarr", np.arange(64 * 64, dtype=np.uint16).reshape(1, 64, 64))
    words = ["measure", image.path, "--cluster", "threads:1", "--dashboard", "--report", str(tmp_path / "r.html")]
    run = CliRunner(catch_exceptions=False).invoke(main, words)
    assert run.exit_code == 0, run.output
    assert len(NOTE.findall(run.output)) == 1
    assert (tmp_path / "r.html").exists()
