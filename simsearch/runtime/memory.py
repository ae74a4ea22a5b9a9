"""How much memory this process may still take."""

from __future__ import annotations

import psutil
from distributed.system import MEMORY_LIMIT


def free_bytes() -> int:
    """Count what is free on this machine, or in the container that this process is in: the lesser."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    taken = sum(_resident_bytes(process) for process in family)
    return max(0, min(int(psutil.virtual_memory().available), MEMORY_LIMIT - taken))


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
