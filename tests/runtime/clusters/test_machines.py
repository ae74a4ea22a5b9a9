"""Machines as network namespaces, with a cable that can be pulled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runtime.clusters.daemons import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.cluster

PAGE = (ROOT / "deploy" / "README.md").read_text()
TASKS = """
import sys, time
from distributed import Client
from simsearch.runtime.submit import Done, run_tasks

def square(n):
    time.sleep(0.5)
    return n * n

if __name__ == "__main__":
    with Client(sys.argv[1]) as client:
        client.wait_for_workers(2)
        outcomes = []
        for outcome in run_tasks(client, square, range(80), step="squares"):
            outcomes.append(outcome)
            if len(outcomes) == 8:
                print("begun", flush=True)
        assert sorted(o.result for o in outcomes if isinstance(o, Done)) == [n * n for n in range(80)], outcomes
        print("done", flush=True)
        client.wait_for_workers(2, timeout=60)
        print("back", flush=True)
"""


@dataclass(frozen=True)
class Machines:
    """Two machines and a cable."""

    here: str
    there: str

    def run(self, name: str, command: str, log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start a line of bash on a machine, in a session of its own."""
        with log.open("wb") as output:
            words = ["ip", "netns", "exec", name, "bash", "-c", command]
            return subprocess.Popen(
                words, stdout=output, stderr=output, env=environment, cwd=log.parent, start_new_session=True
            )

    def cable(self, state: str) -> None:
        """Pull the cable (down), or put it in (up)."""
        ip("-n", self.here, "link", "set", "eth0", state)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def machines() -> Iterator[Machines]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces want root and iproute2")
    made = Machines(f"simsearch-a-{os.getpid()}", f"simsearch-b-{os.getpid()}")
    with ExitStack() as undo:
        for name in (made.here, made.there):
            if subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode:
                pytest.skip("no network namespaces here: they want CAP_SYS_ADMIN")
            undo.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", made.here, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", made.there)
        for i, name in enumerate((made.here, made.there), start=1):
            ip("-n", name, "addr", "add", f"10.88.0.{i}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield made


def recipe(beginning: str) -> str:
    """Read a command of the page, for one worker and the scheduler of this test."""
    (block,) = (block for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) if block.startswith(beginning))
    return block.replace("SCHEDULER:8786", "10.88.0.1:8786").replace("$(nproc)", "1")


@pytest.mark.timeout(200)
def test_a_worker_that_was_cut_off_comes_back_and_nothing_is_missing(machines: Machines, tmp_path: Path) -> None:
    subprocess.run(["bash", "-ec", recipe("mkdir -m 700 tls")], cwd=tmp_path, check=True, capture_output=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    seconds = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}  # the least that Dask takes, of 30 s
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | seconds
    (tmp_path / "squares.py").write_text(TASKS)
    logs = {name: tmp_path / f"{name}.log" for name in ("scheduler", "near", "far", "client")}
    commands = {
        "scheduler": (machines.here, recipe("dask scheduler")),
        "near": (machines.here, recipe("while")),
        "far": (machines.there, recipe("while")),
        "client": (machines.here, f"{sys.executable} squares.py tls://10.88.0.1:8786"),
    }

    def told(word: str) -> bool:
        return word in logs["client"].read_text()

    with ExitStack() as ended:
        for name, (machine, command) in commands.items():
            process = machines.run(machine, f"source tls/env\n{command}", logs[name], environment)
            ended.callback(process.wait, 30)
            ended.callback(os.killpg, process.pid, 15)
        wait_until(lambda: told("begun"), "work")
        machines.cable("down")
        wait_until(lambda: "Remove worker" in logs["scheduler"].read_text(), "the loss to be noticed", patience_s=40)
        wait_until(lambda: "End worker" in logs["far"].read_text(), "its end", patience_s=60)
        machines.cable("up")
        wait_until(lambda: told("back"), "the worker again", patience_s=90)
