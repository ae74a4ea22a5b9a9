from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.tiles import Region, pad_to, tile_cores
from simsearch.errors import ShapeError

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def regions_meeting(draw: st.DrawFn, shape: tuple[int, int]) -> Region:
    """Draw a region that has at least one pixel in an image, and may reach far outside."""
    bounds = []
    for side in shape:
        pixel = draw(st.integers(0, side - 1))
        bounds += [pixel - draw(st.integers(0, 50)), pixel + 1 + draw(st.integers(0, 50))]
    return Region(*bounds)


@given(SHAPES, st.integers(1, 50))
def test_every_pixel_is_in_exactly_one_core(shape: tuple[int, int], tile: int) -> None:
    times = np.zeros(shape, int)
    for core in tile_cores(shape, tile):
        assert core.clipped(shape) == core
        assert max(core.shape) <= tile
        times[core.slices] += 1
    assert (times == 1).all()


def test_cores_come_in_reading_order() -> None:
    cores = list(tile_cores((70, 50), 32))
    assert cores == sorted(cores)
    assert cores[0] == Region(0, 32, 0, 32)
    assert cores[-1] == Region(64, 70, 32, 50)


@pytest.mark.parametrize("tile", [0, -3])
def test_a_tile_without_pixels_is_refused(tile: int) -> None:
    with pytest.raises(ShapeError, match=rf"at least 1 px, got {tile}"):
        list(tile_cores((5, 5), tile))


@given(st.data(), SHAPES)
def test_padding_a_region_equals_cutting_it_from_the_padded_image(data: st.DataObject, shape: tuple[int, int]) -> None:
    region = data.draw(regions_meeting(shape))
    image = np.arange(2 * shape[0] * shape[1]).reshape(2, *shape)
    margin = 100
    whole = np.pad(image, [(0, 0), (margin, margin), (margin, margin)], mode="edge")
    shifted = Region(region.y0 + margin, region.y1 + margin, region.x0 + margin, region.x1 + margin)
    inside = image[(..., *region.clipped(shape).slices)]
    np.testing.assert_array_equal(pad_to(inside, region, shape), whole[(..., *shifted.slices)])


def test_a_region_inside_is_given_back_without_a_copy() -> None:
    image = np.zeros((3, 8, 8))
    region = Region(2, 5, 0, 8)
    inside = image[(..., *region.slices)]
    assert pad_to(inside, region, (8, 8)) is inside


@pytest.mark.parametrize("region", [Region(0, 4, 0, 4), Region(20, 30, 0, 5)], ids=["other pixels", "outside"])
def test_pixels_that_are_not_the_inside_of_the_region_are_refused(region: Region) -> None:
    with pytest.raises(ShapeError, match="inside the image"):
        pad_to(np.zeros((1, 3, 4)), region, (10, 10))


@given(st.data(), SHAPES, st.integers(0, 9))
def test_growing_then_clipping_reads_no_pixel_outside(data: st.DataObject, shape: tuple[int, int], margin: int) -> None:
    region = data.draw(regions_meeting(shape))
    grown = region.grown(margin)
    assert grown.shape == (region.shape[0] + 2 * margin, region.shape[1] + 2 * margin)
    clipped = grown.clipped(shape)
    expected = np.zeros((200, 200), bool)  # the image starts at (80, 80) of this canvas
    expected[grown.y0 + 80 : grown.y1 + 80, grown.x0 + 80 : grown.x1 + 80] = True
    expected = expected[80 : 80 + shape[0], 80 : 80 + shape[1]]
    got = np.zeros(shape, bool)
    got[clipped.slices] = True
    np.testing.assert_array_equal(got, expected)


def test_a_region_outside_an_image_clips_to_nothing() -> None:
    assert 0 in Region(-9, -2, 3, 5).clipped((10, 10)).shape
    assert 0 in Region(3, 5, 12, 20).clipped((10, 10)).shape
