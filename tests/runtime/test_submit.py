from __future__ import annotations

import logging
import os
import re
import signal
import socket
import time
from collections import Counter
from threading import Event as Gate
from typing import TYPE_CHECKING

import pytest

from simsearch.errors import Cancelled, SourceError, TaskError
from simsearch.runtime import open_cluster, place
from simsearch.runtime.cancel import CancelToken, cancellable
from simsearch.runtime.events import Event, StepEnded, StepStarted, TaskDone, TaskFailed, Waiting
from simsearch.runtime.outcomes import Done, Failed
from simsearch.runtime.steps import flight
from simsearch.runtime.submit import run_one, run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distributed import Client

calls: Counter[object] = Counter()
gate = Gate()


@pytest.fixture(autouse=True)
def _start_afresh() -> None:
    calls.clear()
    gate.clear()


def double(task: int) -> int:
    return 2 * task


def refuse(task: str) -> None:
    calls[task] += 1
    raise SourceError(f"{task}: expected an image, got none: scan it again")


def hiccup(task: int) -> int:
    """Fail twice, then work, as a network file system may."""
    calls[task] += 1
    if calls[task] <= 2:
        raise ConnectionResetError("stale handle")
    return task


def fail(task: int) -> None:
    calls[task] += 1
    raise KeyError("a bug")


class Stubborn(Exception):
    """Cannot travel, as it holds a lock; and says more than a line."""

    def __init__(self) -> None:
        super().__init__("a bug\n  in two lines", Gate())

    def __str__(self) -> str:
        return str(self.args[0])


def fail_stubbornly(task: int) -> None:
    raise Stubborn


def fail_if_odd(task: int) -> int:
    if task % 2:
        raise SourceError(f"{task} is odd")
    return task


def wait_at_gate(task: int) -> int:
    calls[task] += 1
    if task:
        gate.wait(60)
    return task


def wait_until_heard(client: Client) -> None:
    """Wait until the scheduler and the worker have done all that was sent before."""
    (worker,) = client.cluster.workers.values()
    last = client.submit(double, 4, pure=False)  # messages keep their order
    for _ in range(6000):
        if last.key in worker.state.tasks:
            return
        time.sleep(0.01)
    raise AssertionError("the worker does not hear")


class Heard(list[Event]):
    """What was told, without the moments in which nothing happened: on a busy machine there may be any number."""

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if not isinstance(event, Waiting):
            self.append(event)


def n_threads(client: Client) -> int:
    return sum(client.nthreads().values())


def test_each_task_gives_one_result(client: Client) -> None:
    outcomes = list(run_tasks(client, double, list(range(50)), step="double"))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert sorted((o.task, o.result) for o in outcomes) == [(i, 2 * i) for i in range(50)]


def test_equal_tasks_are_all_run(client: Client) -> None:
    assert [o.result for o in run_tasks(client, double, [3, 3, 3], step="double")] == [6, 6, 6]


def test_no_task_is_no_trouble(client: Client) -> None:
    events = Heard()
    assert list(run_tasks(client, double, [], step="nothing", observe=events)) == []
    assert [type(event) for event in events] == [StepStarted, StepEnded]


