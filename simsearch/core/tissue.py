"""Where on a stained slide there is tissue: glass lets all light through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPTICAL_DENSITY = 0.15  # below it a pixel is transparent (Macenko et al. 2009, ISBI: beta)
_WHITE_PERCENTILE = 99
_DARKEST_WHITE = 0.8  # of full intensity: a field full of tissue has no glass to tell what white is


def tissue_mask(pixels: NDArray[np.floating], closing: int = 4) -> NDArray[np.bool_]:
    """Tell tissue from glass in an overview of a brightfield image.

    Parameters
    ----------
    pixels : (3, H, W) array
        Red, green and blue in [0, 1].
    closing : int
        Gaps up to twice as many pixels wide are filled; 0 fills none.

    Returns
    -------
    (H, W) bool array
        Whether any colour is absorbed: its optical density, natural logarithm, is at least 0.15.
    """
    smooth = ndimage.median_filter(pixels, size=(1, 3, 3), mode="nearest")
    white = np.maximum(np.percentile(smooth, _WHITE_PERCENTILE, axis=(1, 2)), _DARKEST_WHITE)[:, None, None]
    density = -np.log(np.maximum(smooth, 1 / 255) / white)
    absorbs: NDArray[np.bool_] = (density >= _OPTICAL_DENSITY).any(axis=0)
    if not closing:
        return absorbs
    padded = np.pad(absorbs, closing, mode="edge")  # closing would take tissue off the border
    mask: NDArray[np.bool_] = ndimage.binary_closing(padded, iterations=closing)
    return mask[closing:-closing, closing:-closing]
