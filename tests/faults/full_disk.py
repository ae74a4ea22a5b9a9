"""Disks that are full in the middle: a line names the way out, nothing that was done is lost, and it goes on after.

Two ways: a file system of a few KiB in memory, where mounting is allowed (root on Linux), and files that may not grow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.faults.kills import after_trouble
from tests.faults.scenarios import reset

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.commands import Ended, Workshop
    from tests.faults.kills import Undisturbed
    from tests.faults.tally import Tally

_PAGE = 4096
_ROOM = "512m"
_REFUSED = 2


def cut_files(shop: Workshop, known: Undisturbed, chance: random.Random, tally: Tally) -> None:
    """Let no file of a command grow beyond a size: a write stops in the middle."""
    largest = max(_sizes(known.after_folder), default=0)
    limit = chance.randint(0, largest)
    reset(shop, known.template)
    ended = shop.run(known.scenario.command(), file_bytes=limit)
    problems = tally.see(ended) + _ended_wrongly(ended) + after_trouble(shop, known, tally)
    tally.keep("full_disk", known.scenario.name, f"files up to {limit} bytes, {ended.code}", problems, shop)


def fill_disk(shop: Workshop, known: Undisturbed, chance: random.Random, tally: Tally) -> None:
    """Give a command a disk on which its results have no room."""
    before, after = (_used(folder) for folder in (known.template, known.after_folder))
    n_bytes = before + _PAGE * chance.randint(2, max(3, (after - before) // _PAGE))
    reset(shop, None)
    with disk(shop.trial, n_bytes) as enlarge:
        reset(shop, known.template)
        ended = shop.run(known.scenario.command())
        problems = tally.see(ended) + _ended_wrongly(ended)
        enlarge()
        problems += after_trouble(shop, known, tally)
        tally.keep("full_disk", known.scenario.name, f"a disk of {n_bytes} bytes, {ended.code}", problems, shop)


def can_mount(shop: Workshop) -> bool:
    """Tell whether a file system can be mounted here."""
    if os.geteuid() or not shutil.which("mount"):
        return False
    try:
        with disk(shop.trial, _PAGE * 16):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def disk(folder: Path, n_bytes: int) -> Iterator[Callable[[], None]]:
    """Mount a small disk at a folder; what is yielded makes it large."""

    def call(*arguments: str) -> None:
        subprocess.run(arguments, check=True, capture_output=True)

    call("mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "campaign", str(folder))
    try:
        yield lambda: call("mount", "-o", f"remount,size={_ROOM}", str(folder))
    finally:
        call("umount", "--lazy", str(folder))


def _ended_wrongly(ended: Ended) -> list[str]:
    if ended.code == 0:
        return []
    if ended.code != _REFUSED:
        return [f"it ended with {ended.code}: {ended.errors[-1500:]}"]
    (*_, line) = ended.lines or ["nothing"]
    told = len(ended.lines) == 1 and "expected" in line and "free some space" in line
    return [] if told else [f"it said: {ended.errors[-1500:]}"]


def _sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def _used(folder: Path) -> int:
    """Tell what a folder takes in memory: whole pages."""
    return sum(-(-size // _PAGE) * _PAGE for size in _sizes(folder))
