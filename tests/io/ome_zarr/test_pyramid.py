"""Pyramids against a mean that is written as loops."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from simsearch.core.tiles import Region, tile_cores
from simsearch.io.ome_zarr.pyramid import halved, level_shapes, region_below

_INTEGERS = st.sampled_from([np.uint8, np.uint16, np.int16, np.uint32, np.int32])
_SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)


def _halved_by_loops(pixels: NDArray[np.integer]) -> NDArray[np.integer]:
    *_, height, width = pixels.shape
    out = np.empty((*pixels.shape[:-2], (height + 1) // 2, (width + 1) // 2), pixels.dtype)
    for index in np.ndindex(out.shape):
        *front, y, x = index
        block = pixels[(*front, slice(2 * y, 2 * y + 2), slice(2 * x, 2 * x + 2))]
        values = [int(value) for value in block.ravel()]
        out[index] = round(Fraction(sum(values), len(values)))  # halves go to even
    return out


@given(_INTEGERS.flatmap(lambda dtype: hnp.arrays(dtype, _SHAPES)))
def test_integers_are_the_rounded_mean_of_the_pixels_that_exist(pixels: NDArray[np.integer]) -> None:
    np.testing.assert_array_equal(halved(pixels), _halved_by_loops(pixels))


@given(hnp.arrays(np.float32, _SHAPES, elements=st.floats(-1e6, 1e6, width=32)))
def test_floats_are_the_mean_of_the_pixels_that_exist(pixels: NDArray[np.float32]) -> None:
    *_, height, width = pixels.shape
    result = halved(pixels)

    assert result.dtype == np.float32
    for y, x in np.ndindex((height + 1) // 2, (width + 1) // 2):
        block = pixels[..., 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(np.float64)
        np.testing.assert_allclose(result[..., y, x], block.mean(axis=(-2, -1)), rtol=1e-6, atol=1e-6)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)), st.integers(1, 9))
def test_tiles_of_a_level_are_made_as_the_whole_level_is(pixels: NDArray[np.uint8], tile: int) -> None:
    whole = halved(pixels)
    tiled = np.zeros_like(whole)
    for core in tile_cores(whole.shape, tile):
        tiled[core.slices] = halved(pixels[region_below(core, pixels.shape).slices])

    np.testing.assert_array_equal(tiled, whole)


def test_no_level_gets_brighter() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1024, 1024), dtype=np.uint8)
    mean = pixels.mean()
    for _ in range(4):
        pixels = halved(pixels)

    assert pixels.mean() == pytest.approx(mean, abs=0.1)


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_levels_halve_until_both_sides_are_small(height: int, width: int) -> None:
    shapes = level_shapes((height, width))

    assert shapes[0] == (height, width)
    assert max(shapes[-1]) <= 512
    assert all(max(shape) > 512 for shape in shapes[:-1])
    for (h0, w0), (h1, w1) in pairwise(shapes):
        assert (h1, w1) == (-(-h0 // 2), -(-w0 // 2))


def test_a_region_comes_from_the_pixels_below_it_that_exist() -> None:
    assert region_below(Region(2, 4, 0, 3), (7, 5)) == Region(4, 7, 0, 5)
