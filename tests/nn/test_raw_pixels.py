"""Pixels that become intensities where a network looks give what intensities of all of them give, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simsearch.core.intensity import rescale
from simsearch.core.tiles import Region, pad_to
from simsearch.errors import ShapeError
from simsearch.nn.device import Arithmetic, fast_inference, with_weights_for
from simsearch.nn.extractor import Extractor, make_extractor, needed_region, vectors
from simsearch.nn.raw_pixels import RawPixels
from simsearch.nn.trunk import Trunk, fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_GPU])]
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]
RANGES = ((3.0, 200.7), (-1.5, 77.0))
SHAPE = (20, 30)

Side = st.tuples(st.integers(-40, 40), st.integers(1, 40))


def image(dtype: str, shape: tuple[int, ...] = (2, *SHAPE)) -> NDArray[np.generic]:
    pixels = np.random.default_rng(0).integers(0, 120, shape).astype(dtype)
    if pixels.dtype.kind == "f":
        pixels[:, 3, 4:7] = np.nan, np.inf, -np.inf
    return pixels


def raw(pixels: NDArray[np.generic], region: Region, device: str = "cpu") -> RawPixels:
    inside = region.clipped(pixels.shape[1:])
    values = torch.from_numpy(np.ascontiguousarray(pixels[:, *inside.slices])).to(device)
    return RawPixels(values, RANGES if len(pixels) == 2 else RANGES[:1] * len(pixels), inside, region)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]
)
def test_they_are_rescaled_as_numpy_rescales_them(dtype: str, device: str) -> None:
    pixels, region = image(dtype), Region(-7, 25, 2, 48)
    before, found = pixels.copy(), raw(pixels, region, device)
    expected = pad_to(rescale(pixels[:, *found.inside.slices], RANGES), region, SHAPE)
    assert found.shape == (1, *expected.shape)
    np.testing.assert_array_equal(found.intensities().cpu().numpy(), expected)
    np.testing.assert_array_equal(pixels, before)  # float32 is not rescaled in place


@given(Side, Side)
@settings(max_examples=60)
def test_a_window_is_that_of_the_padded_image(rows: tuple[int, int], columns: tuple[int, int]) -> None:
    pixels, region = image("uint8"), Region(-100, 120, -100, 130)
    padded = pad_to(rescale(pixels, RANGES), region, SHAPE)
    window = Region(rows[0], sum(rows), columns[0], sum(columns)).shifted(100)
    found = raw(pixels, region)
    np.testing.assert_array_equal(found.intensities(window).numpy(), padded[:, *window.slices])
    part = replace(found, region=window.shifted(-100))
    np.testing.assert_array_equal(part.intensities().numpy(), padded[:, *window.slices])


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    chosen: Arithmetic = request.param
    return chosen


@pytest.fixture(scope="module")
def trunk(arithmetic: Arithmetic) -> Trunk:
    trunk = fused(trunk_from_bytes(read_trunk("bundled"), 3))
    with_weights_for(arithmetic, trunk)
    return trunk.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("method", ["template", "template-deep", "pooled", "patchwise"])
@pytest.mark.parametrize("window", [Region(0, 12, 0, 9), Region(5, 8, 4, 9), Region(-2, 3, 7, 14)])
def test_vectors_of_pixels_are_those_of_intensities(
    trunk: Trunk, arithmetic: Arithmetic, method: str, window: Region
) -> None:
    pixels, extractor = image("uint8", (3, 90, 100)), make_extractor(method, (32, 32))
    region = needed_region(extractor, window, (90, 100))
    read = raw(pixels, region)
    whole = pad_to(rescale(pixels[:, *read.inside.slices], read.ranges), region, (90, 100))

    def seen(given: torch.Tensor | RawPixels, by: Extractor) -> torch.Tensor:
        with fast_inference(torch.device("cpu"), arithmetic):
            return vectors(trunk, given, by, window, region)

    assert torch.equal(seen(read, extractor), seen(torch.from_numpy(np.array(whole)), extractor))


def test_what_is_not_inside_the_image_and_ranges_of_other_channels_are_refused() -> None:
    values, inside = torch.zeros(2, 4, 5), Region(0, 4, 0, 5)
    with pytest.raises(ShapeError, match=r"expected the \(3, 5\) px"):
        RawPixels(values, RANGES, Region(0, 3, 0, 5), inside)
    with pytest.raises(ShapeError, match=r"inside the image, got \(0, 5\) px"):
        RawPixels(values[:, :0], RANGES, Region(0, 0, 0, 5), inside)
    with pytest.raises(ShapeError, match="one range for each of 2 channels, got 1"):
        RawPixels(values, RANGES[:1], inside, inside)
