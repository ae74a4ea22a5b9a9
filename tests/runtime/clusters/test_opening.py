from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster, Security

from simsearch.errors import ClusterError, ConfigError
from simsearch.runtime import ClusterSpec, open_cluster
from simsearch.runtime.clusters import address as module
from simsearch.runtime.clusters import versions
from simsearch.runtime.clusters.workers import worker_shape

GIB = 2**30


@pytest.mark.parametrize("address", ["", "cloud", "local:0", "local:-1", "local:two", "threads:0", "local:1.5", "8786"])
def test_an_unknown_kind_of_cluster_is_refused_with_the_choices(address: str) -> None:
    with (
        pytest.raises(
            ConfigError, match=r"expected local, local:N, threads, threads:N, .*kubernetes:N, tcp://HOST:PORT.*, got "
        ),
        open_cluster(address),
    ):
        pass


@pytest.mark.parametrize("address", ["tcp://", "tcp://host-without-port", "ftp://127.0.0.1:21", "tls://127.0.0.1:8786"])
def test_an_address_that_cannot_be_one_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match=f"expected .* {address}, got "), open_cluster(address):
        pass


def test_slurm_wants_a_number_of_jobs_a_walltime_and_sbatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(ConfigError, match="expected Slurm's sbatch for --cluster slurm, got none: run this on a login"),
        open_cluster("slurm:2"),
    ):
        pass
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    with (
        pytest.raises(ConfigError, match=r"expected --cluster slurm to say how many jobs, .*slurm:8 submits 8"),
        open_cluster("slurm"),
    ):
        pass
    for walltime in ("", "0", "1:2:3:4", "UNLIMITED", "00:00:59", "-1"):
        with (
            pytest.raises(ConfigError, match=f"expected a walltime of a minute or more, got '{walltime}'"),
            open_cluster(ClusterSpec("slurm", workers=1, walltime=walltime)),
        ):
            pass


def test_a_cluster_that_does_not_answer_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can answer there
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ClusterError, match=rf"scheduler at {address}, got .*dask scheduler"), open_cluster(address):
            pass


def test_a_cluster_without_workers_is_refused() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=":0") as empty,
        pytest.raises(ClusterError, match=rf"expected workers at {empty.scheduler_address}, got none: start some"),
        open_cluster(empty.scheduler_address),
    ):
        pass


def test_a_running_cluster_is_used_and_left_running() -> None:
    with (
        LocalCluster(n_workers=2, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0") as running,
        Client(running) as owner,
    ):
        with open_cluster(running.scheduler_address) as visitor:
            assert len(visitor.nthreads()) == 2
            assert visitor.submit(sum, [1, 2]).result() == 3
        assert owner.submit(sum, [1, 3]).result() == 4


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:8786", "tcp://node7:8786"])
def test_a_scheduler_on_another_machine_is_reached_by_tls_or_on_request(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match=f"expected tls:// .*, got {address}: .*--insecure"), open_cluster(address):
        pass
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.01)
    with (
        pytest.raises(ClusterError, match=f"expected a Dask scheduler at {address}"),
        open_cluster(ClusterSpec("address", address=address, insecure=True)),
    ):
        pass


def test_a_cluster_of_other_versions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCluster(
        n_workers=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0"
    ) as running:
        older = {**versions.installed_versions(), "simsearch": "0.0.1"}
        monkeypatch.setattr(versions, "gather_versions", lambda client: {"scheduler": older})
        with (
            pytest.raises(ClusterError, match=r"same versions everywhere, got simsearch 0.0.1 on scheduler, .* here:"),
            open_cluster(running.scheduler_address),
        ):
            pass


