"""Workers on the machine of who serves give way to it; others, and what runs in its own process, do not."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from simsearch.runtime.clusters.workers import Yielding

_SCRIPT = """
import os, pickle, sys, threading
ended = threading.Event()
threading.Thread(target=ended.wait).start()
pickle.load(sys.stdin.buffer).setup(None)
tell = lambda: print(*(os.getpriority(os.PRIO_PROCESS, int(n)) for n in os.listdir("/proc/self/task")))
later = threading.Thread(target=tell)
later.start()
later.join()  # a thread that ends while they are listed has no priority
ended.set()
"""


def niceness_after(plugin: Yielding) -> set[int]:
    """Set it up in another process; what threads of before and after then have."""
    run = subprocess.run([sys.executable, "-c", _SCRIPT], input=pickle.dumps(plugin), capture_output=True, check=True)
    return {int(word) for word in run.stdout.split()}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="expected Linux, where each thread has a priority")
def test_a_process_beside_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness_after(Yielding()) == {max(own, 10)}
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert niceness_after(Yielding()) == {own}


def test_who_serves_does_not_give_way_to_itself() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    Yielding().setup(None)  # type: ignore[arg-type]  # it asks nothing of a worker
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
