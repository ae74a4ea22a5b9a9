"""A scheduler that runs already."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from distributed import Client, Security
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.registry import get_backend
from distributed.versions import VersionMismatchWarning

from simsearch.core.checks.hosts import is_loopback
from simsearch.errors import ClusterError
from simsearch.runtime.clusters.losing import hushed, lost_scheduler, lost_told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simsearch.runtime.clusters.spec import ClusterSpec
    from simsearch.runtime.events import Observer

_TIMEOUT_S = 10


@contextmanager
def opened(spec: ClusterSpec, observe: Observer) -> Iterator[Client]:
    """Connect to a scheduler, which is left running."""
    address = str(spec.address)
    _check_security(address, spec.insecure)
    with hushed() as hush, _client(address) as client:
        hush()  # workers are elsewhere, and a lost scheduler is told of in our words
        with lost_told(client, lambda: lost_scheduler(address)):
            yield client


def _check_security(address: str, insecure: bool) -> None:
    try:
        scheme, location = parse_address(address, strict=True)
        get_backend(scheme)
        host, _ = parse_host_port(location)
    except ValueError as error:
        raise _unreachable(address, error) from error
    if scheme == "tls" and Security().get_connection_args("client").get("ssl_context") is None:
        raise ClusterError(
            f"expected certificates for {address}, got none: set distributed.comm.tls in Dask's configuration"
        )
    if scheme != "tls" and not is_loopback(host) and not insecure:
        raise ClusterError(
            f"expected tls:// for a scheduler on another machine, got {address}: who reaches it can run code as you; "
            "start it with certificates, or add --insecure if nobody else can reach that network"
        )


@contextmanager
def _client(address: str) -> Iterator[Client]:
    # Checked before there is a client: one that fails half-made is collected at any time, and may hold up the next.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # compared by us
            client = Client(address, timeout=_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise _unreachable(address, error) from error
    with client:
        yield client


def _unreachable(address: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"expected a Dask scheduler at {address}, got {type(error).__name__}: start one with `dask scheduler`, "
        "or leave --cluster out to compute on this machine"
    )
