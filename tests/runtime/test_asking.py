from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from simsearch.runtime.asking import Answered, Unanswered, ask_here, ask_scheduler, ask_workers

if TYPE_CHECKING:
    from distributed import Client

FREE = threading.Event()


def hang() -> None:
    FREE.wait(30)


def fail() -> None:
    raise ValueError("planted\nin two lines")


def test_who_hangs_is_late_and_holds_up_nobody(client: Client) -> None:
    (worker,) = client.nthreads()
    late = Unanswered("no answer in 0 s", is_late=True)
    assert ask_here(hang, timeout_s=0.05) == late
    assert ask_workers(client, hang, workers=[worker], timeout_s=0.05) == {worker: late}
    assert ask_scheduler(client, hang, timeout_s=0.05) == late
    FREE.set()
    assert ask_workers(client, len, "four", workers=[worker], timeout_s=30) == {worker: Answered(4)}


def test_what_a_process_raises_is_its_answer_in_one_line(client: Client) -> None:
    (worker,) = client.nthreads()
    failed = Unanswered("ValueError: planted in two lines")
    assert ask_workers(client, fail, workers=[worker], timeout_s=30) == {worker: failed}
    assert ask_scheduler(client, fail, timeout_s=30) == failed
