"""What processes of a cluster tell of themselves and of the machine that they are on."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from simsearch.runtime.memory import core_count, memory_limit

_OWN_CGROUP = Path("/proc/self/cgroup")
_ASKED_FOR = ("OMP_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What a process tells of itself."""

    host: str
    pid: int
    cores: int
    """That it may use."""
    machine_bytes: int
    """Memory of the machine."""
    limit_bytes: int
    """Memory that it may have: the machine's, or less in a container, a batch job or a service."""
    cgroup: str = ""
    """What limits it, if anything does."""
    environment: tuple[tuple[str, str], ...] = ()
    """Those environment variables that matter and are set."""
    listening: tuple[tuple[str, int], ...] = ()
    """Addresses and ports."""
    interfaces: tuple[tuple[str, str], ...] = ()
    """Addresses of this machine, and the network interface that has each."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a process can compute on."""

    n_gpus: int
    """NVIDIA's, of the machine."""
    cuda: str | None
    """Version of CUDA that torch was built for; None for a build without."""
    is_usable: bool
    """Whether torch can compute on a GPU."""
    n_threads: int
    """Of torch, for one computation."""


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """Where a folder lies."""

    file_system: str
    """Its kind, such as ``ext4`` or ``nfs4``."""
    free_bytes: int


def survey_process() -> ProcessFacts:
    """Tell what is to be known of this process."""
    return ProcessFacts(
        host=socket.gethostname(),
        pid=os.getpid(),
        cores=core_count(),
        machine_bytes=int(psutil.virtual_memory().total),
        limit_bytes=memory_limit(),
        cgroup=_OWN_CGROUP.read_text().strip() if _OWN_CGROUP.exists() else "",
        environment=tuple((name, os.environ[name]) for name in _ASKED_FOR if name in os.environ),
        listening=tuple(
            (connection.laddr.ip, connection.laddr.port)
            for connection in psutil.Process().net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ),
        interfaces=tuple(
            (address.address.partition("%")[0], name)
            for name, addresses in psutil.net_if_addrs().items()
            for address in addresses
        ),
    )


def survey_devices() -> DeviceFacts:
    """Tell what this process can compute on."""
    import torch  # takes seconds: only where somebody computes

    return DeviceFacts(
        n_gpus=sum(path.name.removeprefix("nvidia").isdecimal() for path in Path("/dev").glob("nvidia[0-9]*")),
        cuda=torch.version.cuda,
        is_usable=torch.cuda.is_available(),
        n_threads=torch.get_num_threads(),
    )


def survey_folder(folder: str) -> FolderFacts:
    """Tell where a folder lies, or would lie if it was made."""
    place = Path(folder).absolute()
    there = next(each for each in (place, *place.parents) if each.exists()).resolve()
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    kind = next((mounts[each] for each in (there, *there.parents) if each in mounts), "")
    return FolderFacts(kind, shutil.disk_usage(there).free)