def test_only_a_window_of_tasks_is_in_flight(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    n_submitted, submit = 0, client.submit

    def counted(*args: object, **options: object) -> object:
        nonlocal n_submitted
        n_submitted += 1
        return submit(*args, **options)

    monkeypatch.setattr(client, "submit", counted)
    window = max(4, 2 * n_threads(client))
    outstanding = []
    for n_yielded, _ in enumerate(run_tasks(client, double, list(range(10 * window)), step="many")):
        outstanding.append(n_submitted - n_yielded)
    assert n_submitted == 10 * window
    assert max(outstanding) == window + 1  # the one that has just come back was replaced already


def test_no_task_is_submitted_before_a_result_is_asked_for(client: Client) -> None:
    outcomes = run_tasks(client, wait_at_gate, [0], step="lazy")
    assert not calls
    assert [outcome.task for outcome in outcomes] == [0]


def test_a_users_error_is_not_retried(client: Client) -> None:
    (outcome,) = run_tasks(client, refuse, ["a.tif"], step="read")
    assert calls == {"a.tif": 1}
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is SourceError
    assert str(outcome.error) == "a.tif: expected an image, got none: scan it again"


def test_what_is_transient_is_retried(client: Client) -> None:
    outcomes = list(run_tasks(client, hiccup, [1, 2], step="read"))
    assert sorted(outcome.result for outcome in outcomes) == [1, 2]
    assert calls == {1: 3, 2: 3}


def test_what_fails_each_time_is_named_with_its_cause(client: Client) -> None:
    (outcome,) = run_tasks(client, fail, [7], step="read")
    assert calls == {7: 3}
    assert isinstance(outcome.error, TaskError)
    assert str(outcome.error) == "7: expected a result, got KeyError: 'a bug'"


def test_a_failure_stays_apart(client: Client) -> None:
    outcomes = list(run_tasks(client, fail_if_odd, list(range(20)), step="read"))
    assert sorted(o.task for o in outcomes if isinstance(o, Failed)) == list(range(1, 20, 2))
    assert sorted(o.result for o in outcomes if isinstance(o, Done)) == list(range(0, 20, 2))


def test_events_tell_the_story_in_order(client: Client) -> None:
    events = Heard()
    list(run_tasks(client, fail_if_odd, list(range(6)), step="read", observe=events))
    assert events[0] == StepStarted("read", 6)
    assert {e.task for e in events if isinstance(e, TaskDone)} == {"0", "2", "4"}
    assert {(e.task, e.message) for e in events if isinstance(e, TaskFailed)} == {
        ("1", "1 is odd"),
        ("3", "3 is odd"),
        ("5", "5 is odd"),
    }
    assert isinstance(events[-1], StepEnded)
    assert events[-1].seconds > 0
    assert {e.step for e in events} == {"read"}
    assert len(events) == 8


def test_events_name_worker_host_and_device(client: Client) -> None:
    events = Heard()
    list(run_tasks(client, fail_if_odd, [0, 1], step="read", observe=events))
    ended = [event for event in events if isinstance(event, TaskDone | TaskFailed)]
    assert {(event.worker, event.host) for event in ended} == {(*client.nthreads(), socket.gethostname())}
    assert {event.device.partition(" ")[0] for event in ended} <= {"cpu", "cuda"}
    assert len(ended) == 2


def test_an_error_of_another_machine_names_it(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.socket, "gethostname", iter(["node7", "laptop"]).__next__)
    (failed,) = run_tasks(client, refuse, ["a.tif"], step="read")
    assert isinstance(failed, Failed)
    assert type(failed.error) is SourceError
    assert re.fullmatch(r"a.tif: expected .*: scan it again \(worker inproc:\S+ on node7\)", str(failed.error))


@pytest.mark.parametrize(
    ("function", "words"), [(fail, "KeyError: 'a bug'"), (fail_stubbornly, "Stubborn: a bug in two lines")]
)
def test_a_bug_on_another_machine_names_it_and_keeps_its_traceback(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    function: Callable[[int], None],
    words: str,
) -> None:
    monkeypatch.setattr(place.socket, "gethostname", iter(["node7"] * 3 + ["laptop"]).__next__)
    logger, events = logging.getLogger("distributed.worker"), Heard()
    logger.addHandler(caplog.handler)
    try:
        (failed,) = run_tasks(client, function, [7], step="read", observe=events)
    finally:
        logger.removeHandler(caplog.handler)
    assert isinstance(failed, Failed)
    assert type(failed.error) is TaskError
    (worker,) = client.nthreads()
    assert str(failed.error) == f"7: expected a result, got {words} (worker {worker} on node7)"
    (told,) = [event for event in events if isinstance(event, TaskFailed)]
    assert (told.worker, told.host, told.device, told.message) == (worker, "node7", "cpu", str(failed.error))
    (note,) = failed.error.__notes__
    assert note.startswith(f"On worker {worker} on node7:\nTraceback ")
    assert f"in {function.__name__}\n" in note
    assert f"in {function.__name__}" in caplog.text  # the worker's log


def test_an_event_comes_before_its_outcome(client: Client) -> None:
    events = Heard()
    for n, outcome in enumerate(run_tasks(client, double, list(range(9)), step="x", observe=events), start=1):
        assert len(events) == n + 1
        assert events[-1] == TaskDone("x", str(outcome.task))


def test_closing_cancels_what_has_not_begun(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # So wide that it shows even where a worker begins one more task before it hears of the end.
    monkeypatch.setattr(flight, "window", lambda n_threads: 60)
    outcomes = run_tasks(client, wait_at_gate, list(range(100)), step="wait")
    assert next(outcomes).task == 0
    outcomes.close()
    wait_until_heard(client)
    gate.set()
    # What is submitted later is run later: once it has come back, nothing before it is left.
    assert [outcome.result for outcome in run_tasks(client, double, [4], step="probe")] == [8]
    assert len(calls) < 30


def test_an_error_of_the_caller_cancels_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "window", lambda n_threads: 60)

    def consume() -> None:
        for _ in run_tasks(client, wait_at_gate, list(range(100)), step="wait"):
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough") as caught:
        consume()
    del caught  # its traceback holds the generator
    wait_until_heard(client)
    gate.set()
    assert [outcome.result for outcome in run_tasks(client, double, [4], step="probe")] == [8]
    assert len(calls) < 30


@pytest.mark.parametrize("tasks", [list(range(100)), list(range(1, 101))], ids=["after one", "while none finishes"])
def test_a_token_stops_a_step_even_while_no_task_finishes(
    client: Client, monkeypatch: pytest.MonkeyPatch, tasks: list[int]
) -> None:
    monkeypatch.setattr(flight, "window", lambda n_threads: 60)
    token, events = CancelToken(), Heard()

    def cancel_when_idle(event: Event) -> None:
        events(event)
        if isinstance(event, Waiting) and len(events) > (0 in tasks):  # told while all that can run waits at the gate
            token.cancel()

    with pytest.raises(Cancelled, match="stopped as asked: what is done is kept"):
        list(run_tasks(client, wait_at_gate, tasks, step="wait", observe=cancellable(cancel_when_idle, token)))
    assert events == [StepStarted("wait", 100), *([TaskDone("wait", "0")] if 0 in tasks else [])]
    wait_until_heard(client)
    gate.set()
    assert [outcome.result for outcome in run_tasks(client, double, [4], step="probe")] == [8]
    assert len(calls) < 30


def test_a_token_that_was_cancelled_before_lets_nothing_begin(client: Client) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        list(run_tasks(client, wait_at_gate, [0], step="wait", observe=cancellable(Heard(), token)))
    assert not calls


def test_one_long_task_is_left_when_its_caller_wants_to(client: Client) -> None:
    token, observe = CancelToken(), Heard()

    def meanwhile() -> None:
        cancellable(observe, token)(Waiting("long"))
        token.cancel()

    with pytest.raises(Cancelled):
        run_one(client, wait_at_gate, 1, meanwhile=meanwhile)
    gate.set()


def test_tasks_left_behind_when_the_cluster_goes_are_no_trouble() -> None:
    with open_cluster("threads:1") as gone:
        outcomes = run_tasks(gone, double, list(range(50)), step="left")
        next(outcomes)
    outcomes.close()


@pytest.mark.cluster
def test_a_killed_worker_loses_no_task(processes: Client, tmp_path: Path) -> None:
    flag = tmp_path / "killed"

    def work(task: int) -> tuple[int, int]:  # inside, so that it travels by value
        time.sleep(0.02)
        if task == 5 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return task, os.getpid()

    outcomes = list(run_tasks(processes, work, list(range(40)), step="work"))
    processes.wait_for_workers(2)
    assert flag.exists()
    assert sorted(outcome.result[0] for outcome in outcomes) == list(range(40))


@pytest.mark.cluster
def test_results_that_a_killed_worker_held_are_computed_again_even_beside_another_client(processes: Client) -> None:
    def work(task: int) -> tuple[int, int]:
        return task, os.getpid()

    def are_in_memory() -> bool:
        return all(task.state == "memory" for task in list(processes.cluster.scheduler.tasks.values()))

    with open_cluster("threads:1"):  # from here on Dask's default client, which has another event loop
        outcomes = run_tasks(processes, work, list(range(30)), step="work")
        first = next(outcomes)
        while not are_in_memory():
            time.sleep(0.01)
        os.kill(first.result[1], signal.SIGKILL)
        found = [first.result[0], *(outcome.result[0] for outcome in outcomes)]
    processes.wait_for_workers(2)
    assert sorted(found) == list(range(30))


@pytest.mark.cluster
def test_a_task_that_kills_its_workers_is_named_and_others_are_done(
    processes: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes.cluster.scheduler, "allowed_failures", 0)

    def work(task: int) -> int:
        if task == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    # One at a time beside the bad one: what ran beside a killer is no suspect here.
    events = Heard()
    outcomes = list(run_tasks(processes, work, [3], step="work", observe=events))
    outcomes += run_tasks(processes, work, [0, 1, 2], step="work")
    processes.wait_for_workers(2)
    (failed,) = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    assert failed.task == 3
    assert isinstance(failed.error, TaskError)
    assert str(failed.error).startswith("3: expected a result, got KilledWorker: ")
    assert "\n" not in str(failed.error)
    assert sorted(outcome.result for outcome in outcomes if isinstance(outcome, Done)) == [0, 1, 2]
    (told,) = [event for event in events if isinstance(event, TaskFailed)]
    assert re.fullmatch(r"tls://127\.0\.0\.1:\d+", told.worker)
    assert told.worker in told.message
    assert told.host == "127.0.0.1"  # all that is known of one that cannot be asked
