"""A real Slurm for tests: a controller and two virtual nodes on loopback, stopped at the end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[3]
_N_NODES = 2
_CONFIG = """\
ClusterName=simsearch
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core,CR_LLN
MpiDefault=none
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
KillWait=5
GresTypes=gpu
"""


def wait_until(happened: Callable[[], object], what: str, patience_s: float = 60) -> None:
    """Wait for something outside this process."""
    end = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < end, f"expected {what} within {patience_s} s"
        time.sleep(0.1)


@dataclass(frozen=True)
class Slurm:
    """Slurm, as its commands show it."""

    environment: dict[str, str]
    """For whoever calls Slurm or simsearch."""

    def call(self, *words: str) -> str:
        """Call a command of Slurm and return what it says."""
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout.strip()

    def jobs(self, *states: str) -> list[str]:
        """List jobs that are in the queue, in some states or any."""
        wanted = [f"--states={','.join(states)}"] if states else []
        return self.call("squeue", "--noheader", "--format=%i", *wanted).split()

    def state(self, job: str) -> str:
        """Tell what a job is, or how it ended."""
        words = self.call("scontrol", "show", "job", job).split()
        return next(word.removeprefix("JobState=") for word in words if word.startswith("JobState="))

    def states(self, folder: Path) -> dict[str, str]:
        """Tell what jobs that were submitted in a folder are, or how they ended."""
        jobs = [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in self.call("scontrol", "show", "jobs", "--oneliner").splitlines()
        ]
        return {job["JobId"]: job["JobState"] for job in jobs if job["WorkDir"] == str(folder)}


@contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """Start Slurm, or skip the test where it cannot be."""
    needed = ("munged", "slurmctld", "slurmd", "sbatch")
    path = f"{os.environ['PATH']}:/usr/sbin"
    if missing := [each for each in needed if not shutil.which(each, path=path)]:
        pytest.skip(f"no {missing[0]}: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons want root")
    slurm = Slurm(os.environ | {"PATH": path, "SLURM_CONF": str(folder / "slurm.conf"), "PYTHONPATH": str(ROOT)})
    _configure(folder)
    munge = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("key-file", "socket", "pid-file")]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("log", "seed")]
    with ExitStack() as daemons:
        for name, words in {
            "munged": ["munged", "--foreground", "--force", *munge],
            "slurmctld": ["slurmctld", "-D"],
            **{f"n{i}": ["slurmd", "-D", "-N", f"n{i}"] for i in range(_N_NODES)},
        }.items():
            daemons.enter_context(_daemon(words, folder / f"{name}.log", slurm.environment))
            wait_until((folder / "munge.socket").exists, "munged")
        wait_until(lambda: _answers(slurm), "nodes that are idle")
        yield slurm


def _answers(slurm: Slurm) -> bool:
    words = ["sinfo", "--noheader", "--Node", "--format=%T"]
    done = subprocess.run(words, capture_output=True, text=True, env=slurm.environment, check=False)
    return done.stdout.split() == ["idle"] * _N_NODES


def _configure(folder: Path) -> None:
    (folder / "state").mkdir()
    with ExitStack() as sockets:
        free = [sockets.enter_context(socket.socket()) for _ in range(_N_NODES + 1)]
        for each in free:
            each.bind(("127.0.0.1", 0))
        port, *ports = [each.getsockname()[1] for each in free]
    host = socket.gethostname()
    lines = [_CONFIG.format(host=host, folder=folder, port=port)]
    for i, own in enumerate(ports):
        (folder / f"n{i}").mkdir()
        has = "CPUs=4 RealMemory=64000 Gres=gpu:1"
        lines.append(f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={own} {has}\n")
    lines.append(f"PartitionName=debug Nodes=n[0-{_N_NODES - 1}] Default=YES MaxTime=UNLIMITED State=UP\n")
    (folder / "slurm.conf").write_text("".join(lines))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # a device that is not there: who has which is told
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(64))


@contextmanager
def _daemon(words: Sequence[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
