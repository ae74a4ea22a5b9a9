"""What is known of a cluster: told by its scheduler, and by each of its processes."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from simsearch.runtime.asking import Answer, Answered, Unanswered, ask_scheduler, ask_workers
from simsearch.runtime.tasks.survey import (
    DeviceFacts,
    FolderFacts,
    ProcessFacts,
    survey_devices,
    survey_folder,
    survey_process,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from simsearch.runtime import Client

Value = TypeVar("Value")
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What is known of a worker that has answered."""

    address: str
    process: ProcessFacts
    n_tasks: int = 2
    """That it does at a time."""
    memory_bytes: int = 0
    """Its limit; 0 without one."""
    scratch: str = ""
    """Folder for what it puts aside."""
    dashboard: int | None = None
    """Port of its web page."""
    devices: DeviceFacts | None = None
    scratch_folder: FolderFacts | None = None
    ahead_s: float = 0.0
    """How far its clock is surely ahead of ours; below 0 where it is behind."""

    @property
    def place(self) -> str:
        """Address and host."""
        return f"{self.address} on {self.process.host}"


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What is known of a cluster."""

    client: ProcessFacts
    scheduler_address: str
    scheduler: ProcessFacts | None = None
    """None if it does not answer."""
    scheduler_dashboard: int | None = None
    """Port of its web pages."""
    workers: tuple[WorkerFacts, ...] = ()
    silent: Mapping[str, Unanswered] = field(default_factory=dict)
    """Addresses of workers that do not answer, or cannot, and why."""

    @property
    def awake(self) -> list[str]:
        """Addresses of workers that answer, be it that they cannot."""
        cannot = [address for address, answer in self.silent.items() if not answer.is_late]
        return [*(worker.address for worker in self.workers), *cannot]

    @property
    def hosts(self) -> dict[str, list[WorkerFacts]]:
        """Workers by machine."""
        return grouped(self.workers, lambda worker: worker.process.host)


def gather_facts(client: Client, timeout_s: float) -> ClusterFacts:
    """Ask all processes of a cluster."""
    info: Mapping[str, Any] = client.scheduler_info(n_workers=-1)
    known: dict[str, Mapping[str, Any]] = dict(info["workers"])
    processes = ask_workers(client, survey_process, workers=list(known), timeout_s=timeout_s)
    awake = [address for address, answer in processes.items() if isinstance(answer, Answered)]
    ahead = _clocks(client, awake, timeout_s)
    devices = ask_workers(client, survey_devices, workers=awake, timeout_s=timeout_s)
    scheduler = ask_scheduler(client, survey_process, timeout_s=timeout_s)
    scratch = {address: str(PurePath(known[address].get("local_directory", "")).parent) for address in awake}
    folders = _scratch_folders(client, scratch, timeout_s)
    workers = []
    for address, told in processes.items():
        if not isinstance(told, Answered):
            continue
        workers.append(
            WorkerFacts(
                address,
                told.value,
                n_tasks=int(known[address].get("nthreads", 1)),
                memory_bytes=int(known[address].get("memory_limit") or 0),
                scratch=scratch[address],
                dashboard=known[address].get("services", {}).get("dashboard"),
                devices=_value(devices[address]),
                scratch_folder=_value(folders[address]),
                ahead_s=ahead.get(address, 0.0),
            )
        )
    return ClusterFacts(
        client=survey_process(),
        scheduler_address=str(info["address"]),
        scheduler=_value(scheduler),
        scheduler_dashboard=info.get("services", {}).get("dashboard"),
        workers=tuple(workers),
        silent={address: answer for address, answer in processes.items() if not isinstance(answer, Answered)},
    )


def grouped(workers: Iterable[WorkerFacts], key: Callable[[WorkerFacts], Key]) -> dict[Key, list[WorkerFacts]]:
    """Group workers by what they have in common."""
    groups = defaultdict[Key, list[WorkerFacts]](list)
    for worker in workers:
        groups[key(worker)].append(worker)
    return dict(groups)


def clock_ahead(told: float, before: float, after: float) -> float:
    """Tell how far a clock surely is ahead of ours, of what it told between two of our times.

    Examples
    --------
    >>> clock_ahead(15.0, before=10.0, after=11.0), clock_ahead(10.5, 10.0, 11.0), clock_ahead(4.0, 10.0, 11.0)
    (4.0, 0.0, -6.0)
    """
    return max(0.0, told - after) + min(0.0, told - before)


def _clocks(client: Client, workers: list[str], timeout_s: float) -> dict[str, float]:
    before = time.time()
    told = ask_workers(client, time.time, workers=workers, timeout_s=timeout_s)
    after = time.time()
    return {
        address: clock_ahead(answer.value, before, after)
        for address, answer in told.items()
        if isinstance(answer, Answered)
    }


def _scratch_folders(client: Client, scratch: Mapping[str, str], timeout_s: float) -> dict[str, Answer[FolderFacts]]:
    """Ask all that share the name of a folder at once: they are most often all."""
    found: dict[str, Answer[FolderFacts]] = {}
    for folder in dict.fromkeys(scratch.values()):
        asked = [address for address, theirs in scratch.items() if theirs == folder]
        found |= ask_workers(client, survey_folder, folder, workers=asked, timeout_s=timeout_s)
    return found


def _value(answer: Answer[Value]) -> Value | None:
    return answer.value if isinstance(answer, Answered) else None