def listening(pids: set[int]) -> set[str]:
    """Tell at which addresses processes listen, the ports left out."""
    return {
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_threads_listen_at_the_loopback_interface_only() -> None:
    before = listening({os.getpid()})
    with open_cluster("threads:1"):
        assert listening({os.getpid()}) - before <= {"127.0.0.1", "::1"}


@pytest.mark.cluster
def test_processes_listen_at_the_loopback_interface_only(processes: Client) -> None:
    family = {*processes.run(os.getpid).values(), *processes.run(os.getpid, nanny=True).values()}
    assert listening(family) == {"127.0.0.1"}


@pytest.mark.cluster
def test_nobody_else_on_the_machine_can_give_tasks_to_our_workers(processes: Client) -> None:
    addresses = [processes.cluster.scheduler_address, *processes.nthreads()]
    assert {address.partition("://")[0] for address in addresses} == {"tls"}
    stranger = Security.temporary()
    for address in addresses:
        for security in (stranger, None):
            with pytest.raises((OSError, TypeError, RuntimeError)):
                Client(address.replace("tls", "tls" if security else "tcp"), security=security, timeout=2)


SCHEDULER = """
import time
from distributed import LocalCluster

with LocalCluster(n_workers=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0") as cluster:
    print(cluster.scheduler_address, flush=True)
    time.sleep(120)
"""
RUN_WHOSE_SCHEDULER_IS_KILLED = f"""
import subprocess, sys, time
from simsearch.errors import ClusterError
from simsearch.runtime import open_cluster
from simsearch.runtime.submit import run_tasks

scheduler = subprocess.Popen([sys.executable, "-c", {SCHEDULER!r}], stdout=subprocess.PIPE, text=True)
try:
    with open_cluster(scheduler.stdout.readline().strip()) as client:
        for n, outcome in enumerate(run_tasks(client, time.sleep, [0.2] * 100, step="nap")):
            if n == 2:
                scheduler.kill()
except ClusterError as error:
    print(error)
    sys.exit(7)
finally:
    scheduler.kill()
"""


@pytest.mark.cluster
def test_a_scheduler_that_dies_ends_a_run_with_the_way_to_go_on() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", RUN_WHOSE_SCHEDULER_IS_KILLED],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert re.match(r"expected the Dask scheduler at tcp://127.0.0.1:\d+ to go on answering, got no ", done.stdout)
    assert done.stderr == ""


@pytest.mark.cluster
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_a_command_while_its_cluster_starts_sees_one_line(tmp_path: Path, number: signal.Signals) -> None:
    np.save(tmp_path / "a.npy", np.zeros((64, 64), np.uint8))
    command = [sys.executable, "-m", "simsearch", "convert", str(tmp_path / "a.npy"), str(tmp_path / "a.ome.zarr")]
    with subprocess.Popen(
        [*command, "--cluster", "local:1"], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            family = psutil.Process(process.pid)
            while not (workers := [each for each in family.children() if "spawn_main" in " ".join(each.cmdline())]):
                assert process.poll() is None
                time.sleep(0.01)
            os.killpg(process.pid, number)  # as terminals and batch systems do
            _, said = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130
    assert said == "Error: stopped: what is done is kept, and the same command goes on from there\n"
    assert not any(each.is_running() for each in workers)


@pytest.mark.cluster
def test_local_workers_are_processes_that_share_the_cores(processes: Client) -> None:
    n_cores = len(os.sched_getaffinity(0))
    pids = processes.run(os.getpid)
    assert len(set(pids.values()) | {os.getpid()}) == 3
    assert set(processes.nthreads().values()) == {2}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        assert set(processes.run(os.environ.get, name).values()) == {str(max(1, n_cores // 2))}


def test_threads_are_in_this_process(client: Client) -> None:
    assert set(client.run(os.getpid).values()) == {os.getpid()}
    assert sum(client.nthreads().values()) == len(os.sched_getaffinity(0))


def test_what_was_started_is_stopped_and_two_may_run_at_once() -> None:
    with open_cluster("threads:3") as first, open_cluster("threads:1") as second:
        assert (sum(first.nthreads().values()), sum(second.nthreads().values())) == (3, 1)
    assert first.status == second.status == "closed"
    assert first.cluster.status.name == "closed"


@pytest.mark.parametrize(
    ("n_cores", "gib", "n_workers", "expected"),
    [
        (8, 64, None, (8, 1)),
        (8, 4, None, (2, 4)),
        (2, 1, None, (1, 2)),  # at least one, however little memory there is
        (96, 1000, None, (96, 1)),
        (6, 8, None, (4, 1)),
        (8, 64, 3, (3, 2)),
        (2, 64, 5, (5, 1)),  # as many as asked for
    ],
)
def test_processes_and_threads_fill_the_machine_and_no_more(
    n_cores: int, gib: int, n_workers: int | None, expected: tuple[int, int]
) -> None:
    assert worker_shape(n_cores, gib * GIB, n_workers) == expected
