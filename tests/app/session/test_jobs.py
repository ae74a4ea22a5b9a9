"""Jobs tell how far they are, stop when they are asked to, and fail in words."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from simsearch.app.session.jobs import Jobs, new_job
from simsearch.errors import Cancelled, StoreError
from simsearch.runtime.events import StepStarted, TaskDone
from simsearch.training.epochs import EpochDone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simsearch.app.session.snapshot import JobView
    from simsearch.runtime.events import Observer


class Shown:
    """What was shown of jobs."""

    def __init__(self) -> None:
        self.views: list[tuple[JobView, ...]] = []
        self._changed = threading.Condition()

    def __call__(self, views: tuple[JobView, ...]) -> None:
        """Take what is shown."""
        with self._changed:
            self.views.append(views)
            self._changed.notify_all()

    def wait_for(self, state: str) -> JobView:
        """Wait until the newest job is in a state."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.views) and self.views[-1][-1].state == state, 30)
            return self.views[-1][-1]


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def jobs(shown: Shown) -> Iterator[Jobs]:
    jobs = Jobs(shown)
    yield jobs
    jobs.close()


def test_a_job_tells_how_far_it_is_and_what_it_made(jobs: Jobs, shown: Shown, tmp_path: Path) -> None:
    threads = []

    def work(observe: Observer) -> Path:
        threads.append(threading.current_thread())
        observe(StepStarted("search", 2))
        observe(TaskDone("search", "a"))
        observe(TaskDone("search", "b"))
        return tmp_path

    over: list[str] = []
    told: list[str] = []
    job_id = jobs.start(
        new_job("detect", "Detect", "ada"), work, made=lambda: told.append(shown.views[-1][-1].state), over=over.append
    )
    view = shown.wait_for("done")
    jobs.close()
    assert (view.step, view.n_done, view.n_tasks, view.result, view.eta_s) == ("search", 2, 2, tmp_path, None)
    assert any(each[-1].n_done == 1 and each[-1].eta_s is not None for each in shown.views)
    assert threads != [threading.current_thread()]
    assert told == ["running"]  # what it made is known before it is said to be done
    assert over == [job_id]


def test_a_job_is_stopped_at_its_next_event(jobs: Jobs, shown: Shown) -> None:
    running = threading.Event()

    def work(observe: Observer) -> None:
        observe(StepStarted("search", 10**6))
        while True:
            observe(TaskDone("search", "tile"))
            running.set()

    job_id = jobs.start(new_job("detect", "Detect", "ada"), work)
    assert running.wait(30)
    jobs.cancel(job_id)
    assert shown.wait_for("cancelled").n_done > 0


def test_what_fails_is_told_in_words(jobs: Jobs, shown: Shown) -> None:
    def foreseen(observe: Observer) -> None:
        raise StoreError("/data: expected to write it, got no space: free some")

    def unforeseen(observe: Observer) -> None:
        raise ZeroDivisionError("division by zero")

    jobs.start(new_job("detect", "Detect", "ada"), foreseen)
    assert shown.wait_for("failed").message == "Free some. Could not write it: no space (/data)."
    jobs.forget(shown.views[-1][-1].id)
    jobs.start(new_job("train", "Train", "ada"), unforeseen)
    message = shown.wait_for("failed").message
    assert message.startswith("ZeroDivisionError: division by zero")
    assert "see the server's log" in message


def test_losses_of_a_training_are_listed_by_stage_and_epochs_done_again_replace_the_old(
    jobs: Jobs, shown: Shown
) -> None:
    def work(observe: Observer) -> None:
        for stage, epoch, loss in (("noisy", 1, 3.0), ("noisy", 2, 2.0), ("noisy", 2, 1.5), ("clean", 1, 0.5)):
            observe(EpochDone(stage, epoch, 2, loss))

    jobs.start(new_job("train", "Train", "ada"), work)
    view = shown.wait_for("done")
    assert view.epochs == {"noisy": (3.0, 1.5), "clean": (0.5,)}
    assert (view.step, view.n_done, view.n_tasks) == ("clean", 1, 2)


def test_work_in_the_callers_thread_is_shown_and_raises(jobs: Jobs, shown: Shown) -> None:
    view = new_job("features", "Look at images", "ada")

    def fail() -> None:
        with jobs.attended(view) as observe:
            observe(StepStarted("features", 1))
            raise StoreError("expected, got")

    def stop() -> None:
        with jobs.attended(view) as observe:
            jobs.cancel(view.id)
            observe(StepStarted("features", 1))

    with pytest.raises(StoreError):
        fail()
    assert shown.views[-1][-1].state == "failed"
    with pytest.raises(Cancelled):
        stop()
    assert shown.views[-1][-1].state == "cancelled"


def test_closing_stops_what_runs_and_does_not_call_it_over(shown: Shown) -> None:
    jobs, over, running = Jobs(shown), [], threading.Event()

    def work(observe: Observer) -> None:
        while True:
            observe(TaskDone("search", "tile"))
            running.set()

    jobs.start(new_job("detect", "Detect", "ada"), work, over=over.append)
    assert running.wait(30)
    jobs.close()
    assert shown.views[-1][-1].state == "cancelled"
    assert over == []
