"""What a trunk gives for a window is what it gives for the whole image there, whatever the window."""

from __future__ import annotations

import pytest
import torch

from simsearch.core.tiles import Region
from simsearch.nn.device import Arithmetic, fast_inference, with_weights_for
from simsearch.nn.features import dense_features
from simsearch.nn.trunk import Trunk, fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.nn.windowed import Part, cut, windowed_layers

CPU = torch.device("cpu")
SIDES = (352, 288)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    chosen: Arithmetic = request.param
    return chosen


@pytest.fixture(scope="module")
def shipped(arithmetic: Arithmetic) -> Trunk:
    trunk = fused(trunk_from_bytes(read_trunk("bundled"), 3))
    with_weights_for(arithmetic, trunk)
    return trunk.to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(1, 3, *SIDES, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layers", [(2,), (1, 2), (3,), (2, 3)])
@pytest.mark.parametrize("stride", [8, 4])
def test_windows_of_features_equal_those_of_the_whole_image_bit_for_bit(
    shipped: Trunk, image: torch.Tensor, arithmetic: Arithmetic, stride: int, layers: tuple[int, ...]
) -> None:
    h, w = (side // stride for side in SIDES)
    windows = [Region(0, h, 0, w), Region(20, 30, 11, 34), Region(0, 1, 0, 1), Region(h - 1, h, w - 2, w)]
    windows += [Region(17, 18, 19, 20), Region(0, h, 8, 9), Region(h - 9, h, 0, w)]
    with fast_inference(CPU, arithmetic):
        whole, *found = (
            dense_features(shipped, image, stride=stride, layers=layers, is_exact=False, window=window)
            for window in (None, *windows)
        )
    for window, got in zip(windows, found, strict=True):
        assert torch.equal(got, whole[:, :, *window.slices]), window


def test_exact_features_of_a_window_are_those_of_the_whole_image(
    shipped: Trunk, image: torch.Tensor, arithmetic: Arithmetic
) -> None:
    image = image[:, :, :96, :96]
    with fast_inference(CPU, arithmetic):
        whole = dense_features(shipped, image, layers=(3,))
        got = dense_features(shipped, image, layers=(3,), window=Region(4, 9, 3, 7))
    assert torch.equal(got, whole[:, :, 4:9, 3:7])


@pytest.mark.parametrize("window", [Region(0, 22, 0, 18), Region(3, 4, 5, 6), Region(20, 22, 2, 18)])
def test_each_layer_is_that_of_the_trunk(
    shipped: Trunk, image: torch.Tensor, arithmetic: Arithmetic, window: Region
) -> None:
    with fast_inference(CPU, arithmetic):
        x = shipped.layer1(shipped.stem(image))
        for index, part in windowed_layers(shipped, image, window, 3):
            if index > 1:
                x = getattr(shipped, f"layer{index}")(x)
            assert torch.equal(part.values, x[:, :, *part.region.slices])
            assert part.region == part.region.clipped((x.shape[-2], x.shape[-1]))
    assert part.region.y0 <= window.y0
    assert part.region.y1 >= window.y1


def test_little_more_than_what_is_looked_at_is_computed(shipped: Trunk) -> None:
    image = torch.zeros(1, 3, 1024, 1024)
    with torch.inference_mode(), fast_inference(CPU, "bfloat16"):
        regions = {index: part.region for index, part in windowed_layers(shipped, image, Region(20, 40, 25, 50), 3)}
    assert regions == {1: Region(59, 178, 79, 218), 2: Region(33, 86, 43, 106), 3: Region(20, 40, 25, 50)}


def test_a_cut_has_zeros_beside_the_image() -> None:
    part = Part(torch.ones(1, 1, 2, 2), Region(0, 2, 0, 2), 8)
    assert cut(part, Region(-1, 2, 1, 4)).tolist() == [[[[0, 0, 0], [1, 0, 0], [1, 0, 0]]]]
