from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.channels import correlation, mean_correlation, merge, moments

PIECES = st.lists(st.integers(1, 7), min_size=1, max_size=6)


@given(st.integers(0, 2**32 - 1), PIECES, st.integers(2, 4), st.booleans())
def test_correlation_from_pieces_equals_that_of_the_whole(
    seed: int, widths: list[int], n_channels: int, is_far_from_zero: bool
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(n_channels, 5, sum(widths)))
    image[1] += image[0]
    image += 1e6 * is_far_from_zero
    pieces = np.split(image, np.cumsum(widths)[:-1], axis=2)
    expected = np.corrcoef(image.reshape(n_channels, -1))
    np.testing.assert_allclose(correlation(moments(piece) for piece in pieces), expected, atol=1e-7)


def test_merged_moments_are_those_of_the_whole() -> None:
    image = np.random.default_rng(0).integers(0, 65536, (3, 20, 30)).astype(np.uint16)
    merged = merge(moments(image[:, :7]), moments(image[:, 7:]))
    values = image.reshape(3, -1).astype(float)
    assert merged.n_pixels == 600
    np.testing.assert_allclose(merged.mean, values.mean(axis=1))
    np.testing.assert_allclose(merged.comoment, np.cov(values) * 599)


@pytest.mark.parametrize("constant", [7.0, 0.1, 1e-3, 1e7 / 3])
def test_a_constant_channel_correlates_with_nothing(constant: float) -> None:
    image = np.random.default_rng(0).random((2, 99, 101)).astype(np.float32)
    image[1] = constant
    matrix = correlation([moments(image[:, :40]), moments(image[:, 40:])])
    assert np.isnan(matrix[[0, 1, 1], [1, 0, 1]]).all()
    assert matrix[0, 0] == pytest.approx(1)


def test_a_channel_that_is_constant_in_each_piece_but_not_in_the_image_correlates() -> None:
    image = np.stack([np.repeat([0.0, 1.0, 2.0], 4), np.repeat([5.0, 3.0, 1.0], 4)]).reshape(2, 1, 12)
    matrix = correlation(moments(piece) for piece in np.split(image, 3, axis=2))
    assert matrix[0, 1] == pytest.approx(-1)


def test_the_mean_over_images_ignores_those_where_a_channel_is_constant() -> None:
    nan = np.nan
    matrices = [np.array([[1, 0.5], [0.5, 1]]), np.array([[1, nan], [nan, nan]]), np.array([[1, 0.7], [0.7, 1]])]
    np.testing.assert_allclose(mean_correlation(matrices), [[1, 0.6], [0.6, 1]])


def test_the_mean_is_undefined_where_all_images_are() -> None:
    matrix = np.array([[1, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(mean_correlation([matrix, matrix]), matrix)
