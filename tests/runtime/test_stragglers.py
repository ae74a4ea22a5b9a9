"""What takes much longer than its fellows is done by a second worker as well, if that can harm nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from threading import Event as Gate
from typing import TYPE_CHECKING

import pytest
from distributed import Client, LocalCluster

from simsearch.errors import SourceError
from simsearch.runtime.clusters.workers import ANY_PORT, SCHEDULER
from simsearch.runtime.events import BackupStarted, Event, TaskDone, TaskFailed, Waiting
from simsearch.runtime.outcomes import Done, Failed
from simsearch.runtime.steps import stragglers
from simsearch.runtime.steps.stragglers import FLOOR_S, Stopwatch, pair_up, patience_s
from simsearch.runtime.submit import run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

calls: Counter[int] = Counter()
started, first_may_end = Gate(), Gate()


@dataclass(frozen=True)
class Tile:
    """A task."""

    number: int
    is_pure: bool = True

    def __str__(self) -> str:
        return f"tile {self.number}"


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=False,
            scheduler_kwargs=SCHEDULER,
            worker_dashboard_address=ANY_PORT,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    calls.clear()
    started.clear()
    first_may_end.clear()
    monkeypatch.setattr(stragglers, "FLOOR_S", 0.0)
    monkeypatch.setattr(stragglers, "_LOOK_S", 0.0)
    yield
    first_may_end.set()


def number(tile: Tile) -> int:
    return tile.number


def stuck_at_first(tile: Tile) -> int:
    """Do not come back from the first of tile 0 before the gate opens."""
    calls[tile.number] += 1
    if tile.number == 0 and calls[0] == 1:
        assert first_may_end.wait(60)
    return tile.number


def stuck_then_refused(tile: Tile) -> int:
    calls[tile.number] += 1
    if tile.number == 0 and calls[0] == 1:
        started.set()
        assert first_may_end.wait(60)
    elif tile.number == 0:
        raise SourceError("the backup cannot read")
    return tile.number


def refused_after_backup(tile: Tile) -> int:
    calls[tile.number] += 1
    if tile.number == 0 and calls[0] == 1:
        assert started.wait(60)
        raise SourceError("the first cannot read")
    if tile.number == 0:
        started.set()
        assert first_may_end.wait(60)
    return tile.number


def refused_by_both(tile: Tile) -> int:
    calls[tile.number] += 1
    if tile.number == 0:
        if calls[0] == 1:
            assert first_may_end.wait(60)
        first_may_end.set()
        raise SourceError("tile 0 is no image")
    return tile.number


def run(
    client: Client,
    function: Callable[[Tile], int],
    tiles: list[Tile],
    hear: Callable[[Event], None] = lambda event: None,
) -> tuple[list[Done[Tile, int] | Failed[Tile]], list[Event]]:
    events: list[Event] = []

    def observe(event: Event) -> None:
        events.append(event)
        hear(event)

    return list(run_tasks(client, function, tiles, step="detect", observe=observe)), events


def test_the_first_result_of_a_straggler_counts_and_is_told_of_once(two_workers: Client) -> None:
    outcomes, events = run(two_workers, stuck_at_first, [Tile(n) for n in range(6)])
    assert sorted(outcome.result for outcome in outcomes if isinstance(outcome, Done)) == list(range(6))
    assert outcomes[-1].task == Tile(0)
    assert calls[0] == 2
    (backup,) = [event for event in events if isinstance(event, BackupStarted)]
    assert (backup.step, backup.task) == ("detect", "tile 0")
    assert {backup.worker, backup.backup} == set(two_workers.nthreads())
    assert Counter(event.task for event in events if isinstance(event, TaskDone)) == {f"tile {n}": 1 for n in range(6)}


def test_what_writes_is_not_done_twice(two_workers: Client) -> None:
    n_waited = 0

    def open_gate(event: Event) -> None:
        nonlocal n_waited
        n_waited += isinstance(event, Waiting)
        if n_waited == 5:
            first_may_end.set()

    outcomes, events = run(two_workers, stuck_at_first, [Tile(n, is_pure=False) for n in range(6)], open_gate)
    assert len(outcomes) == 6
    assert calls[0] == 1
    assert not any(isinstance(event, BackupStarted) for event in events)


def test_a_failed_backup_is_not_heard_of_while_the_first_goes_on(two_workers: Client) -> None:
    def open_gate(event: Event) -> None:
        if isinstance(event, Waiting) and calls[0] == 2:
            first_may_end.set()

    outcomes, events = run(two_workers, stuck_then_refused, [Tile(n) for n in range(6)], open_gate)
    assert sorted(outcome.result for outcome in outcomes if isinstance(outcome, Done)) == list(range(6))
    assert not any(isinstance(event, TaskFailed) for event in events)


def test_a_backup_goes_on_where_the_first_fails(two_workers: Client) -> None:
    def open_gate(event: Event) -> None:
        if isinstance(event, Waiting) and calls[0] == 2:
            first_may_end.set()

    outcomes, _ = run(two_workers, refused_after_backup, [Tile(n) for n in range(6)], open_gate)
    assert sorted(outcome.result for outcome in outcomes if isinstance(outcome, Done)) == list(range(6))


def test_both_failing_is_one_failure(two_workers: Client) -> None:
    outcomes, events = run(two_workers, refused_by_both, [Tile(n) for n in range(6)])
    (failed,) = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    assert str(failed.error) == "tile 0 is no image"
    assert [event.task for event in events if isinstance(event, TaskFailed)] == ["tile 0"]


def test_a_window_follows_the_threads_of_a_cluster(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr("simsearch.runtime.steps.roll_call.LOOK_S", 0.0)
    threads = iter([*[{"a": 2}] * 10, *[{"a": 2, "b": 10}] * 10, *[{"a": 1}] * 100])
    monkeypatch.setattr(client, "nthreads", lambda: next(threads))
    n_submitted, submit = 0, client.submit

    def counted(*args: object, **options: object) -> object:
        nonlocal n_submitted
        n_submitted += 1
        return submit(*args, **options)

    monkeypatch.setattr(client, "submit", counted)
    out = [n_submitted - n for n, _ in enumerate(run_tasks(client, number, [Tile(n) for n in range(80)], step="s"))]
    assert (out[0], max(out), out[-20]) == (5, 25, 5)


def test_a_task_may_take_a_multiple_of_its_fellows_but_never_less_than_a_floor() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stragglers, "FLOOR_S", FLOOR_S)
        assert patience_s([(10.0, 100), (12.0, 90), (14.0, 100)], 100) == 36.0
        assert patience_s([(0.1, 100)], 100) == FLOOR_S
        assert patience_s([(1.0, 10), (1.0, 10)], 100) == float("inf")  # no fellow of its size


def test_nothing_is_late_before_half_of_a_step_is_done() -> None:
    now = 0.0
    watch = Stopwatch(4, lambda: now)
    for key in "abcd":
        watch.begin(key, 100)
    now = 1.0
    watch.end("a")
    now = 9.0
    assert watch.overdue() == []
    watch.end("b")
    now = 30.0
    assert watch.overdue() == ["c", "d"]


def test_idle_workers_take_one_straggler_each() -> None:
    processing = {"slow": ("x", "y", "z"), "idle": (), "busy": ("u",), "free": ()}
    assert list(pair_up(["z", "y", "x"], processing)) == [("z", "slow", "idle"), ("y", "slow", "free")]
    assert list(pair_up(["lost"], processing)) == []  # no worker has it in hand
