"""GPUs of this machine, by the names under which a process can be given one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""Names the GPUs that a process sees: by number or by UUID, the first of them being its first."""
_TIMEOUT_S = 30
_LISTED = re.compile(r"^(?P<part>\s*)(?:GPU|MIG) .*\(UUID: (?P<uuid>[^)]+)\)")


def find_devices(environment: Mapping[str, str] | None = None) -> list[str]:
    """Name the GPUs that this process may use; none where torch cannot compute on them.

    Parameters
    ----------
    environment : mapping of str to str, optional
        Environment variables, by default those of this process. Where `VARIABLE` is set, as Slurm does, it has the say.

    Returns
    -------
    list of str
        Numbers or UUIDs, for `VARIABLE`. Of a GPU that is divided (MIG), its parts.
    """
    environment = os.environ if environment is None else environment
    chosen = environment.get(VARIABLE)
    named = parse_listing(_listing()) if chosen is None else parse_choice(chosen)
    if not named:
        return []
    n_seen = _count_seen()
    # CUDA sees one part of a divided GPU at a time, and leaves out all that follow a name that it does not know.
    is_divided = any(name.startswith("MIG") for name in named)
    return named if n_seen and (is_divided or chosen is None) else named[:n_seen]


def parse_choice(text: str) -> list[str]:
    """Understand `VARIABLE`.

    Examples
    --------
    >>> parse_choice("2,GPU-8f3a"), parse_choice(""), parse_choice("-1")
    (['2', 'GPU-8f3a'], [], [])
    """
    names = [name.strip() for name in text.split(",")]
    end = next((i for i, name in enumerate(names) if not name or name.startswith("-") or name == "NoDevFiles"), None)
    return names[:end]


def parse_listing(text: str) -> list[str]:
    """Understand what ``nvidia-smi -L`` prints.

    Examples
    --------
    >>> parse_listing('''GPU 0: NVIDIA A100 (UUID: GPU-5d5b)
    ...   MIG 1g.5gb      Device  0: (UUID: MIG-c6d4)
    ... GPU 1: NVIDIA A100 (UUID: GPU-77aa)''')
    ['MIG-c6d4', 'GPU-77aa']
    """
    gpus: list[tuple[str, list[str]]] = []
    for found in filter(None, map(_LISTED.match, text.splitlines())):
        if not found["part"]:
            gpus.append((found["uuid"], []))
        elif gpus:
            gpus[-1][1].append(found["uuid"])
    return [name for gpu, parts in gpus for name in parts or [gpu]]


def _listing() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""  # a driver that hangs computes nothing either
    return listed.stdout


def _count_seen() -> int:
    import torch

    return int(torch.cuda.device_count())
