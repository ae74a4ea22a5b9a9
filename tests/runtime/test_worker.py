from __future__ import annotations

import hashlib
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from distributed.comm.core import CommClosedError

from simsearch.errors import TaskError
from simsearch.runtime import open_cluster
from simsearch.runtime.worker import BlobPlugin, broadcast, fetch, lent

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client, Worker


def test_a_digest_is_the_hash_of_the_bytes(client: Client) -> None:
    assert broadcast(client, b"some trunk") == hashlib.sha256(b"some trunk").hexdigest()


def test_a_task_finds_what_was_broadcast(client: Client) -> None:
    first, second = broadcast(client, b"first"), broadcast(client, b"second")
    assert client.gather(client.map(fetch, [first, second])) == [b"first", b"second"]


def test_what_was_never_broadcast_is_named(client: Client) -> None:
    with pytest.raises(TaskError, match="expected the model 1234567890123456 on this worker, got none"):
        client.submit(fetch, "1234567890123456" * 4).result()


def test_the_same_bytes_are_sent_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = []
    setup: Callable[[BlobPlugin, Worker], None] = BlobPlugin.setup

    def counted(plugin: BlobPlugin, worker: Worker) -> None:
        arrived.append(plugin.digest)
        setup(plugin, worker)

    monkeypatch.setattr(BlobPlugin, "setup", counted)
    digests = [broadcast(client, blob) for blob in (b"sent once", b"sent once", b"another")]
    assert arrived == [digests[0], digests[2]]


def test_the_end_of_another_cluster_in_this_process_takes_nothing_away(client: Client) -> None:
    digest = broadcast(client, b"shared by two clusters")
    with open_cluster("threads:1") as other:
        assert broadcast(other, b"shared by two clusters") == digest
    assert client.submit(fetch, digest, pure=False).result() == b"shared by two clusters"


def test_the_bytes_go_with_the_last_cluster() -> None:
    with open_cluster("threads:1") as only:
        digest = broadcast(only, b"short-lived")
        assert fetch(digest) == b"short-lived"
    with pytest.raises(TaskError):
        fetch(digest)


def test_a_worker_that_is_lost_at_the_end_does_not_end_a_run(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(name: str) -> None:
        raise CommClosedError(f"{name}: a worker has gone while it was told to forget it")

    with monkeypatch.context() as patch, lent(client, b"lent to the end") as digest:
        assert client.submit(fetch, digest, pure=False).result() == b"lent to the end"
        patch.setattr(client, "unregister_worker_plugin", lost)


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about in a minute")


@pytest.mark.cluster
def test_every_worker_has_the_bytes_even_one_that_joins_later_or_starts_anew(processes: Client) -> None:
    digest = broadcast(processes, bytes(1000))

    def lengths() -> list[int]:
        workers = list(processes.nthreads())
        return [len(processes.submit(fetch, digest, pure=False, workers=[w]).result()) for w in workers]

    assert lengths() == [1000] * 2
    processes.cluster.scale(3)
    processes.wait_for_workers(3)
    assert lengths() == [1000] * 3
    victim, pid = next(iter(processes.run(os.getpid).items()))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: victim not in processes.nthreads() and len(processes.nthreads()) == 3)
    assert lengths() == [1000] * 3
    processes.cluster.scale(2)
    wait_for(lambda: len(processes.nthreads()) == 2)
    assert lengths() == [1000] * 2
