"""Searches on two devices are compared peak by peak."""

from __future__ import annotations

import os

import numpy as np
import pytest

from benchmarks.gpu import Agreement, compare, only

PEAKS = np.array([[10.0, 10.0, 0.9], [100.0, 40.0, 0.5], [300.0, 300.0, 0.2]])


def test_the_same_peaks_agree() -> None:
    assert compare(PEAKS, PEAKS[::-1]) == Agreement(3, 1.0, 0.0, -1.0)


def test_a_peak_that_moved_by_more_than_a_step_is_not_shared() -> None:
    moved = PEAKS + np.array([[3.0, 4.0, 0.01], [0.0, 9.0, 0.4], [0.0, 0.0, 0.0]])
    agreement = compare(PEAKS, moved)
    assert agreement.n_peaks == 3
    assert agreement.shared == pytest.approx(2 / 3)
    assert agreement.difference == pytest.approx(0.01)  # only of those that are shared
    assert agreement.alone == 0.5


@pytest.mark.parametrize("before", [None, "0,1"])
def test_the_gpu_is_hidden_from_the_cpus_workers_and_shown_again(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    with only("GPU"):
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
    with only("CPU"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
