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

SET_PERCENTILES = (0.5, 99.5)
"""Which percentiles of the images' percentiles bound the range (paper section 2.2)."""

Range = tuple[float, float]


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
