"""Checks of the network: who can reach what, over which interface, and whether clocks agree."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from simsearch.core.checks.hosts import is_loopback
from simsearch.workflows.doctor.findings import Finding, Level, or_fine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simsearch.runtime.tasks.survey import ProcessFacts
    from simsearch.workflows.doctor.cluster_facts import ClusterFacts

_SKEW_S = 2.0
_FATAL_SKEW_S = 300.0
_INPROC = "inproc"
DEFAULT_PORT = 5006
"""Of the app."""


def check_encryption(cluster: ClusterFacts, *, insecure: bool = False) -> list[Finding]:
    """Check that nobody else on the network can give tasks to scheduler and workers."""
    level: Level = "warning" if insecure else "problem"
    found = "takes tasks from whoever reaches {}, without encryption"
    remedy = "start it with certificates (--protocol tls), or with --host 127.0.0.1"
    findings = [
        Finding("encryption", level, found.format(heard), remedy, (place,))
        for place, address, process in _processes(cluster)
        if (heard := _heard_at(address, process)) and address.partition("://")[0] not in ("tls", "wss", _INPROC)
    ]
    schemes = {address.partition("://")[0] for _, address, _ in _processes(cluster)}
    words = "certificates (TLS)" if schemes == {"tls"} else "reached from this machine only"
    return or_fine("encryption", findings, words)


def check_dashboards(cluster: ClusterFacts) -> list[Finding]:
    """Check that Dask's web pages, which have no login, are not shown to the network."""
    ports = {"scheduler": cluster.scheduler_dashboard, **{w.place: w.dashboard for w in cluster.workers}}
    findings = []
    for place, _, process in _processes(cluster):
        for ip, port in process.listening if process else ():
            if port == ports[place] and not is_loopback(ip):
                found = f"Dask's pages, which have no login, are shown to the network on port {port}"
                remedy = "add --dashboard-address 127.0.0.1:0"
                findings.append(Finding("dashboard", "problem", found, remedy, (place,)))
    return or_fine("dashboard", findings, "Dask's pages are shown to this machine only, or not at all")


def check_interfaces(cluster: ClusterFacts) -> list[Finding]:
    """Check that workers on other machines can be reached, all over the same interface."""
    findings, names = [], {}
    for worker in cluster.workers:
        host = _host(worker.address)
        if worker.process.host != cluster.client.host and is_loopback(host):
            remedy = "add --host or --interface with an address that other machines reach"
            found = f"is on {worker.process.host}, and other machines cannot reach {host}"
            findings.append(Finding("interface", "problem", found, remedy, (worker.place,)))
        if name := dict(worker.process.interfaces).get(host):
            names[worker.place] = name
    if len(kinds := sorted({name.rstrip("0123456789") for name in names.values()})) > 1:
        found = f"workers listen at interfaces of several kinds: {', '.join(kinds)}"
        findings.append(Finding("interface", "warning", found, "add --interface NAME to all of them"))
    return or_fine("interface", findings, ", ".join(sorted(set(names.values()))) or "none: all is in one process")


def check_clocks(cluster: ClusterFacts) -> list[Finding]:
    """Check that all machines have the same time."""
    findings = []
    for worker in cluster.workers:
        skew = worker.ahead_s
        if abs(skew) > _SKEW_S:
            found = f"clock of {worker.process.host} is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
            level: Level = "problem" if abs(skew) > _FATAL_SKEW_S else "warning"
            remedy = "let machines ask a time server (chrony): certificates and object stores refuse other times"
            findings.append(Finding("clocks", level, found, remedy, (worker.place,)))
    return or_fine("clocks", findings, f"within {_SKEW_S:.0f} s")


def check_port(port: int | None = None) -> list[Finding]:
    """Check that the app could listen at a port; that of the default, which was not asked for, is a warning."""
    wanted = DEFAULT_PORT if port is None else port
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the app does
        try:
            trial.bind(("127.0.0.1", wanted))
        except OSError as error:
            level: Level = "warning" if port is None else "problem"
            found = f"port {wanted} cannot be had here ({error.strerror})"
            return [
                Finding("port", level, found, "add --port 0 to `simsearch serve` for any that is free", ("client",))
            ]
    return [Finding("port", "ok", f"{wanted} is free for `simsearch serve`")]


def _processes(cluster: ClusterFacts) -> Iterator[tuple[str, str, ProcessFacts | None]]:
    yield "scheduler", cluster.scheduler_address, cluster.scheduler
    for worker in cluster.workers:
        yield worker.place, worker.address, worker.process


def _heard_at(address: str, process: ProcessFacts | None) -> str:
    """Tell where else than on this machine a process can be reached; nothing if nowhere."""
    scheme, _, location = address.partition("://")
    host, _, port = location.rpartition(":")
    if scheme == _INPROC:
        return ""
    sockets = [ip for ip, number in process.listening if str(number) == port] if process else []
    heard = [ip for ip in sockets or [host.strip("[]")] if not is_loopback(ip)]
    return f"{heard[0]}:{port}" if heard else ""


def _host(address: str) -> str:
    return address.partition("://")[2].rpartition(":")[0].strip("[]")
