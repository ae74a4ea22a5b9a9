"""Workers that are lost are named; a step without any says so, and is given up in a stated time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from simsearch.errors import ClusterError
from simsearch.runtime.events import Event, NoWorkers, WorkerLost
from simsearch.runtime.steps.roll_call import LOOK_S, PATIENCE_S, RollCall


class Roll:
    """A roll call with a cluster and a clock of the test's own."""

    def __init__(self) -> None:
        self.now, self.workers, self.n_asked = 0.0, {"tcp://a:1", "tcp://b:2"}, 0
        self.events: list[Event] = []
        client: Any = SimpleNamespace(
            status="running", nthreads=self._asked, scheduler=SimpleNamespace(address="tcp://s:0")
        )
        self._call = RollCall(client, "detect", self.events.append, lambda: self.now)

    def _asked(self) -> dict[str, int]:
        self.n_asked += 1
        return dict.fromkeys(self.workers, 1)

    def wait(self, seconds: float) -> None:
        """Let time pass, and call the roll each second."""
        for _ in range(round(seconds)):
            self.now += 1
            self._call()


def test_a_cluster_is_asked_every_few_seconds_only() -> None:
    roll = Roll()
    roll.wait(10 * LOOK_S)
    assert (roll.n_asked, roll.events) == (10, [])


def test_who_is_lost_is_named_once_and_may_come_back() -> None:
    roll = Roll()
    roll.wait(10)
    roll.workers = {"tcp://a:1"}
    roll.wait(20)
    assert roll.events == [WorkerLost("detect", "tcp://b:2")]
    roll.workers = {"tcp://a:1", "tcp://b:2"}
    roll.wait(10)
    roll.workers = {"tcp://a:1"}
    roll.wait(10)
    assert roll.events == 2 * [WorkerLost("detect", "tcp://b:2")]


def test_a_step_without_workers_says_so_ever_more_rarely_and_ends() -> None:
    roll = Roll()
    roll.workers = set()
    with pytest.raises(ClusterError, match=rf"expected workers at tcp://s:0, got none for {PATIENCE_S:.0f} s: start"):
        roll.wait(2 * PATIENCE_S)
    waited = [event.waited_s for event in roll.events if isinstance(event, NoWorkers)]
    assert waited == [10, 20, 40, 80, 160, 320]
    assert roll.now == PATIENCE_S


def test_workers_that_come_in_time_are_waited_for_anew() -> None:
    roll = Roll()
    roll.workers = set()
    roll.wait(PATIENCE_S - LOOK_S)
    roll.workers = {"tcp://a:1"}
    roll.wait(LOOK_S)
    roll.workers = set()
    roll.wait(PATIENCE_S - LOOK_S)  # no error
    assert {type(event) for event in roll.events} == {WorkerLost, NoWorkers}
