"""Peaks in two arithmetics are compared by class and place."""

from __future__ import annotations

import pytest

from benchmarks.arithmetic import compare
from simsearch.core.peaks import Peak


def peak(name: str, y: float, score: float) -> Peak:
    return Peak("i", name, y, 10.0, (48.0, 48.0), score)


def test_confident_peaks_that_the_other_has_not_are_counted_and_the_others_compared() -> None:
    exact = [peak("a", 10, 0.9), peak("a", 60, 0.31), peak("b", 200, 0.5), peak("b", 300, 0.1)]
    short = [peak("a", 13, 0.88), peak("a", 60, 0.29), peak("b", 10, 0.2), peak("b", 200, 0.5), peak("b", 400, 0.4)]
    found = compare(exact, short)
    assert (found.n_peaks, found.n_alone) == (3, 1)  # the one at 400
    assert found.place == pytest.approx(3.0)
    assert found.confidence == pytest.approx(0.02)
