"""Each check finds the fault that is planted in its facts, and nothing in sound ones."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from simsearch.runtime.asking import Answered, Unanswered
from simsearch.runtime.tasks.survey import DeviceFacts, FolderFacts, ProcessFacts
from simsearch.workflows.doctor import computing, network
from simsearch.workflows.doctor.cluster_facts import ClusterFacts, WorkerFacts
from simsearch.workflows.doctor.inputs import check_input
from simsearch.workflows.doctor.outputs import OutputFacts, check_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.workflows.doctor.findings import Finding

GIB = 2**30
PROCESS = ProcessFacts(
    host="node1",
    pid=1,
    cores=2,
    machine_bytes=16 * GIB,
    limit_bytes=16 * GIB,
    environment=(("MALLOC_MMAP_THRESHOLD_", "1073741824"), ("MALLOC_ARENA_MAX", "1")),
    listening=(("127.0.0.1", 8787), ("10.0.0.1", 4001), ("10.0.0.1", 4002)),
    interfaces=(("127.0.0.1", "lo"), ("10.0.0.1", "eth0")),
)
CPU = DeviceFacts(n_gpus=0, cuda=None, is_usable=False, n_threads=1)
GPU = DeviceFacts(n_gpus=2, cuda="12.8", is_usable=True, n_threads=1)
WORKER = WorkerFacts(
    "tls://10.0.0.1:4001",
    PROCESS,
    memory_bytes=4 * GIB,
    scratch="/tmp/dask",
    dashboard=8787,
    devices=CPU,
    scratch_folder=FolderFacts("ext4", 100 * GIB),
)
SECOND = replace(WORKER, address="tls://10.0.0.1:4002", process=replace(PROCESS, pid=2))
CLUSTER = ClusterFacts(
    replace(PROCESS, host="laptop", pid=9), "tls://10.0.0.9:8786", replace(PROCESS, host="head"), 8787, (WORKER, SECOND)
)
CHECKS = (
    computing.check_workers,
    network.check_encryption,
    network.check_dashboards,
    network.check_interfaces,
    network.check_clocks,
    computing.check_devices,
    computing.check_memory,
    computing.check_threads,
    computing.check_allocator,
    computing.check_scratch,
)
BOTH = ("tls://10.0.0.1:4001 on node1", "tls://10.0.0.1:4002 on node1")


def of(worker: dict[str, Any] | None = None, **process: object) -> ClusterFacts:
    """Plant facts in both workers."""
    changed = [replace(each, process=replace(each.process, **process), **(worker or {})) for each in (WORKER, SECOND)]
    return replace(CLUSTER, workers=tuple(changed))


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_cluster_is_fine(check: Callable[[ClusterFacts], list[Finding]]) -> None:
    (finding,) = check(CLUSTER)
    assert (finding.level, finding.remedy) == ("ok", "")


def on_gpus(*visible: str | None, devices: DeviceFacts = GPU) -> ClusterFacts:
    workers = [
        replace(
            WORKER,
            address=f"tls://10.0.0.1:400{n}",
            devices=devices,
            process=replace(PROCESS, pid=n, environment=() if each is None else (("CUDA_VISIBLE_DEVICES", each),)),
        )
        for n, each in enumerate(visible)
    ]
    return replace(CLUSTER, workers=tuple(workers))


FAULTS: dict[str, tuple[Callable[[ClusterFacts], list[Finding]], ClusterFacts, str, str]] = {
    "no worker": (computing.check_workers, replace(CLUSTER, workers=()), "problem", "none at tls://10.0.0.9:8786"),
    "a silent worker": (
        computing.check_workers,
        replace(CLUSTER, silent={"tls://10.0.0.2:1": Unanswered("no answer in 60 s", is_late=True)}),
        "problem",
        "no answer in 60 s",
    ),
    "a plain scheduler off loopback": (
        network.check_encryption,
        replace(CLUSTER, scheduler_address="tcp://10.0.0.9:8786"),
        "problem",
        "takes tasks from whoever reaches 10.0.0.9:8786",
    ),
    "a plain scheduler reached over loopback that listens to all": (
        network.check_encryption,
        replace(
            CLUSTER,
            scheduler_address="tcp://127.0.0.1:8786",
            scheduler=replace(PROCESS, listening=(("0.0.0.0", 8786),)),
        ),
        "problem",
        "takes tasks from whoever reaches 0.0.0.0:8786",
    ),
    "plain workers": (
        network.check_encryption,
        replace(CLUSTER, workers=(replace(WORKER, address="tcp://10.0.0.1:4001"),)),
        "problem",
        "10.0.0.1:4001",
    ),
    "a dashboard for all": (
        network.check_dashboards,
        replace(CLUSTER, scheduler=replace(PROCESS, listening=(("0.0.0.0", 8787),))),
        "problem",
        "Dask's pages, which have no login, are shown to the network on port 8787",
    ),
    "a worker's dashboard for all": (
        network.check_dashboards, of(listening=(("::", 8787),)), "problem", "shown to the network on port 8787"
    ),
    "a worker that others do not reach": (
        network.check_interfaces, of({"address": "tls://127.0.0.1:4001"}), "problem", "machines cannot reach 127.0.0.1"
    ),
    "two networks": (
        network.check_interfaces,
        replace(
            CLUSTER, workers=(WORKER, replace(SECOND, process=replace(PROCESS, interfaces=(("10.0.0.1", "ib0"),))))
        ),
        "warning",
        "several kinds: eth, ib",
    ),
    "a clock that is off": (network.check_clocks, of({"ahead_s": -8.0}), "warning", "clock of node1 is 8 s behind"),
    "a clock that is far off": (network.check_clocks, of({"ahead_s": 900.0}), "problem", "900 s ahead"),
    "two processes on one GPU": (computing.check_devices, on_gpus(None, None), "problem", "2 processes compute on GPU"),
    "torch without CUDA": (
        computing.check_devices, on_gpus("0", devices=replace(GPU, cuda=None)), "problem", "2 GPUs, and torch is built"
    ),
    "a driver that is too old": (
        computing.check_devices,
        on_gpus("0", devices=replace(GPU, is_usable=False)),
        "problem",
        "torch for CUDA 12.8 cannot use it",
    ),
    "GPUs that are hidden": (computing.check_devices, on_gpus("", "-1"), "warning", "2 GPUs, which are hidden"),
    "a worker whose torch cannot be loaded": (
        computing.check_devices, of({"devices": None}), "warning", "does not tell its devices"
    ),
    "scratch that hangs": (computing.check_scratch, of({"scratch_folder": None}), "warning", "/tmp/dask is not looked"),
    "an idle GPU": (computing.check_devices, on_gpus("1"), "warning", "2 GPUs, of which 1 at most is used"),
    "too little memory for a tile": (
        computing.check_memory, of({"memory_bytes": GIB}), "problem", "1.0 GiB for a worker, and its largest tile"
    ),
    "no limit, and too little for all": (
        computing.check_memory, of({"memory_bytes": 0}, limit_bytes=2 * GIB), "problem", "1.0 GiB for a worker"
    ),
    "limits beyond the machine": (
        computing.check_memory,
        of({"memory_bytes": 10 * GIB}),
        "problem",
        "workers on node1 may take 20.0 GiB, the machine has 16.0 GiB",
    ),
    "limits beyond the container": (
        computing.check_memory, of(limit_bytes=6 * GIB, cgroup="0::/job"), "problem", "its container or job has 6.0 GiB"
    ),
    "too many threads": (
        computing.check_threads,
        of({"devices": replace(CPU, n_threads=2)}),
        "problem",
        "2 processes with 4 threads together on 2 cores of node1",
    ),
    "idle cores": (computing.check_threads, of(cores=16), "warning", "leave some of 16 cores of node1 idle"),
    "nobody reads meanwhile": (computing.check_threads, of({"n_tasks": 1}), "warning", "1 task at a time"),
    "no word to glibc": (computing.check_allocator, of(environment=()), "warning", "mapped anew"),
    "scratch on NFS": (
        computing.check_scratch,
        of({"scratch_folder": FolderFacts("nfs4", GIB * 100)}),
        "problem",
        "/tmp/dask is on a network file system (nfs4)",
    ),
    "full scratch": (
        computing.check_scratch, of({"scratch_folder": FolderFacts("ext4", 2**20)}), "warning", "has 0.0 GiB free"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("check", "cluster", "level", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_fault_is_found_with_a_remedy(
    check: Callable[[ClusterFacts], list[Finding]], cluster: ClusterFacts, level: str, words: str
) -> None:
    (finding,) = check(cluster)
    assert finding.level == level
    assert words in finding.found
    assert finding.remedy
    assert "\n" not in finding.found + finding.remedy


def test_a_worker_that_cannot_answer_for_its_versions_is_told_of_once() -> None:
    cluster = replace(CLUSTER, silent={"tls://10.0.0.2:1": Unanswered("ImportError: simsearch")})
    assert [each.level for each in computing.check_workers(cluster)] == ["problem"]
    assert [each.level for each in computing.check_workers(cluster, {"tls://10.0.0.2:1"})] == ["ok"]


def test_what_is_wrong_with_all_workers_is_one_finding() -> None:
    (finding,) = computing.check_allocator(of(environment=()))
    assert finding.places == BOTH
    assert finding.remedy == "export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_ARENA_MAX=1 before `dask worker`"


def test_threads_of_this_process_are_told_how_to_be_two() -> None:
    alone = replace(CLUSTER, workers=(replace(WORKER, n_tasks=1, process=replace(PROCESS, cores=1)),))
    (elsewhere,) = computing.check_threads(alone)
    assert elsewhere.remedy == "add --nthreads 2"
    (here,) = computing.check_threads(replace(alone, client=alone.workers[0].process))
    assert here.remedy == "compute with --cluster threads:2"


def test_each_process_with_a_gpu_of_its_own_is_fine() -> None:
    assert [each.level for each in computing.check_devices(on_gpus("0", "1"))] == ["ok"]
    assert [each.level for each in computing.check_devices(on_gpus("GPU-a,GPU-b", "GPU-b,GPU-a"))] == ["ok"]


def test_jobs_with_limits_of_their_own_do_not_share_one() -> None:
    jobs = [
        replace(each, process=replace(each.process, limit_bytes=5 * GIB, cgroup=f"0::/job{n}"))
        for n, each in enumerate((WORKER, SECOND))
    ]
    assert [each.level for each in computing.check_memory(replace(CLUSTER, workers=tuple(jobs)))] == ["ok"]


def test_what_was_asked_for_is_a_warning() -> None:
    plain = replace(CLUSTER, scheduler_address="tcp://10.0.0.9:8786")
    assert [each.level for each in network.check_encryption(plain, insecure=True)] == ["warning"]


def test_all_versions_that_differ_are_listed() -> None:
    here = {"python": "3.12", "simsearch": "1", "dask": "2"}
    assert [each.level for each in computing.check_versions(here, {"scheduler": here})] == ["ok"]
    other = {"python": "3.11", "simsearch": "1", "dask": "1"}
    found = computing.check_versions(here, {"scheduler": here, "worker a": other, "worker b": None, "worker c": other})
    assert [(each.level, each.found, each.places) for each in found] == [
        ("problem", "python 3.11, 3.12 here", ("worker a", "worker c")),
        ("problem", "dask 1, 2 here", ("worker a", "worker c")),
        ("problem", "no simsearch", ("worker b",)),
    ]


def test_a_port_that_is_taken_is_found() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (finding,) = network.check_port(port)
        assert (finding.level, finding.places) == ("problem", ("client",))
        assert f"port {port} cannot be had" in finding.found


def test_the_port_that_nobody_asked_for_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(network, "DEFAULT_PORT", taken.getsockname()[1])
        assert [each.level for each in network.check_port()] == ["warning"]
    assert [each.level for each in network.check_port()] == ["ok"]


def test_a_worker_that_does_not_see_an_input_is_named() -> None:
    missing = Unanswered("/d/a.zarr: expected an OME-Zarr, got nothing there: check the path")
    there = {
        "one": Answered("same"),
        "two": missing,
        "three": Answered("other"),
        "four": Unanswered("no answer in 60 s"),
    }
    found = check_input("/d/a.zarr", Answered("same"), there)
    assert [(each.found, each.places) for each in found] == [
        ("/d/a.zarr: is not read there (nothing there)", ("two",)),
        ("/d/a.zarr: is something else there", ("three",)),
        ("/d/a.zarr: is not read there (no answer in 60 s)", ("four",)),
    ]
    assert {each.level for each in found} == {"problem"}
    assert all("mount the same file system" in each.remedy for each in found)


def test_an_input_that_is_not_read_here_is_told_in_its_own_words() -> None:
    reason = "/d/a.zarr: expected an OME-Zarr, got nothing there: check the path"
    (finding,) = check_input("/d/a.zarr", Unanswered(reason), {"one": Answered("same")})
    assert (finding.found, finding.remedy) == tuple(reason.rsplit(": ", 1))
    assert finding.places == ("client",)


OUT = OutputFacts(
    "/d/out",
    free_bytes=10 * GIB,
    seen_there={"one": Answered("probe")},
    written_there={"one": Answered("other")},
    seen_here=frozenset({"one"}),
    locked_there={"one": Answered(False)},
)


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"seen_there": {"one": Answered(None)}, "written_there": {}}, "problem", "is not seen there"),
        ({"seen_there": {"one": Unanswered("no answer in 60 s")}, "written_there": {}}, "problem", "no answer in 60 s"),
        (
            {
                "written_there": {
                    "one": Unanswered("/d/out: expected to write there, got Read-only file system: let it")
                }
            },
            "problem",
            "got Read-only file system",
        ),
        ({"seen_here": frozenset()}, "problem", "what is written there is not seen here"),
        ({"locked_there": {"one": Answered(True)}}, "warning", "a lock of this process does not hold there"),
        ({"is_lockable": None, "locked_there": {"one": Answered(None)}}, "warning", "files cannot be locked"),
        ({"free_bytes": 2**20}, "warning", "0.0 GiB free"),
    ],
)
def test_what_is_wrong_with_an_output_is_found(changes: dict[str, Any], level: str, words: str) -> None:
    assert [each.level for each in check_output(OUT)] == ["ok"]
    (finding,) = check_output(replace(OUT, **changes))
    assert finding.level == level
    assert words in finding.found
    assert finding.found.startswith("/d/out: ")
    assert finding.remedy
