from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.intensity import SPREAD_PERCENTILES, check_ranges, pool_range, rescale, set_range
from simsearch.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def spread(pixels: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.percentile(pixels, SPREAD_PERCENTILES)


@pytest.mark.parametrize("share", [0.002, 0.01, 0.04])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_rare_beside_noise_is_in_the_range(share: float, sign: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(0, 10, 200_000)
    empty = spread(rng.normal(0, 10, 200_000))
    pixels[: int(share * len(pixels))] += sign * rng.uniform(500, 1000, int(share * len(pixels)))
    low, high = set_range(np.array([spread(pixels), empty]))
    near, far = (low, high) if sign > 0 else (-high, -low)
    assert -20 < near < -10
    assert 500 < far < 1020


@pytest.mark.parametrize("share", [0.0005, 0.1])
def test_the_range_is_that_of_the_paper_where_nothing_or_much_is_beyond_noise(share: float) -> None:
    pixels = np.random.default_rng(0).normal(0, 10, 200_000)
    pixels[: int(share * len(pixels))] += 800
    table = np.array([spread(pixels)])
    assert set_range(table) == pool_range(table[:, [1, 3]])


def test_one_image_with_much_to_see_makes_the_range_of_all() -> None:
    rare, dense = [9.0, 10.0, 11.0, 12.0, 900.0], [9.0, 10.0, 11.0, 300.0, 350.0]
    assert set_range(np.array([rare, dense])) == pool_range(np.array([[10.0, 12.0], [10.0, 300.0]]))


def test_a_channel_that_is_constant_but_for_little_has_a_range() -> None:
    assert set_range(np.array([[7.0, 7.0, 7.0, 7.0, 90.0]])) == (7.0, 90.0)
