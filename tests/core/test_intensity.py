from __future__ import annotations

import numpy as np
import pytest

from simsearch.core.intensity import check_ranges, pool_range, rescale
from simsearch.errors import ConfigError, ShapeError


def test_the_range_is_the_outer_percentiles_of_the_images_percentiles() -> None:
    table = np.random.default_rng(0).normal((10, 200), 5, (500, 2))
    low, high = pool_range(table)
    assert low == np.percentile(table[:, 0], 0.5)
    assert high == np.percentile(table[:, 1], 99.5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_each_channel_is_rescaled_by_its_own_range_and_clipped(dtype: str) -> None:
    pixels = np.arange(24).reshape(2, 3, 4).astype(dtype)
    ranges = [(2.0, 8.0), (10.0, 30.0)]
    got = rescale(pixels, ranges)
    assert got.dtype == np.float32
    for c, (low, high) in enumerate(ranges):
        for position, value in np.ndenumerate(pixels[c]):
            expected = min(max((float(value) - low) / (high - low), 0), 1)
            assert got[(c, *position)] == pytest.approx(expected, abs=1e-6)


def test_a_range_for_each_channel_is_needed() -> None:
    with pytest.raises(ShapeError, match="each of 2 channels, got 1"):
        rescale(np.zeros((2, 3, 3)), [(0.0, 1.0)])


@pytest.mark.parametrize("bad", [(5.0, 5.0), (5.0, 4.0), (float("nan"), 1.0)])
def test_a_range_that_cannot_be_divided_by_is_refused_and_the_channel_named(bad: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match=r"channel GFP: expected intensities that vary, got .*--channels"):
        check_ranges([(0.0, 1.0), bad], ["DNA", "GFP"])
