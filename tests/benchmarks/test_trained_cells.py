"""Models of labelled cells: what they are trained on judges none of them, and what they are asked."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.trained_cells import ROWS
from benchmarks.trunks import highest_near


def test_no_well_is_both_trained_on_and_judged() -> None:
    assert set(ROWS["A"]).isdisjoint(ROWS["B"])


@pytest.mark.parametrize(
    ("point", "highest"),
    [
        ((79.5, 79.5), 5),  # at half the resolution 39.5: grid position 5, whose own value it is
        ((63.5, 63.5), 5),  # position 4, and 5 beside it
        ((47.5, 47.5), 0),  # position 3
        ((0, 0), 1),  # at the corner
        ((200, 200), 2),  # beyond the last position: that counts
    ],
)
def test_a_map_is_read_at_a_point_and_one_step_around_it(point: tuple[float, float], highest: float) -> None:
    values = np.zeros((9, 9), np.float32)
    values[0, 0], values[5, 5], values[8, 8] = 1, 5, 2
    assert highest_near(values, point, downsampling=2, stride=8) == highest
