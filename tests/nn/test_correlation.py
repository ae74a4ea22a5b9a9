"""Correlations are those of torch but for rounding, and the same wherever tiles end."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from simsearch.nn.correlation import correlate, smooth
from simsearch.nn.features import gaussian


@pytest.mark.parametrize(("n", "shape"), [(1, (1, 1)), (4, (7, 7)), (3, (3, 7)), (3, (7, 5)), (16, (5, 5))])
def test_a_correlation_is_a_convolution(rng: torch.Generator, n: int, shape: tuple[int, int]) -> None:
    maps, blocks = torch.rand(24, 40, 30, generator=rng), torch.rand(n, 24, *shape, generator=rng)
    expected = functional.conv2d(maps[None].double(), blocks.double())[0].float()
    torch.testing.assert_close(correlate(maps, blocks), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n", "side"), [(4, 7), (2, 3), (20, 7)])
def test_a_correlation_does_not_depend_on_what_is_beside_it(rng: torch.Generator, n: int, side: int) -> None:
    maps = torch.rand(128, 60, 64, generator=rng).contiguous()
    blocks = torch.rand(n, 128, side, side, generator=rng)
    whole = correlate(maps, blocks)
    for y, x, h, w in ((0, 0, 1, 1), (3, 4, 2, 3), (10, 11, 1, 40), (5, 6, 44, 2), (20, 22, 13, 17), (7, 1, 40, 50)):
        cut = maps[:, y : y + h + side - 1, x : x + w + side - 1]
        assert torch.equal(correlate(cut, blocks), whole[:, y : y + h, x : x + w]), (y, x, h, w)


def test_smoothing_is_a_convolution_with_the_window(rng: torch.Generator) -> None:
    values, window = torch.rand(20, 30, generator=rng), gaussian((5, 3))
    expected = functional.conv2d(values[None, None], window[None, None])[0, 0]
    torch.testing.assert_close(smooth(values, window), expected)
    assert torch.equal(smooth(values[4:12, 3:9], window), smooth(values, window)[4:8, 3:7])
