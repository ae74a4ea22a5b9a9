"""Checks of where results go: all write there, and see what others have written."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from simsearch.core.checks.places import scheme_of
from simsearch.io.ome_zarr.stores import as_location
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.runtime.asking import Answered, ask_here, ask_workers
from simsearch.runtime.tasks.probes import is_lockable, locked_while, read_probe, remove_probe, write_own_probe
from simsearch.runtime.tasks.survey import survey_folder
from simsearch.workflows.doctor.findings import Finding, gib, named, of_error, or_fine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from simsearch.runtime import Client
    from simsearch.runtime.asking import Answer
    from simsearch.workflows.doctor.cluster_facts import ClusterFacts

Value = TypeVar("Value")

_LEAST_FREE_BYTES = 2**30
_SAME_FOLDER = "mount the same file system there under the same path, or name a folder or URL that all reach"
_LOCKING = "let its file system lock for all machines (NFS without nolock, Lustre with flock), or write from one only"


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """What happened to probes in a folder, or below a URL, by the place of each worker."""

    out: str
    free_bytes: int | None = None
    is_lockable: bool | None = True
    """Whether this process can lock a file; None where files cannot be locked."""
    seen_there: Mapping[str, Answer[str | None]] = field(default_factory=dict)
    """What workers see of the probe of this process, whose content is its name."""
    written_there: Mapping[str, Answer[str]] = field(default_factory=dict)
    """Whether they have written theirs."""
    seen_here: frozenset[str] = frozenset()
    """Workers whose probe this process sees."""
    locked_there: Mapping[str, Answer[bool | None]] = field(default_factory=dict)
    """Whether workers can lock what this process has locked."""


def try_output(client: Client | None, cluster: ClusterFacts | None, out: str | Path, timeout_s: float) -> list[Finding]:
    """Write a probe here and on each worker, look whether each sees those of others, and remove them."""
    location = as_location(out)
    places = {worker.address: worker.place for worker in cluster.workers} if cluster else {}
    probed = ask_here(_begin, location, timeout_s=timeout_s)
    if not isinstance(probed, Answered):
        return [of_error("output", named(location, probed.reason), ("client",))]
    begun = probed.value
    try:
        return check_output(_tried(client, begun, places, timeout_s))
    finally:
        ask_here(begun.remove, timeout_s=timeout_s)


def check_output(facts: OutputFacts) -> list[Finding]:
    """Check that all have written, and have seen what others have written."""
    findings = []
    if facts.free_bytes is not None and facts.free_bytes < _LEAST_FREE_BYTES:
        found = f"{facts.out}: {gib(facts.free_bytes)} free"
        findings.append(Finding("output", "warning", found, "make space, or name another folder"))
    if facts.is_lockable is None:
        findings.append(Finding("output", "warning", f"{facts.out}: files cannot be locked", _LOCKING, ("client",)))
    for worker, seen in facts.seen_there.items():
        findings += _of_worker(facts, worker, seen)
    return or_fine("output", findings, f"{facts.out}: is written and seen everywhere")


def _of_worker(facts: OutputFacts, worker: str, seen: Answer[str | None]) -> Iterator[Finding]:
    out, where = facts.out, (worker,)
    written = facts.written_there.get(worker)
    if not isinstance(seen, Answered):
        yield of_error("output", named(out, seen.reason), where)
    elif seen.value is None:
        found = f"{out}: is not seen there, or is another folder there"
        yield Finding("output", "problem", found, _SAME_FOLDER, where)
    elif written is not None and not isinstance(written, Answered):
        yield of_error("output", named(out, written.reason), where)
    elif written is not None and worker not in facts.seen_here:
        yield Finding("output", "problem", f"{out}: what is written there is not seen here", _SAME_FOLDER, where)
    locked = facts.locked_there.get(worker)
    if isinstance(locked, Answered) and locked.value and facts.is_lockable:
        yield Finding("output", "warning", f"{out}: a lock of this process does not hold there", _LOCKING, where)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A folder for probes, or names below a URL, that nobody else has; with a probe of this process."""

    out: str
    base: str
    made: tuple[Path, ...] = ()
    """Folders that were not there, innermost first."""
    written: list[str] = field(default_factory=list)

    def remove(self) -> None:
        """Leave nothing behind."""
        if scheme_of(self.out):
            for probe in self.written:
                remove_probe(probe)
            return
        shutil.rmtree(self.base, ignore_errors=True)
        for folder in self.made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _begin(out: str) -> _Begun:
    base = f"{out}/.simsearch-doctor-{uuid.uuid4().hex[:12]}"
    folder = Path(out)
    made = () if scheme_of(out) else tuple(each for each in (folder, *folder.parents) if not each.exists())
    begun = _Begun(out, base, made)
    try:
        if not scheme_of(out):
            with store_errors(out):
                Path(base).mkdir(parents=True)
        begun.written.append(write_own_probe(base))
    except Exception:
        begun.remove()
        raise
    return begun


def _tried(client: Client | None, begun: _Begun, places: Mapping[str, str], timeout_s: float) -> OutputFacts:
    out, (own, *_) = begun.out, begun.written
    folder = None if scheme_of(out) else ask_here(survey_folder, out, timeout_s=timeout_s)
    free_bytes = folder.value.free_bytes if isinstance(folder, Answered) else None
    if client is None:
        return OutputFacts(out, free_bytes)

    def ask(function: Callable[[str], Value], workers: Iterable[str]) -> dict[str, Answer[Value]]:
        argument = begun.base if function is write_own_probe else own
        return ask_workers(client, function, argument, workers=list(workers), timeout_s=timeout_s)

    seen = ask(read_probe, places)
    able = [worker for worker, answer in seen.items() if answer == Answered(own)]
    written = ask(write_own_probe, able)
    probes = {worker: answer.value for worker, answer in written.items() if isinstance(answer, Answered)}
    begun.written.extend(probes.values())
    seen_here = {
        w for w, probe in probes.items() if ask_here(read_probe, probe, timeout_s=timeout_s) == Answered(probe)
    }
    lockable: bool | None = True
    locked: dict[str, Answer[bool | None]] = {}
    if not scheme_of(out):
        with locked_while(own) as lockable:
            locked = ask(is_lockable, able)
    return OutputFacts(
        out,
        free_bytes,
        lockable,
        {places[worker]: answer for worker, answer in seen.items()},
        {places[worker]: answer for worker, answer in written.items()},
        frozenset(places[worker] for worker in seen_here),
        {places[worker]: answer for worker, answer in locked.items()},
    )
