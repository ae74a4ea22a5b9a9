"""Images that are drawn for training: in range, of many looks, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.procedural import FAMILIES, draw

SIDE = 96


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_draws_grey_images_that_show_something(name: str) -> None:
    images = [FAMILIES[name](np.random.default_rng(seed), SIDE) for seed in (0, 0, 1, 2)]
    for image in images:
        assert image.shape == (SIDE, SIDE)
        assert image.dtype == np.float32
        assert image.min() >= 0
        assert image.max() <= 1
    assert np.median([image.std() for image in images]) > 0.02
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_drawn_images_are_in_grey_and_in_colour_and_none_like_another() -> None:
    images = [draw(np.random.default_rng(seed), SIDE) for seed in range(40)]
    assert {(image.shape, image.dtype.name) for image in images} == {((SIDE, SIDE, 3), "uint8")}
    n_grey = sum(bool((image[..., :1] == image).all()) for image in images)
    assert 6 < n_grey < 30
    shown = np.stack([image.mean(axis=2).ravel() for image in images if image.std() > 1])
    assert len(shown) > 35
    alike = np.corrcoef(shown) - np.eye(len(shown))
    assert np.abs(alike).max() < 0.9
