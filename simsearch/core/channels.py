"""Correlation between channels from moments of pieces that merge (paper section 2.2)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Moments:
    """How many pixels, their mean and their co-moments."""

    n_pixels: int
    """Number of pixels."""
    mean: NDArray[np.float64]
    """(C,) mean intensity of each channel."""
    comoment: NDArray[np.float64]
    """(C, C) sums of products of deviations from the mean."""


def moments(pixels: NDArray[np.generic]) -> Moments | None:
    """Compute the moments of a piece of an image.

    Parameters
    ----------
    pixels : (C, H, W) array
        Intensities. Pixels that are NaN in a channel do not count.

    Returns
    -------
    Moments or None
        None if no pixel counts.
    """
    values = pixels.reshape(len(pixels), -1).astype(np.float64)
    if pixels.dtype.kind == "f":
        values = values[:, ~np.isnan(values).any(axis=0)]
    if not values.size:
        return None
    mean = values.mean(axis=1)
    deviation = values - mean[:, None]
    return Moments(values.shape[1], mean, deviation @ deviation.T)


def merge(first: Moments, second: Moments) -> Moments:
    """Merge the moments of two pieces without loss (Chan, Golub and LeVeque 1979)."""
    n_pixels = first.n_pixels + second.n_pixels
    step = second.mean - first.mean
    mean = first.mean + step * (second.n_pixels / n_pixels)
    between = np.outer(step, step) * (first.n_pixels * second.n_pixels / n_pixels)
    return Moments(n_pixels, mean, first.comoment + second.comoment + between)


def correlation(pieces: Iterable[Moments]) -> NDArray[np.float64]:
    """Correlate the channels of an image, given the moments of its pieces.

    Returns
    -------
    (C, C) array
        Pearson's correlation; NaN where a channel is constant.
    """
    total = reduce(merge, pieces)
    deviation = np.sqrt(np.diag(total.comoment))
    with np.errstate(divide="ignore", invalid="ignore"):
        matrix: NDArray[np.float64] = total.comoment / np.outer(deviation, deviation)
    return np.clip(matrix, -1, 1)


def mean_correlation(matrices: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Average the correlation matrices of images, each over the images where it is defined.

    Returns
    -------
    (C, C) array
        NaN where it is defined in no image.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")
        mean: NDArray[np.float64] = np.nanmean(np.stack(matrices), axis=0)
    return mean
