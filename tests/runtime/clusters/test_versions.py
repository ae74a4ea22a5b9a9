from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from distributed import LocalCluster

from simsearch.runtime import Client
from simsearch.runtime.clusters.versions import _merged, differences, gather_versions, installed_versions

if TYPE_CHECKING:
    from pathlib import Path


def test_client_scheduler_and_workers_tell_the_same(client: Client) -> None:
    found = gather_versions(client)
    assert {place.partition(" ")[0] for place in found} == {"scheduler", "worker"}
    assert list(differences(installed_versions(), found)) == []


def test_a_worker_that_has_gone_meanwhile_is_of_no_other_version(client: Client) -> None:
    (here,) = client.nthreads()
    assert set(gather_versions(client, [here, "inproc://127.0.0.1/1/1"])) == {"scheduler", f"worker {here}"}


def test_a_place_without_simsearch_is_named() -> None:
    ours = installed_versions()
    known = {"host": {"python": ours["python"] + ".4.final.0"}, "packages": {"dask": ours["dask"]}}
    assert list(differences(ours, {"worker a": _merged(known)})) == ["no simsearch on worker a"]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"host": {"python": "3.9.1.final.0"}, "packages": {}}, "python 3.9 on scheduler, "),
        ({"packages": {"dask": "2020.1"}}, "python ? on scheduler, "),
    ],
)
def test_another_python_is_told_though_it_cannot_be_asked(known: dict[str, object], expected: str) -> None:
    first, *_ = differences(installed_versions(), {"scheduler": _merged(known)})
    assert first.startswith(expected)


@pytest.mark.cluster
def test_a_worker_that_cannot_import_simsearch_is_found(tmp_path: Path) -> None:
    (tmp_path / "simsearch").mkdir()  # hides the real one
    (tmp_path / "simsearch" / "__init__.py").write_text("raise ImportError('none here')")
    with (
        LocalCluster(n_workers=0, protocol="tcp", host="127.0.0.1", dashboard_address=":0") as cluster,
        Client(cluster) as client,
        subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-nanny",
             "--dashboard-address", "127.0.0.1:0", "--host", "127.0.0.1", "--local-directory", str(tmp_path)],
            env=os.environ | {"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, stderr=subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        client.wait_for_workers(1, timeout=60)
        (worker,) = client.nthreads()
        found = list(differences(installed_versions(), gather_versions(client)))
        process.terminate()
    assert found == [f"no simsearch on worker {worker}"]
