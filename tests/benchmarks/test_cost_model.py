"""The cost model of RESULTS.md."""

from __future__ import annotations

import pytest

from benchmarks.cost_model import Costs, Job, core_hours, useful_workers, wall_seconds

JOB = Job(n_tiles=100, tile_megapixels=2.0)


def test_workers_share_the_tiles() -> None:
    costs = Costs(seconds_per_megapixel=0.5, overhead_s=0.001)

    assert [wall_seconds(JOB, costs, n) for n in (1, 2, 4)] == [100.0, 50.0, 25.0]


def test_a_tile_is_not_shared() -> None:
    costs = Costs(seconds_per_megapixel=0.5, overhead_s=0.0)

    assert wall_seconds(JOB, costs, 64) == 2.0  # the second of two rounds is not full
    assert wall_seconds(JOB, costs, 1000) == 1.0


def test_the_scheduler_sets_the_pace_where_it_is_slower() -> None:
    costs = Costs(seconds_per_megapixel=0.5, overhead_s=0.1, fixed_s=7.0)

    assert useful_workers(JOB, costs) == pytest.approx(10)
    assert wall_seconds(JOB, costs, 64) == pytest.approx(7.0 + 10.0)
    assert wall_seconds(JOB, costs, 5) == pytest.approx(7.0 + 20.0)


def test_core_hours_count_idle_cores_and_that_of_the_scheduler() -> None:
    costs = Costs(seconds_per_megapixel=36.0, overhead_s=0.0)

    assert core_hours(JOB, costs, 1) == pytest.approx(4.0)
    assert core_hours(JOB, costs, 100) == pytest.approx(101 * 72 / 3600)
