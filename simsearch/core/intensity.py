"""Intensity ranges of a set of images and rescaling to [0, 1] (paper section 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simsearch.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

IMAGE_PERCENTILES = (5.0, 95.0)
"""Which percentiles of an image's intensities describe it (paper section 2.2)."""

SPREAD_PERCENTILES = (0.1, 5.0, 50.0, 95.0, 99.9)
"""Those, and what tells whether anything lies beyond them."""

SET_PERCENTILES = (0.5, 99.5)
"""Which percentiles of the images' percentiles bound the range (paper section 2.2)."""

Range = tuple[float, float]

_EVEN = 2  # times as far above the median as below: still background alone
_FAR = 6  # times as far from the median as the percentiles of background: 10 standard deviations of noise


def pool_range(percentiles: NDArray[np.floating]) -> Range:
    """Find the range of a channel from the percentiles of every image.

    Parameters
    ----------
    percentiles : (N, 2) array
        The 5th and the 95th percentile of each image.

    Returns
    -------
    (float, float)
        The 0.5th percentile of the 5th percentiles and the 99.5th percentile of the 95th percentiles.

    Examples
    --------
    >>> pool_range(np.array([[10.0, 200.0]]))
    (10.0, 200.0)
    """
    low, high = SET_PERCENTILES
    return float(np.percentile(percentiles[:, 0], low)), float(np.percentile(percentiles[:, 1], high))


def set_range(percentiles: NDArray[np.floating]) -> Range:
    """Find the range of a channel from the percentiles of every image, also where what is to be seen is rare.

    The percentiles of the paper are those of background where less than 5 % of each image is anything else. Then what
    is bright, or dark, lies far beyond them. The range reaches as far as in the median image that has such pixels.

    Parameters
    ----------
    percentiles : (N, 5) array
        `SPREAD_PERCENTILES` of each image.

    Returns
    -------
    (float, float)
        As `pool_range`, unless in every image the 95th percentile is at most twice as far above the median as the 5th
        is below it, and in one at least the 99.9th is six times as far as both: then up to there. Mirrored for what is
        darker than background.

    Examples
    --------
    >>> set_range(np.array([[8.0, 9.0, 10.0, 11.0, 200.0]]))
    (9.0, 200.0)
    >>> set_range(np.array([[8.0, 9.0, 10.0, 100.0, 200.0]]))
    (9.0, 100.0)
    """
    lowest, low, median, high, highest = np.asarray(percentiles, np.float64).T
    least, most = pool_range(percentiles[:, [1, 3]])
    bright, dark = (
        _is_rare(median - low, high - median, highest - median),
        _is_rare(high - median, median - low, median - lowest),
    )
    if bright.any():
        most = max(most, float(np.median(highest[bright])))
    if dark.any():
        least = min(least, float(np.median(lowest[dark])))
    return least, most


def _is_rare(other: NDArray[np.float64], near: NDArray[np.float64], far: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which images have something rare on one side of their median; none if in one of them it is not rare."""
    if (near > _EVEN * other).any():
        return np.zeros(len(near), bool)
    found: NDArray[np.bool_] = far > _FAR * np.maximum(near, other)
    return found


def check_ranges(ranges: Sequence[Range], channel_names: Sequence[str]) -> None:
    """Refuse ranges that rescaling would divide by zero.

    Raises
    ------
    ConfigError
        If a channel has the same intensity everywhere.
    """
    for (low, high), name in zip(ranges, channel_names, strict=True):
        if not high > low:
            raise ConfigError(
                f"channel {name}: expected intensities that vary, got {low:g} nearly everywhere: "
                "leave the channel out (--channels) or give its range (--measure FILE)"
            )


def rescale(pixels: NDArray[np.generic], ranges: Sequence[Range]) -> NDArray[np.float32]:
    """Rescale the intensities of each channel from its range to [0, 1], clipped; NaN, which is no intensity, to 0.

    Parameters
    ----------
    pixels : (C, H, W) array
        Intensities of an image.
    ranges : sequence of (float, float)
        Lowest and highest intensity of each channel.

    Returns
    -------
    (C, H, W) float32 array

    Raises
    ------
    ShapeError
        If there is not one range for each channel.

    Examples
    --------
    >>> rescale(np.array([[[0, 15, 40]]], np.uint8), [(10.0, 20.0)])
    array([[[0. , 0.5, 1. ]]], dtype=float32)
    """
    if len(pixels) != len(ranges):
        raise ShapeError(f"expected one range for each of {len(pixels)} channels, got {len(ranges)}")
    low = np.array([r[0] for r in ranges], np.float32)[:, None, None]
    high = np.array([r[1] for r in ranges], np.float32)[:, None, None]
    rescaled = pixels.astype(np.float32)
    rescaled -= low
    rescaled /= high - low
    np.clip(rescaled, 0, 1, out=rescaled)
    if pixels.dtype.kind == "f":
        rescaled[np.isnan(rescaled)] = 0.0
    return rescaled
