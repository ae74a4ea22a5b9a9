"""All checks, one after the other: what cannot be reached is a finding, and ends no other check."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from simsearch.core.checks.options import check_range
from simsearch.errors import SimSearchError
from simsearch.runtime import Client, ClusterSpec, resolve_cluster
from simsearch.runtime.clusters.opening import reach_cluster
from simsearch.runtime.clusters.versions import gather_versions, installed_versions
from simsearch.runtime.events import ignore
from simsearch.workflows.doctor import computing, network
from simsearch.workflows.doctor.cluster_facts import gather_facts
from simsearch.workflows.doctor.findings import Finding, of_error
from simsearch.workflows.doctor.inputs import try_input
from simsearch.workflows.doctor.outputs import try_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from simsearch.runtime.events import Observer
    from simsearch.workflows.doctor.cluster_facts import ClusterFacts

TIMEOUT_S = 60.0
"""How long a process may take for an answer: the first loads torch, from a network file system perhaps."""


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What an examination has found."""

    findings: tuple[Finding, ...]
    """In the order of the checks."""

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What would make a run fail, or is unsafe."""
        return tuple(each for each in self.findings if each.level == "problem")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What would make a run slower, or may make it fail."""
        return tuple(each for each in self.findings if each.level == "warning")

    def table(self) -> pd.DataFrame:
        """Return a row for each finding: check, level, found, remedy, places."""
        columns = ("check", "level", "found", "remedy", "places")
        return pd.DataFrame(
            [[getattr(each, name) for name in columns] for each in self.findings], columns=list(columns)
        )


def examine(
    paths: Sequence[str | Path] = (),
    out: str | Path | None = None,
    *,
    port: int | None = None,
    cluster: str | Path | ClusterSpec | Client | None = None,
    timeout_s: float = TIMEOUT_S,
    observe: Observer = ignore,
) -> DoctorReport:
    """Look for what would go wrong in a long run.

    Parameters
    ----------
    paths : sequence of str or Path
        What a run would read.
    out : str or Path, optional
        Folder or URL that it would write to.
    port : int, optional
        Port that the app would listen at.
    cluster : str, Path, ClusterSpec or distributed.Client, optional
        Where it would compute.
    timeout_s : float
        How long each process may take for an answer.
    observe : callable
        Hears how many workers have come, where that takes time.

    Returns
    -------
    DoctorReport
        What was found; a cluster that cannot be reached is a finding, too.
    """
    check_range("port", port, 1, 65535)
    findings: list[Finding] = []
    with _reached(cluster, observe) as (client, spec, unreachable):
        findings += unreachable
        facts = gather_facts(client, timeout_s) if client else None
        if client and facts:
            findings += _of_cluster(client, facts, timeout_s, insecure=spec.insecure if spec else False)
        for path in paths:
            findings += try_input(client, facts, path, timeout_s)
        if out is not None:
            findings += try_output(client, facts, out, timeout_s)
    findings += network.check_port(port)
    return DoctorReport(tuple(findings))


def _of_cluster(client: Client, facts: ClusterFacts, timeout_s: float, *, insecure: bool) -> Iterator[Finding]:
    versions = gather_versions(client, facts.awake, timeout_s)
    of_versions = computing.check_versions(installed_versions(), versions)
    strangers = {place.removeprefix("worker ") for each in of_versions for place in each.places}
    yield from computing.check_workers(facts, strangers)
    yield from of_versions
    yield from network.check_encryption(facts, insecure=insecure)
    yield from network.check_dashboards(facts)
    if not facts.workers:
        return
    yield from network.check_interfaces(facts)
    yield from network.check_clocks(facts)
    yield from computing.check_devices(facts)
    yield from computing.check_memory(facts)
    yield from computing.check_threads(facts)
    yield from computing.check_allocator(facts)
    yield from computing.check_scratch(facts)


@contextmanager
def _reached(
    cluster: str | Path | ClusterSpec | Client | None, observe: Observer
) -> Iterator[tuple[Client | None, ClusterSpec | None, list[Finding]]]:
    """Reach a cluster, or tell why it cannot be."""
    if isinstance(cluster, Client):
        yield cluster, None, []
        return
    spec = resolve_cluster(cluster)
    with ExitStack() as stack:
        try:
            client = stack.enter_context(reach_cluster(spec, observe=observe))
        except SimSearchError as error:
            yield None, spec, [of_error("cluster", error, ("client",))]
        else:
            yield client, spec, []
