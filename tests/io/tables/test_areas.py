"""Outlines of areas are valid, keep holes, and lie within the tolerance of what they outline."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from shapely import Point, union_all

from simsearch.io.tables.areas import outline


def test_a_ring_keeps_its_hole_in_level_0_pixels() -> None:
    mask = np.zeros((20, 30), bool)
    mask[4:16, 5:25] = True
    mask[8:12, 10:20] = False
    (ring,) = outline(mask, downsampling=8, tolerance=0.0)
    (hole,) = ring.interiors
    assert ring.exterior.bounds == pytest.approx((8 * 5, 8 * 4, 8 * 25, 8 * 16))
    assert hole.bounds == pytest.approx((8 * 10, 8 * 8, 8 * 20, 8 * 12))
    assert ring.area == pytest.approx(64 * mask.sum(), rel=0.02)  # but for cut corners


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_outlines_of_any_mask_are_valid_and_near_it(seed: int, tolerance: float) -> None:
    mask = gaussian_filter(np.random.default_rng(seed).standard_normal((40, 50)), 1.5) > 0.1
    exact, simple = (list(outline(mask, 1, each)) for each in (0.0, tolerance))
    assert all(polygon.is_valid and polygon.area > 0 for polygon in (*exact, *simple))
    assert sum(p.area for p in exact) == pytest.approx(mask.sum(), rel=0.1)
    edges = union_all([p.boundary for p in exact])
    for polygon in simple:
        points = [Point(xy) for ring in (polygon.exterior, *polygon.interiors) for xy in ring.coords]
        assert max(edges.distance(point) for point in points) <= tolerance + 1e-6


def test_nothing_has_no_outline() -> None:
    assert list(outline(np.zeros((5, 5), bool), 1, 1.0)) == []
