"""How many bytes of a model reach workers, counted where they come out of their sockets."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import dask
import numpy as np
import pytest

from simsearch.runtime import open_cluster
from simsearch.runtime.worker import fetch, lent

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

SIZE = 8_000_000
OTHER = 400_000  # what workers hear besides: tasks, plugins, heartbeats
COUNTER = """
from distributed.comm import tcp

if not hasattr(tcp, "n_received"):  # Dask loads this twice
    tcp.n_received = 0
    read = tcp.read_bytes_rw

    async def counted(stream, n):
        tcp.n_received += n
        return await read(stream, n)

    tcp.read_bytes_rw = counted
"""


def received() -> tuple[int, int]:
    """Tell the process of a worker, and how many bytes have reached it."""
    from distributed.comm import tcp

    return os.getpid(), tcp.n_received  # type: ignore[attr-defined]  # of the counter


def models_received(client: Client) -> dict[int, int]:
    """Count for each worker how often as many bytes as a model has have reached it."""
    counts = dict(client.run(received).values())
    for n_bytes in counts.values():
        assert n_bytes % SIZE < OTHER
    return {pid: n_bytes // SIZE for pid, n_bytes in counts.items()}


def models_once_all_have_it(client: Client) -> dict[int, int]:
    """Wait until three workers have received a model."""
    for _ in range(600):
        counts = models_received(client)
        if len(counts) == 3 and all(counts.values()):
            return counts
        time.sleep(0.1)
    raise AssertionError(f"not all workers have the model: {counts}")


@pytest.mark.cluster
def test_a_model_reaches_each_worker_once(tmp_path: Path) -> None:
    blob = np.random.default_rng(0).bytes(SIZE)  # which nothing compresses
    (tmp_path / "counter.py").write_text(COUNTER)
    preload = {"distributed.worker.preload": [str(tmp_path / "counter.py")]}
    with dask.config.set(preload), open_cluster("local:2") as client:
        assert set(models_received(client).values()) == {0}
        with lent(client, blob) as digest:
            first = models_received(client)
            assert list(first.values()) == [1, 1]  # workers x model
            sizes = client.gather(client.map(lambda _: len(fetch(digest)), range(20), pure=False))
            assert sizes == [SIZE] * 20
            with lent(client, blob):
                assert models_received(client) == first
            assert models_received(client) == first

            client.cluster.scale(3)
            client.wait_for_workers(3)
            joined = models_once_all_have_it(client)
            assert joined == {**first, **{pid: 1 for pid in joined if pid not in first}}
            address, (victim, _) = next(iter(client.run(received).items()))
            os.kill(victim, signal.SIGKILL)
            while address in client.nthreads():
                time.sleep(0.05)
            anew = models_once_all_have_it(client)
            assert victim not in anew
            assert set(anew.values()) == {1}
            for worker in client.nthreads():
                assert client.submit(lambda: len(fetch(digest)), pure=False, workers=[worker]).result() == SIZE
