"""Crops that a trunk is trained on are what lies in the images, at their scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.distill_trunk import Pool, make_pool, sample_batch

HEIGHT, WIDTH = 300, 400


@pytest.fixture(scope="module")
def ramp() -> Pool:
    """Make an image whose red tells the row and whose green the column: interpolation gives them back."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([rows * 0.5, columns * 0.5, np.full_like(rows, 7)], axis=-1)
    return make_pool({"photo": [image.astype(np.uint8)]}, torch.device("cpu"))


@pytest.mark.parametrize("spans", [(24, 40), (90, 110), (200, 280)])
def test_crops_are_squares_of_the_image_resized(ramp: Pool, spans: tuple[float, float]) -> None:
    crops = sample_batch(ramp, 16, 48, (0, 1), spans) * 255
    assert crops.shape == (16, 3, 48, 48)
    assert (crops[:, 2] == 7).all()
    for axis, side in ((1, HEIGHT), (2, WIDTH)):
        values = 2 * crops[:, axis - 1].mean(dim=3 - axis)  # rows or columns of the image, rounded down to even ones
        assert values.min() > -1
        assert values.max() < side
        pitch = (values[:, 40] - values[:, 8]) / 32
        assert (pitch * 48 > spans[0] - 3).all()
        assert (pitch * 48 < spans[1] + 3).all()


def test_the_same_seed_gives_the_same_crops(ramp: Pool) -> None:
    first, again, other = (sample_batch(ramp, 4, 32, seed, (40, 200)) for seed in ((3, 1), (3, 1), (3, 2)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_span_wider_than_an_image_takes_all_of_its_shorter_side(ramp: Pool) -> None:
    crops = sample_batch(ramp, 4, 30, (5,), (500, 600)) * 255
    rows = 2 * crops[:, 0].mean(dim=2)
    assert (rows[:, 0] < 12).all()
    assert (rows[:, -1] > HEIGHT - 14).all()


def test_kinds_are_taken_by_their_weights() -> None:
    dark, bright = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    pool = make_pool({"blood": [dark], "texture": [bright, bright]}, torch.device("cpu"))  # four to one
    share = sample_batch(pool, 2000, 8, (0,), (16, 32)).mean().item()
    assert share == pytest.approx(0.2, abs=0.04)
