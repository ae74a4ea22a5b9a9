"""Where a task was done: worker, host and device, which come back with its result."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from typing import Any

from distributed import get_worker

from simsearch.runtime.clusters.devices import VARIABLE


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task was done; empty where nobody knows."""

    worker: str = ""
    """Address of the worker."""
    host: str = ""
    """Name of the machine."""
    device: str = ""
    """``cpu``, or ``cuda`` with number or UUID."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is another machine than this."""
        return self.host not in ("", socket.gethostname())


def here() -> Place:
    """Tell where this task is done; to be called in one."""
    return Place(str(get_worker().address), socket.gethostname(), _device())


def _device() -> str:
    torch: Any = sys.modules.get("torch")  # whoever has not loaded it computes without
    if torch is None or not torch.cuda.is_initialized():
        return "cpu"
    return f"cuda {os.environ.get(VARIABLE) or torch.cuda.current_device()}"
