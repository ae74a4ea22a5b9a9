"""Stained tissue is told from glass."""

from __future__ import annotations

import numpy as np
import skimage.data

from simsearch.core.tissue import tissue_mask


def slide(white: float = 0.95) -> np.ndarray:
    """Draw a pink disc on glass, with a little noise."""
    y, x = np.mgrid[:80, :100]
    disc = np.hypot(y - 40, x - 50) < 25
    colors = np.array([0.8, 0.5, 0.7])[:, None, None]
    pixels = np.where(disc, colors, white)
    return np.clip(pixels + np.random.default_rng(0).normal(0, 0.01, pixels.shape), 0, 1)


def test_a_disc_on_glass() -> None:
    y, x = np.mgrid[:80, :100]
    distance = np.hypot(y - 40, x - 50)
    mask = tissue_mask(slide())

    assert mask[distance < 23].all()
    assert not mask[distance > 28].any()


def test_dim_glass_is_glass() -> None:
    assert tissue_mask(slide(white=0.85)).mean() < 0.3


def test_glass_alone_is_no_tissue() -> None:
    assert not tissue_mask(np.full((3, 40, 40), 0.93)).any()


def test_tissue_without_glass_is_tissue_everywhere() -> None:
    assert tissue_mask(np.broadcast_to(np.array([0.6, 0.4, 0.6])[:, None, None], (3, 40, 40))).all()


def test_the_lumen_of_a_real_gland_is_none() -> None:
    whole = skimage.data.immunohistochemistry().transpose(2, 0, 1) / 255
    mask = tissue_mask(whole.reshape(3, 64, 8, 64, 8).mean(axis=(2, 4)), closing=0)

    assert not mask[44:47, 1:3].any()  # the wide lumen at the left
    assert mask[5:20, 5:25].all()  # epithelium
