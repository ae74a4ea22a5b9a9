"""Models on workers: sent to each once, found there by the hash of their bytes."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING

from distributed import WorkerPlugin
from distributed.comm.core import CommClosedError

from simsearch.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client, Worker

_blobs: dict[str, bytes] = {}
_holders: Counter[str] = Counter()  # workers of this process that have each; threads clusters share a process
_held: set[str] = set()  # digests that this process keeps for good
_leases: Counter[tuple[str, str]] = Counter()  # runs of each client that a model is lent to at this moment
_lock = Lock()


class BlobPlugin(WorkerPlugin):
    """Keeps the bytes of a model in the process of a worker; restarted and new workers get it too."""

    def __init__(self, digest: str, blob: bytes) -> None:
        self.digest, self.blob = digest, blob
        self.name = _plugin_name(digest)
        self.idempotent = True

    def setup(self, worker: Worker) -> None:
        """Keep the bytes."""
        with _lock:
            _holders[self.digest] += 1
            _blobs[self.digest] = self.blob

    def teardown(self, worker: Worker) -> None:
        """Forget the bytes, unless another worker of this process has them too."""
        with _lock:
            _holders[self.digest] -= 1
            if not _holders[self.digest]:
                del _blobs[self.digest], _holders[self.digest]


def broadcast(client: Client, blob: bytes) -> str:
    """Give bytes to every worker, those that join later included.

    Returns
    -------
    str
        The sha256 of the bytes, by which `fetch` finds them. Sent before: nothing is sent again.
    """
    digest = hashlib.sha256(blob).hexdigest()
    client.register_plugin(BlobPlugin(digest, blob))
    return digest


def hold(blob: bytes) -> str:
    """Keep bytes in this process for good, so that `fetch` finds them here where there is no worker.

    Returns
    -------
    str
        The sha256 of the bytes.
    """
    digest = hashlib.sha256(blob).hexdigest()
    with _lock:
        if digest not in _held:
            _held.add(digest)
            _holders[digest] += 1
            _blobs[digest] = blob
    return digest


@contextmanager
def lent(client: Client, blob: bytes) -> Iterator[str]:
    """Give bytes to every worker for a while, as `broadcast` does: what one search needs must not pile up.

    Yields
    ------
    str
        The sha256 of the bytes.
    """
    digest = broadcast(client, blob)
    lease = client.id, digest
    with _lock:
        _leases[lease] += 1
    try:
        yield digest
    finally:
        with _lock:
            _leases[lease] -= 1
            is_last = not _leases[lease]
            if is_last:
                del _leases[lease]
        if is_last:
            # A worker that was lost just now has lost all it had, and so has a scheduler.
            with suppress(CommClosedError, OSError):
                client.unregister_worker_plugin(_plugin_name(digest))


def fetch(digest: str) -> bytes:
    """Find bytes that were broadcast; to be called in a task.

    Raises
    ------
    TaskError
        If this worker never got them.
    """
    try:
        return _blobs[digest]
    except KeyError:
        raise TaskError(f"expected the model {digest[:16]} on this worker, got none: broadcast it first") from None


def _plugin_name(digest: str) -> str:
    return f"simsearch-{digest[:16]}"
