"""What this process may take of the machine: memory and cores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from dask.system import cpu_count
from distributed.system import MEMORY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def memory_limit(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int:
    """Count the bytes that this process may have: the machine's, or less in a container, a batch job or a service."""
    limits = (
        _number(folder / name)
        for folder in _cgroup_folders("memory", cgroups, own)
        for name in ("memory.max", "memory.limit_in_bytes")
    )
    return int(min([MEMORY_LIMIT, *(limit for limit in limits if limit)]))


def core_count(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int:
    """Count the cores that this process may use: the machine's, or fewer in a container, a batch job or a service."""
    counts = [float(cpu_count())]
    for folder in _cgroup_folders("cpu", cgroups, own):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        words = _text(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdecimal():
            quota, period = int(words[0]), int(words[1])
        if quota and period:
            counts.append(quota / period)
    return max(1, math.ceil(min(counts)))


def free_bytes() -> int:
    """Count what is free on this machine, or in the container that this process is in: the lesser."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    taken = sum(_resident_bytes(process) for process in family)
    return max(0, min(int(psutil.virtual_memory().available), memory_limit() - taken))


def _cgroup_folders(controller: str, cgroups: Path, own: Path) -> Iterator[Path]:
    """List the folders of the cgroup of this process and of those that it lies in: each may have a limit."""
    for line in _text(own).splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            root = cgroups
        elif controller in controllers.split(","):
            root = cgroups / controllers
        else:
            continue
        inner = root / path.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(root))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else 0  # "max", or -1: no limit


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
