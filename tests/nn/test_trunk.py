from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from simsearch.nn.features import dense_features
from simsearch.nn.trunk import LAYER_DIMS, LAYER_STRIDES, RECEPTIVE_FIELDS, adapt_input_planes, fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torchvision.models import ResNet

    from simsearch.nn.trunk import Trunk

    Reference = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(scope="session")
def trunk_of(trunk_file: Path) -> Callable[[int], Trunk]:
    return lambda n_channels: trunk_from_bytes(read_trunk(str(trunk_file)), n_channels)


@pytest.mark.parametrize("shape", [(48, 48), (96, 64), (53, 71)])
def test_the_trunk_equals_torchvisions_resnet_up_to_layer3(
    trunk: Trunk, upto_layer3: Reference, rng: torch.Generator, shape: tuple[int, int]
) -> None:
    images = torch.rand(2, 3, *shape, generator=rng)
    torch.testing.assert_close(trunk(images), upto_layer3(images))


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_fused_trunk_is_the_same_function(
    trunk_of: Callable[[int], Trunk], rng: torch.Generator, n_channels: int
) -> None:
    images = torch.rand(1, n_channels, 80, 96, generator=rng)
    plain, fast = trunk_of(n_channels), fused(trunk_of(n_channels))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    torch.testing.assert_close(fast(images), plain(images), rtol=1e-3, atol=1e-4)
    for stride in (8, 4):
        expected = dense_features(plain, images, stride=stride)
        torch.testing.assert_close(dense_features(fast, images, stride=stride), expected, rtol=1e-3, atol=1e-5)


def test_layers_have_the_dims_and_strides_that_are_promised(trunk: Trunk, rng: torch.Generator) -> None:
    x = trunk.stem(torch.rand(1, 3, 96, 160, generator=rng))
    for index in (1, 2, 3):
        x = getattr(trunk, f"layer{index}")(x)
        assert x.shape == (1, LAYER_DIMS[index], 96 // LAYER_STRIDES[index], 160 // LAYER_STRIDES[index])


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_feature_sees_its_receptive_field_and_no_pixel_more(trunk: Trunk, layer: int, rng: torch.Generator) -> None:
    image = torch.rand(1, 3, 256, 256, generator=rng, requires_grad=True)
    x = trunk.stem(image)
    for index in range(1, layer + 1):
        x = getattr(trunk, f"layer{index}")(x)
    middle = 128 // LAYER_STRIDES[layer]
    x[0, :, middle, middle].square().sum().backward()
    assert image.grad is not None
    rows = image.grad[0].abs().sum(dim=(0, 2)).nonzero().flatten()
    half = RECEPTIVE_FIELDS[layer] // 2
    assert 128 - half <= rows[0]
    assert rows[-1] <= 128 + half
    assert rows[-1] - rows[0] >= half  # all of it is reached only where no unit is off


def test_a_trunk_is_ready_for_inference(trunk: Trunk) -> None:
    assert not trunk.training
    assert not any(parameter.requires_grad for parameter in trunk.parameters())


@pytest.mark.parametrize("n_channels", [1, 2, 3, 5])
def test_the_first_convolution_takes_the_channels_asked_for(
    trunk_of: Callable[[int], Trunk], n_channels: int, rng: torch.Generator
) -> None:
    trunk = trunk_of(n_channels)
    assert trunk.n_channels == n_channels
    assert trunk(torch.rand(1, n_channels, 32, 48, generator=rng)).shape == (1, 256, 2, 3)


@pytest.mark.parametrize("n_channels", [2, 4, 5, 7])
def test_planes_are_repeated_and_scaled(resnet: ResNet, n_channels: int) -> None:
    weight = resnet.conv1.weight
    adapted = adapt_input_planes(weight, n_channels)
    for channel in range(n_channels):
        torch.testing.assert_close(adapted[:, channel], weight[:, channel % 3] * 3 / n_channels)


@pytest.mark.parametrize("n_channels", [3, 6, 9])
def test_the_magnitude_is_kept_where_planes_are_repeated_equally_often(resnet: ResNet, n_channels: int) -> None:
    adapted = adapt_input_planes(resnet.conv1.weight, n_channels)
    torch.testing.assert_close(adapted.sum(dim=1), resnet.conv1.weight.sum(dim=1))


def test_rgb_planes_are_not_touched(resnet: ResNet) -> None:
    assert adapt_input_planes(resnet.conv1.weight, 3) is resnet.conv1.weight


def test_a_grey_image_gives_what_it_gives_as_rgb(trunk_of: Callable[[int], Trunk], rng: torch.Generator) -> None:
    # Exactly so after the normalisation, which for one channel is the mean of those of RGB.
    grey, rgb = trunk_of(1), trunk_of(3)
    normal = torch.randn(1, 1, 48, 48, generator=rng)
    as_grey = grey(normal * grey.std + grey.mean)
    as_rgb = rgb(normal * rgb.std + rgb.mean)
    torch.testing.assert_close(as_grey, as_rgb, rtol=1e-3, atol=1e-4)


def test_other_channels_are_normalised_by_the_mean_of_rgb(trunk_of: Callable[[int], Trunk]) -> None:
    trunk = trunk_of(2)
    assert trunk.mean.flatten().tolist() == pytest.approx([(0.485 + 0.456 + 0.406) / 3] * 2)
    assert trunk.std.flatten().tolist() == pytest.approx([(0.229 + 0.224 + 0.225) / 3] * 2)
