"""Speed and time left, by a clock that the test turns."""

from __future__ import annotations

import pytest

from simsearch.runtime.events import StepEnded, StepStarted, TaskDone, TaskFailed, Waiting
from simsearch.runtime.rates import Rates, StepProgress
from simsearch.training.epochs import EpochDone


class Clock:
    """Tells the time that it was set to."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_rates_are_means_since_the_step_began() -> None:
    clock = Clock()
    rates = Rates(clock)
    started = rates.take(StepStarted("detect", 5, 10_000_000))
    assert started == StepProgress(5, 10_000_000)
    assert (started.tasks_per_s, started.mpx_per_s, started.eta_s) == (0.0, 0.0, None)
    clock.now += 4
    rates.take(TaskDone("detect", "a", 2_000_000))
    clock.now += 4
    now = rates.take(TaskDone("detect", "b", 2_000_000))
    assert now == StepProgress(5, 10_000_000, n_done=2, n_pixels_done=4_000_000, seconds=8.0)
    assert (now.tasks_per_s, now.mpx_per_s, now.eta_s) == (0.25, 0.5, 12.0)
    clock.now += 1
    failed = rates.take(TaskFailed("detect", "c", "is damaged"))
    assert (failed.n_done, failed.n_failed, failed.tasks_per_s) == (2, 1, pytest.approx(2 / 9))
    assert failed.eta_s == pytest.approx(2 * 9 / 3)


def test_steps_are_told_apart_and_begin_anew() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.take(StepStarted("a", 2))
    clock.now += 1
    rates.take(StepStarted("b", 3))
    rates.take(TaskDone("a", "x"))
    assert rates.take(StepEnded("b", 1.0)) == StepProgress(3, 0)
    assert rates.take(StepEnded("a", 1.0)) == StepProgress(2, 0, n_done=1, seconds=1.0)
    assert rates.take(StepStarted("a", 4)) == StepProgress(4, 0)


def test_what_is_of_no_step_has_no_rate() -> None:
    rates = Rates(Clock())
    for event in (Waiting("a"), EpochDone("noisy", 1, 2, 0.5), TaskDone("never begun", "x")):
        assert rates.take(event) is None


def test_epochs_tell_when_their_stage_will_be_done_whenever_they_are_told() -> None:
    """Those of an earlier run come all at once, so what the worker measured counts, not when it is heard."""
    rates = Rates(Clock())
    rates.take(EpochDone("distill", 1, 4, 0.5, seconds=10.0))
    now = rates.take(EpochDone("distill", 2, 4, 0.4, seconds=30.0))
    assert now == StepProgress(4, 0, n_done=2, seconds=40.0)
    assert now.eta_s == 40.0
    first = rates.take(EpochDone("simclr", 1, 2, 0.5, seconds=6.0))
    assert first is not None
    assert first.eta_s == 6.0
