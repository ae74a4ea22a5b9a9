from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.feature_grid import FeatureGrid, from_level0, to_level0, working_downsampling
from simsearch.core.tiles import tile_cores

STRIDES = st.sampled_from([4, 8, 4.8, 5.0, 0.1 * 53, 0.1 * 71])


@given(STRIDES, st.integers(1, 500))
def test_the_grid_has_all_positions_inside_an_image_and_no_other(stride: float, n_pixels: int) -> None:
    size = FeatureGrid(stride).size(n_pixels)
    assert (size - 1) * stride < n_pixels <= size * stride * (1 + 1e-12)


@given(STRIDES, st.integers(0, 300), st.integers(1, 300))
def test_a_span_has_the_indices_whose_positions_lie_in_it(stride: float, start: int, length: int) -> None:
    first, last = FeatureGrid(stride).span(start, start + length)
    listed = [index for index in range(700) if start <= index * stride < start + length]
    assert list(range(first, last)) == listed


@given(STRIDES, st.integers(1, 300), st.integers(1, 90))
def test_spans_of_tiles_partition_the_grid(stride: float, side: int, tile: int) -> None:
    grid = FeatureGrid(stride)
    indices = [i for core in tile_cores((side, 1), tile) for i in range(*grid.span(core.y0, core.y1))]
    assert indices == list(range(grid.size(side)))


@given(st.floats(-1e5, 1e5), st.sampled_from([1, 2, 4, 8, 64]))
def test_levels_lead_there_and_back(position: float, downsampling: int) -> None:
    assert from_level0(to_level0(position, downsampling), downsampling) == pytest.approx(position, abs=1e-6)


def test_a_pixel_of_a_level_lies_amid_those_it_is_the_mean_of() -> None:
    assert to_level0(3, 4) == pytest.approx((12 + 13 + 14 + 15) / 4)


@given(st.floats(1, 5000), st.floats(1, 5000))
def test_the_longer_side_of_a_patch_gets_48_to_96_px_unless_it_is_smaller_already(height: float, width: float) -> None:
    downsampling = working_downsampling((height, width))
    assert downsampling & (downsampling - 1) == 0
    longer = max(height, width) / downsampling
    assert longer < 96
    assert longer >= 48 or downsampling == 1


@pytest.mark.parametrize(("side", "downsampling"), [(47, 1), (48, 1), (95.9, 1), (96, 2), (191, 2), (192, 4)])
def test_downsampling_changes_where_two_times_48_px_fit(side: float, downsampling: int) -> None:
    assert working_downsampling((side, 10)) == downsampling
