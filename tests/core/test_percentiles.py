from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from simsearch.core.percentiles import (
    count_lower,
    count_upper,
    interpolate,
    is_settled_in_one_pass,
    locate,
    ranks,
    sort_keys,
    values_of,
)
from simsearch.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")


def values_of_type(dtype: str) -> st.SearchStrategy[NDArray[np.generic]]:
    finite = {"allow_nan": False, "allow_infinity": False} if dtype == "float32" else {}
    elements = npst.from_dtype(np.dtype(dtype), **finite)
    close = st.sampled_from([0, 1, 2, 100]).map(np.dtype(dtype).type)  # many equal values, in one bin
    return npst.arrays(dtype, st.integers(1, 60), elements=elements | close)


def radix_percentiles(pieces: Sequence[NDArray[np.generic]], wanted: Sequence[float], dtype: str) -> list[float]:
    """Select percentiles as `simsearch measure` does, piece by piece in two passes."""
    keys = [sort_keys(piece) for piece in pieces]
    upper = np.sum([count_upper(k) for k in keys], axis=0)
    n_values = int(upper.sum())

    def value(rank: int) -> float:
        upper_bin, inner = locate(upper, min(rank, n_values - 1))
        lower = 0
        if not is_settled_in_one_pass(dtype):
            lower, _ = locate(np.sum([count_lower(k, upper_bin) for k in keys], axis=0), inner)
        return float(values_of(np.array([upper_bin << 16 | lower], np.uint32), dtype)[0])

    places = ranks(wanted, n_values).tolist()
    return [interpolate(value(int(rank)), value(int(rank) + 1), rank) for rank in places]


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_percentiles_from_pieces_equal_those_of_the_whole(dtype: str, data: st.DataObject) -> None:
    values = data.draw(values_of_type(dtype))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(values)), max_size=5)))
    pieces = [piece for piece in np.split(values, cuts) if piece.size]
    wanted = [0.0, 5.0, 33.3, 95.0, 99.5, 100.0]
    expected = np.percentile(values.astype(np.float64), wanted, method="linear")
    np.testing.assert_array_equal(radix_percentiles(pieces, wanted, dtype), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_keys_sort_as_values_do_and_lead_back_to_them(dtype: str, data: st.DataObject) -> None:
    values = data.draw(values_of_type(dtype))
    keys = sort_keys(values)
    assert keys.dtype == np.uint32
    np.testing.assert_array_equal(values_of(keys, dtype), values.astype(np.float64))
    np.testing.assert_array_equal(values[np.argsort(keys, kind="stable")], np.sort(values))


def test_minus_zero_is_zero() -> None:
    assert sort_keys(np.float32([-0.0])) == sort_keys(np.float32([0.0]))


def test_the_byte_order_of_a_file_does_not_matter() -> None:
    for dtype in (">u2", ">f4"):
        np.testing.assert_array_equal(sort_keys(np.array([1, 300], dtype)), sort_keys(np.array([1, 300], dtype[1:])))


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_intensities_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(SourceError, match="got infinity: mask"):
        sort_keys(np.float32([0, bad, 1]))


@pytest.mark.parametrize("dtype", ["float64", "int64", "complex64", "bool"])
def test_types_without_32_bit_keys_are_refused(dtype: str) -> None:
    with pytest.raises(ConfigError, match=f"got {dtype}: convert the image first"):
        is_settled_in_one_pass(dtype)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 100))
@example([0, 0, 3], 0)
def test_a_rank_is_located_where_counting_one_by_one_finds_it(counts: list[int], rank: int) -> None:
    listed = [(bin_index, inner) for bin_index, n in enumerate(counts) for inner in range(n)]
    if rank < len(listed):
        assert locate(np.array(counts), rank) == listed[rank]
