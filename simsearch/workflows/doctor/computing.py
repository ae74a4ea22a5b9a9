"""Checks of what workers compute with: versions, devices, memory, threads, scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.runtime.clusters.versions import differences
from simsearch.runtime.clusters.workers import ALLOCATOR, TASKS
from simsearch.runtime.tasks.needs import USUAL, fits
from simsearch.workflows.doctor.cluster_facts import grouped
from simsearch.workflows.doctor.findings import Finding, counted, gib, or_fine

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from simsearch.runtime.tasks.needs import Need
    from simsearch.workflows.doctor.cluster_facts import ClusterFacts, WorkerFacts

NETWORK_FILE_SYSTEMS = (
    "nfs",
    "lustre",
    "gpfs",
    "beegfs",
    "cifs",
    "smb",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "9p",
    "afs",
)
_LEAST_SCRATCH_BYTES = 2**30
_CROWDED = 1.5  # threads to a core, from where on they keep each other waiting
_SAME_MACHINE_REMEDY = "start fewer on this machine, or give each less with `--memory-limit`"


def check_workers(cluster: ClusterFacts, strangers: Collection[str] = ()) -> list[Finding]:
    """Check that there are workers, and that all answer but strangers, which cannot for their versions."""
    findings = [
        Finding("workers", "problem", answer.reason, "look at its log, and start it again", (f"worker {address}",))
        for address, answer in cluster.silent.items()
        if answer.is_late or address not in strangers
    ]
    if not cluster.workers and not findings:
        remedy = f"start some with `dask worker {cluster.scheduler_address}`"
        return [Finding("workers", "problem", f"none at {cluster.scheduler_address}", remedy)]
    words = f"{counted(len(cluster.workers), 'worker')} on {counted(len(cluster.hosts), 'machine')} answer"
    return or_fine("workers", findings, words)


def check_versions(here: Mapping[str, str], there: Mapping[str, Mapping[str, str] | None]) -> list[Finding]:
    """Check that all processes have the versions of this one."""
    remedy = "install all from one constraints.txt, or use one image or environment that all machines share"
    findings = [
        Finding("versions", "problem", difference.replace(f" on {place}", ""), remedy, (place,))
        for place, versions in there.items()
        for difference in differences(here, {place: versions})
    ]
    known = ", ".join(f"{name} {here[name]}" for name in ("python", "simsearch", "dask", "torch") if name in here)
    return or_fine("versions", findings, f"the same everywhere: {known}")


def check_devices(cluster: ClusterFacts) -> list[Finding]:
    """Check that processes use the GPUs of their machine, and each another."""
    remedy = "look whether torch can be imported there, and whether its disk answers"
    findings = [
        Finding("devices", "warning", "does not tell its devices and threads", remedy, (worker.place,))
        for worker in cluster.workers
        if worker.devices is None
    ]
    for host, workers in cluster.hosts.items():
        findings += _devices_of(host, [worker for worker in workers if worker.devices and worker.devices.n_gpus])
    n_gpus = sum(max((w.devices.n_gpus for w in ws if w.devices), default=0) for ws in cluster.hosts.values())
    return or_fine("devices", findings, f"{counted(n_gpus, 'GPU')}, each with one process" if n_gpus else "no GPU")


def _devices_of(host: str, workers: list[WorkerFacts]) -> Iterator[Finding]:
    first_gpus: dict[tuple[int, str], WorkerFacts] = {}
    for worker in workers:
        devices, visible = worker.devices, _variable(worker, "CUDA_VISIBLE_DEVICES")
        if devices is None:
            continue
        n_gpus = counted(devices.n_gpus, "GPU")
        if devices.cuda is None:
            remedy = "install a torch that is built with CUDA there"
            yield Finding(
                "devices", "problem", f"{host} has {n_gpus}, and torch is built without", remedy, (worker.place,)
            )
        elif visible is not None and visible.strip() in ("", "-1", "NoDevFiles"):
            remedy = "unset CUDA_VISIBLE_DEVICES there, or leave it so to compute on the CPU"
            yield Finding("devices", "warning", f"{host} has {n_gpus}, which are hidden", remedy, (worker.place,))
        elif not devices.is_usable:
            remedy = "look at what nvidia-smi says there: the driver must know this torch's CUDA"
            found = f"{host} has {n_gpus}, and torch for CUDA {devices.cuda} cannot use it"
            yield Finding("devices", "problem", found, remedy, (worker.place,))
        else:
            first_gpus.setdefault((worker.process.pid, (visible or "0").split(",")[0].strip()), worker)
    yield from _shared_gpus(host, first_gpus)
    n_gpus_there = max((worker.devices.n_gpus for worker in workers if worker.devices), default=0)
    if 0 < len(first_gpus) < n_gpus_there:
        found = f"{host} has {counted(n_gpus_there, 'GPU')}, of which {len(first_gpus)} at most is used"
        yield Finding(
            "devices", "warning", found, "start a worker for each GPU, with a CUDA_VISIBLE_DEVICES of its own"
        )


def _shared_gpus(host: str, first_gpus: Mapping[tuple[int, str], WorkerFacts]) -> Iterator[Finding]:
    for gpu in dict.fromkeys(gpu for _, gpu in first_gpus):
        sharing = [worker.place for (_, other), worker in first_gpus.items() if other == gpu]
        if len(sharing) > 1:
            found = f"{len(sharing)} processes compute on GPU {gpu} of {host}"
            remedy = "start one for each GPU, with a CUDA_VISIBLE_DEVICES of its own (--cluster cuda does)"
            yield Finding("devices", "problem", found, remedy, tuple(sharing))


def check_memory(cluster: ClusterFacts, need: Need = USUAL) -> list[Finding]:
    """Check that each worker may have what a tile needs, and that all together have no more than there is."""
    findings: list[Finding] = []
    for worker in cluster.workers:
        alike = [w for w in cluster.workers if _memory_group(w) == _memory_group(worker)]
        share = worker.memory_bytes or worker.process.limit_bytes // len(alike)
        needed_bytes = need.of(worker.n_tasks)
        if not fits(needed_bytes, share):
            found = f"{gib(share)} for a worker, and its largest tile needs {gib(needed_bytes)}"
            remedy = "start fewer on this machine, each with more"
            findings.append(Finding("memory", "problem", found, remedy, (worker.place,)))
    for (host, _), workers in grouped(cluster.workers, _memory_group).items():
        together, limit = sum(worker.memory_bytes for worker in workers), workers[0].process.limit_bytes
        if together > limit:
            whose = "its container or job" if limit < workers[0].process.machine_bytes else "the machine"
            found = f"workers on {host} may take {gib(together)}, {whose} has {gib(limit)}"
            places = tuple(worker.place for worker in workers)
            findings.append(Finding("memory", "problem", found, _SAME_MACHINE_REMEDY, places))
    least = min((worker.memory_bytes or worker.process.limit_bytes for worker in cluster.workers), default=0)
    return or_fine("memory", findings, f"{gib(least)} or more for each worker, which is enough")


def check_threads(cluster: ClusterFacts) -> list[Finding]:
    """Check that the threads of all processes of a machine are about as many as its cores."""
    findings: list[Finding] = []
    for host, workers in cluster.hosts.items():
        threads = {w.process.pid: w.devices.n_threads for w in workers if w.devices and not w.devices.is_usable}
        together, n_cores = sum(threads.values()), workers[0].process.cores
        n, shown = counted(len(threads), "process"), counted(n_cores, "core")
        places = tuple(worker.place for worker in workers)
        if together > _CROWDED * n_cores:
            remedy = f"set OMP_NUM_THREADS={max(1, n_cores // len(threads))} before `dask worker`"
            found = f"{n} with {counted(together, 'thread')} together on {shown} of {host}"
            findings.append(Finding("threads", "problem", found, remedy, places))
        elif threads and together < n_cores / _CROWDED:
            remedy = f"start {n_cores} processes there (`--nworkers {n_cores}`), or set OMP_NUM_THREADS"
            found = f"{n} with {counted(together, 'thread')} together leave some of {shown} of {host} idle"
            findings.append(Finding("threads", "warning", found, remedy, places))
        findings += (
            Finding(
                "threads",
                "warning",
                "1 task at a time: it waits for what it reads",
                f"compute with --cluster threads:{TASKS}" if _is_here(cluster, w) else f"add --nthreads {TASKS}",
                (w.place,),
            )
            for w in workers
            if w.n_tasks < TASKS
        )
    return or_fine("threads", findings, "about as many as cores")


def check_allocator(cluster: ClusterFacts) -> list[Finding]:
    """Check that workers know how large tensors are, before they have mapped the first."""
    findings = []
    for worker in cluster.workers:
        missing = [
            f"{n}={ALLOCATOR[n]}" for n in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX") if not _variable(worker, n)
        ]
        if missing and not _is_here(cluster, worker):
            remedy = f"export {' '.join(missing)} before `dask worker`"
            found = "tensors are mapped anew each time, which is slower"
            findings.append(Finding("allocator", "warning", found, remedy, (worker.place,)))
    return or_fine("allocator", findings, "keeps memory for the next tensor")


def check_scratch(cluster: ClusterFacts) -> list[Finding]:
    """Check that workers put data aside on a disk of their own, with space."""
    findings = []
    for worker in cluster.workers:
        folder = worker.scratch_folder
        if folder is None:
            found = f"{worker.scratch} is not looked at in time"
            remedy = "add --local-directory with a folder on a disk of that machine"
            findings.append(Finding("scratch", "warning", found, remedy, (worker.place,)))
        elif folder.file_system.lower().startswith(NETWORK_FILE_SYSTEMS):
            found = f"{worker.scratch} is on a network file system ({folder.file_system})"
            remedy = "add --local-directory with a folder on a disk of that machine"
            findings.append(Finding("scratch", "problem", found, remedy, (worker.place,)))
        elif folder.free_bytes < _LEAST_SCRATCH_BYTES:
            found = f"{worker.scratch} has {gib(folder.free_bytes)} free"
            remedy = "make space, or add --local-directory with another folder"
            findings.append(Finding("scratch", "warning", found, remedy, (worker.place,)))
    return or_fine("scratch", findings, "on disks of the machines, with space")


def _is_here(cluster: ClusterFacts, worker: WorkerFacts) -> bool:
    """Tell whether a worker is threads of the process that asks."""
    return (worker.process.host, worker.process.pid) == (cluster.client.host, cluster.client.pid)


def _memory_group(worker: WorkerFacts) -> tuple[str, str]:
    is_limited = worker.process.limit_bytes < worker.process.machine_bytes
    return worker.process.host, worker.process.cgroup if is_limited else ""


def _variable(worker: WorkerFacts, name: str) -> str | None:
    return dict(worker.process.environment).get(name)
