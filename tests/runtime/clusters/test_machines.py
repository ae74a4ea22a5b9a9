"""Machines as network namespaces, with a cable that can be pulled.

``SIMSEARCH_CUT_S=40 pytest tests/runtime/clusters/test_machines.py -k seconds`` pulls it for so long, with no setting
changed, and says what was noticed when: minutes, and not part of a usual run.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy.recipes import recipe
from tests.runtime.clusters.daemons import ROOT, wait_until
from tests.runtime.clusters.detection import done_here, found_in, prepare_detection, workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import SaveImage

pytestmark = pytest.mark.cluster

PAGE = "deploy/machines/README.md"
CUT_S = float(os.environ.get("SIMSEARCH_CUT_S", "0"))
SIDE = 1600
"""Of an image that takes a few minutes."""
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


ADDRESS = {"SCHEDULER:8786": "10.88.0.1:8786"}


def detect(work: tuple[str, ...], results: Path) -> str:
    """Write the command of the page for some work."""
    _, model, image, *more = work
    changes = ADDRESS | {"MODEL": model, "/shared/plate.ome.zarr": image, "/shared/results": results}
    return f"{recipe(PAGE, 'simsearch detect', changes).rstrip()} {shlex.join(more)}"


@contextmanager
def cluster(machines: Machines, folder: Path, client: str, settings: dict[str, str]) -> Iterator[dict[str, Path]]:
    """Start what the page says: a scheduler, a worker beside it and one on the other machine, and who has work.

    Yields
    ------
    dict of str to Path
        Logs of scheduler, near, far and client.
    """
    subprocess.run(["bash", "-ec", recipe(PAGE, "mkdir -m 700 tls", {})], cwd=folder, check=True, capture_output=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | settings
    worker = recipe(PAGE, "while", ADDRESS | {"$(nproc)": 1})
    logs = {name: folder / f"{name}.log" for name in ("scheduler", "near", "far", "client")}
    commands = {
        "scheduler": (machines.here, recipe(PAGE, "dask scheduler", {})),
        "near": (machines.here, worker),
        "far": (machines.there, worker),
        "client": (machines.here, client),
    }
    with ExitStack() as ended:
        for name, (machine, command) in commands.items():
            process = machines.run(machine, f"source tls/env\n{command}", logs[name], environment)
            ended.callback(process.wait, 30)
            ended.callback(os.killpg, process.pid, 15)
        yield logs


@pytest.mark.timeout(300)
def test_a_worker_that_was_cut_off_comes_back_and_nothing_is_missing(
    machines: Machines, save_image: SaveImage, tmp_path: Path
) -> None:
    (tmp_path / "squares.py").write_text(TASKS)
    work = done_here(prepare_detection(tmp_path, save_image, 160), tmp_path / "local")
    results = tmp_path / "results"
    seconds = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}  # the least that Dask takes, of 30 s
    client = f"{sys.executable} squares.py tls://10.88.0.1:8786 && {detect(work.words, results)} && echo all is done"
    with cluster(machines, tmp_path, client, seconds) as logs:

        def told(word: str) -> bool:
            return word in logs["client"].read_text()

        wait_until(lambda: told("begun"), "work")
        machines.cable("down")
        wait_until(lambda: "Remove worker" in logs["scheduler"].read_text(), "the loss to be noticed", patience_s=40)
        wait_until(lambda: "End worker" in logs["far"].read_text(), "its end", patience_s=60)
        machines.cable("up")
        wait_until(lambda: told("back"), "the worker again", patience_s=90)
        wait_until(lambda: told("all is done"), "a detection on both", patience_s=90)
    assert found_in(results) == work.expected


@pytest.mark.skipif(not CUT_S, reason="takes minutes: SIMSEARCH_CUT_S=40 pulls the cable for 40 s")
@pytest.mark.timeout(1200)
def test_a_detection_goes_on_while_a_machine_is_cut_off_for_seconds(
    machines: Machines, save_image: SaveImage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = done_here(prepare_detection(tmp_path, save_image, SIDE), tmp_path / "local")
    results = tmp_path / "results"
    with cluster(machines, tmp_path, f"sleep 20; {detect(work.words, results)} && echo all is done", {}) as logs:

        def far() -> list[str]:
            return [worker for worker in workers_of(results) if "10.88.0.2" in worker]

        def said(name: str, word: str) -> int:
            return logs[name].read_text().count(word)

        wait_until(lambda: len(far()) > 4, "work on the other machine", patience_s=300)
        before, began = set(far()), time.monotonic()
        machines.cable("down")
        watched = {
            "missed by the scheduler": lambda: said("scheduler", "Remove worker"),
            "ended by itself": lambda: said("far", "End worker"),
            "cable in again": lambda: time.monotonic() - began > CUT_S,
            "registered again": lambda: said("scheduler", "Register worker") > 2,
            "first tile after it": lambda: set(far()) - before,
            "all done": lambda: said("client", "all is done"),
        }
        seen: dict[str, float] = {}
        while "all done" not in seen:
            assert time.monotonic() - began < 900, logs["client"].read_text()
            for name in [name for name, happened in watched.items() if name not in seen and happened()]:
                seen[name] = round(time.monotonic() - began, 1)
                if name == "cable in again":
                    machines.cable("up")
            time.sleep(0.2)
        with capsys.disabled():
            print(f"\nseconds after the cable was pulled: {seen}")  # noqa: T201  what it is run for
    assert set(watched) == set(seen)
    assert found_in(results) == work.expected
