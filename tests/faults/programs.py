"""The command line as people run it, with workers in processes of their own: killed whole, in part, or stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dask.system import CPU_COUNT

from tests.faults.commands import TIMEOUT_S, Ended
from tests.faults.kills import after_trouble, stopped_wrongly
from tests.faults.scenarios import reset
from tests.faults.states import differences, state_of

if TYPE_CHECKING:
    import random

    from tests.faults.commands import Workshop
    from tests.faults.kills import Undisturbed
    from tests.faults.tally import Tally

_MARK = "SIMSEARCH_CAMPAIGN"
_WHAT = ("all", "client", "worker", "SIGTERM", "SIGINT", "SIGTERM to all", "SIGINT to all")
_GONE_S = 60.0
_CLUSTER = ("--cluster", f"local:{CPU_COUNT}")  # a thread a worker: sums of several differ in their last digits
_POLL_S = 0.005


def kill(shop: Workshop, known: Undisturbed, chance: random.Random, tally: Tally) -> None:
    """Kill a program or one of its processes when so many of its files are there, and look as after any kill."""
    reset(shop, known.template)
    what, mark = chance.choice(_WHAT), uuid.uuid4().hex
    n_files = chance.randint(len(known.before), len(known.after))
    log = shop.scratch / "outputs" / f"{mark}.err"
    begin = time.perf_counter()
    with log.open("wb") as file:
        program = subprocess.Popen(
            [sys.executable, "-m", "simsearch", *known.scenario.command(_CLUSTER)], cwd=shop.trial, stderr=file,
            stdout=subprocess.DEVNULL, start_new_session=True, env=os.environ | shop.environment | {_MARK: mark},
        )  # fmt: skip
    _wait_for_files(program, shop, n_files, chance.uniform(0, 0.5))
    _send(program, what, mark)
    code = program.wait(TIMEOUT_S)
    left_behind = _processes_that_stay(mark)
    ended = Ended(code, log.read_text(errors="replace"), 1, time.perf_counter() - begin, ())
    problems = [f"processes that stay: {left_behind}"] if left_behind else []
    number = signal.SIGKILL if what in ("all", "client") else signal.SIGTERM
    if what == "worker":
        problems += [] if code == 0 else [f"without a worker it ended with {code}: {ended.errors[-1500:]}"]
        problems += (
            [] if code else [f"without a worker, {each}" for each in differences(state_of(shop.trial), known.after)]
        )
    else:
        is_done = not differences(state_of(shop.trial), known.after)
        problems += stopped_wrongly(ended, number, is_done=is_done)
    # Workers whose command was killed beside them may say anything: nobody is there to catch it.
    problems += tally.see(*([] if what == "client" else [ended]))
    problems += after_trouble(shop, known, tally)
    tally.keep("kills", f"{known.scenario.name}, local", f"{what} at {n_files} files, {code}", problems, shop)


def _wait_for_files(program: subprocess.Popen[bytes], shop: Workshop, n_files: int, after_s: float) -> None:
    deadline = time.perf_counter() + TIMEOUT_S
    while program.poll() is None and time.perf_counter() < deadline:
        is_begun = (shop.trial / "events.jsonl").exists() or _catches_signals(program.pid)
        # os.walk passes over folders that are moved meanwhile.
        if is_begun and sum(len(files) for _, _, files in os.walk(shop.trial)) >= n_files:
            break
        time.sleep(_POLL_S)
    time.sleep(after_s)


def _catches_signals(pid: int) -> bool:
    """Tell whether a process has said what it does with SIGTERM: Python is up, and the command begins."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        caught = int(next(line for line in lines if line.startswith("SigCgt")).split()[1], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)
    return False


def _send(program: subprocess.Popen[bytes], what: str, mark: str) -> None:
    with suppress(ProcessLookupError, FileNotFoundError):  # it has ended
        if what == "worker":
            for pid in _processes(mark) - {program.pid}:
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        elif what == "all":
            os.killpg(program.pid, signal.SIGKILL)
        elif what == "client":
            program.kill()
        elif what.endswith("to all"):
            os.killpg(program.pid, signal.Signals[what.split()[0]])
        else:
            program.send_signal(signal.Signals[what])


def _processes(mark: str) -> set[int]:
    """List the processes that were started with a mark in their environment."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes():
                    found.add(int(folder.name))
    return found


def _processes_that_stay(mark: str) -> set[int]:
    """Wait for all processes of a program to end, and end those that do not."""
    deadline = time.perf_counter() + _GONE_S
    while (left := _processes(mark)) and time.perf_counter() < deadline:
        time.sleep(0.1)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left
