"""Exact percentiles of pixels that never are in one place: counted in pieces, merged, then read off.

A value becomes a 32-bit key that sorts as the value does. One pass counts the upper halves of the keys, which
settles 8- and 16-bit images. For others a second pass counts the lower halves inside the few bins that the
percentiles fall into (a radix selection).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simsearch.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

N_BINS = 2**16
"""Number of values of half a key."""

_SUPPORTED = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")


def is_settled_in_one_pass(dtype: str) -> bool:
    """Tell whether the upper halves of the keys hold all there is to know.

    Raises
    ------
    ConfigError
        If values of this type have no 32-bit key.
    """
    if dtype not in _SUPPORTED:
        raise ConfigError(f"expected pixels of type {', '.join(_SUPPORTED)}, got {dtype}: convert the image first")
    return np.dtype(dtype).itemsize <= 2


def sort_keys(values: NDArray[np.generic]) -> NDArray[np.uint32]:
    """Map values to integers of the same order.

    Parameters
    ----------
    values : (...) array
        Integers of up to 32 bits or float32, none infinite.

    Returns
    -------
    uint32 array
        Of the same shape, or (N,) if there are NaN, which are left out. 16-bit and 8-bit values fill the upper half, so
        that one pass settles them.

    Raises
    ------
    SourceError
        If a value is infinite.

    Examples
    --------
    >>> sort_keys(np.float32([-1.5, 0.0, 2.0])).argsort().tolist()
    [0, 1, 2]
    """
    dtype = values.dtype
    if dtype.kind == "f":
        if not np.isfinite(values).all():
            values = values[~np.isnan(values)]
            if np.isinf(values).any():
                raise SourceError("expected finite intensities, got infinity: mask or re-export the image")
        numbers = np.ascontiguousarray(values, np.float32) + np.float32(0)  # -0.0 and 0.0 are one value
        bits = numbers.view(np.uint32)
        return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint32)
    keys = (values.astype(np.int64) - int(np.iinfo(dtype.name).min)).astype(np.uint32)
    return keys << np.uint32(16) if dtype.itemsize <= 2 else keys


def values_of(keys: NDArray[np.uint32], dtype: str) -> NDArray[np.float64]:
    """Undo `sort_keys`.

    Examples
    --------
    >>> values_of(sort_keys(np.int16([-7, 7])), "int16").tolist()
    [-7.0, 7.0]
    """
    if np.dtype(dtype).kind == "f":
        bits = np.where(keys >> 31, keys & np.uint32(2**31 - 1), ~keys)
        return bits.astype(np.uint32).view(np.float32).astype(float)
    shift = 16 if np.dtype(dtype).itemsize <= 2 else 0
    return (keys >> shift).astype(float) + float(np.iinfo(dtype).min)


def count_upper(keys: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Count the upper halves of keys, as (65536,)."""
    return np.bincount((keys >> 16).ravel(), minlength=N_BINS)


def count_lower(keys: NDArray[np.uint32], upper: int) -> NDArray[np.int64]:
    """Count the lower halves of the keys with a given upper half, as (65536,)."""
    return np.bincount(keys[keys >> 16 == upper] & np.uint32(0xFFFF), minlength=N_BINS)


def ranks(percentiles: Sequence[float], n_values: int) -> NDArray[np.float64]:
    """Return the fractional ranks of percentiles, as numpy's linear method defines them."""
    return np.asarray(percentiles, float) / 100 * (n_values - 1)


def locate(counts: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """Find the bin that holds the value of a rank, and the rank inside that bin.

    Examples
    --------
    >>> locate(np.array([2, 0, 3]), 3)
    (2, 1)
    """
    cumulated = np.cumsum(counts)
    bin_index = int(np.searchsorted(cumulated, rank, side="right"))
    return bin_index, rank - int(cumulated[bin_index - 1] if bin_index else 0)


def interpolate(below: float, above: float, rank: float) -> float:
    """Interpolate between the values of the two ranks around a fractional one, to the last bit as numpy does."""
    part = rank - int(rank)
    return above - (above - below) * (1 - part) if part >= 0.5 else below + (above - below) * part
