from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.transforms.functional import normalize

from simsearch.errors import ConfigError, ShapeError
from simsearch.nn.features import dense_features, gaussian, patch_features
from simsearch.nn.trunk import fused

if TYPE_CHECKING:
    from torchvision.models import ResNet

    from simsearch.nn.trunk import Trunk


def dilated(resnet: ResNet, images: torch.Tensor, stride: int) -> dict[int, torch.Tensor]:
    """Run torchvision's network with strides replaced by dilation, as segmentation networks do."""
    network = copy.deepcopy(resnet)
    dilation = 1
    for layer, layer_stride in ((network.layer2, 8), (network.layer3, 16)):
        before = dilation
        if layer_stride > stride:
            dilation *= 2
            layer[0].conv1.stride = layer[0].downsample[0].stride = (1, 1)
        for block in layer:
            for conv in (block.conv1, block.conv2):
                conv.dilation = conv.padding = (dilation, dilation)
        layer[0].conv1.dilation = layer[0].conv1.padding = (before, before)
    x = normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    x = network.layer1(network.maxpool(network.relu(network.bn1(network.conv1(x)))))
    second = network.layer2(x)
    return {2: second, 3: network.layer3(second)}


@pytest.mark.parametrize("stride", [8, 4])
@pytest.mark.parametrize("layers", [(2,), (3,), (2, 3), (3, 2)])
def test_dense_features_equal_a_dilated_network(
    trunk: Trunk, resnet: ResNet, rng: torch.Generator, stride: int, layers: tuple[int, ...]
) -> None:
    images = torch.rand(2, 3, 64, 96, generator=rng)
    maps = dilated(resnet, images, stride)
    expected = torch.cat([maps[layer] / maps[layer].norm(dim=1, keepdim=True) for layer in layers], dim=1)
    got = dense_features(trunk, images, stride=stride, layers=layers)
    assert got.shape[-2:] == (64 // stride, 96 // stride)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("stride", [8, 4])
def test_dense_features_at_the_published_stride_are_the_trunks_own(
    trunk: Trunk, rng: torch.Generator, stride: int
) -> None:
    images = torch.rand(1, 3, 256, 272, generator=rng)
    every = 16 // stride
    dense = dense_features(trunk, images, stride=stride, layers=(3,))[..., ::every, ::every]
    torch.testing.assert_close(dense, functional.normalize(trunk(images), dim=1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("stride", "shift"), [(8, 8), (4, 4), (4, 12)])
def test_positions_in_between_are_the_trunks_own_of_the_shifted_image(
    trunk: Trunk, rng: torch.Generator, stride: int, shift: int
) -> None:
    images = torch.rand(1, 3, 288, 288, generator=rng)
    dense = dense_features(trunk, images, stride=stride, layers=(3,))[..., shift // stride :: 16 // stride, :]
    shifted = functional.normalize(trunk(images[:, :, shift:]), dim=1)
    # Only in the middle: the borders that the trunk sees differ.
    torch.testing.assert_close(dense[..., 8, 144 // stride], shifted[..., 8, 9], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("stride", [8, 4])
def test_interpolated_features_lie_between_those_of_the_layers_own_grid(
    trunk: Trunk, rng: torch.Generator, stride: int
) -> None:
    images = torch.rand(1, 3, 64, 96, generator=rng)
    own, every = trunk(images), 16 // stride
    got = dense_features(trunk, images, stride=stride, layers=(3,), is_exact=False)
    assert got.shape[-2:] == (64 // stride, 96 // stride)
    for i, j in np.ndindex(*got.shape[-2:]):
        # Beyond the last of its own positions, the last is repeated.
        y, x = min(i / every, own.shape[2] - 1), min(j / every, own.shape[3] - 1)
        expected = torch.zeros(256)
        for v, u in np.ndindex(*own.shape[-2:]):
            expected += max(0, 1 - abs(y - v)) * max(0, 1 - abs(x - u)) * own[0, :, v, u]
        torch.testing.assert_close(got[0, :, i, j], expected / expected.norm(), rtol=1e-3, atol=1e-5)


def test_a_layer_that_is_on_the_grid_already_is_not_interpolated(trunk: Trunk, rng: torch.Generator) -> None:
    images = torch.rand(1, 3, 64, 64, generator=rng)
    exact, other = (dense_features(trunk, images, stride=8, layers=(2,), is_exact=e) for e in (True, False))
    torch.testing.assert_close(exact, other)


def test_the_vectors_of_each_layer_are_of_one_length(trunk: Trunk, rng: torch.Generator) -> None:
    vectors = dense_features(trunk, torch.rand(1, 3, 32, 32, generator=rng), layers=(1, 2, 3))
    torch.testing.assert_close(vectors[:, :64].norm(dim=1), torch.full((1, 4, 4), 0.5**0.5))
    torch.testing.assert_close(vectors[:, 64:192].norm(dim=1), torch.ones(1, 4, 4))
    torch.testing.assert_close(vectors[:, 192:].norm(dim=1), torch.ones(1, 4, 4))


def test_layer1_is_averaged_over_the_neighbours_of_each_position(trunk: Trunk, rng: torch.Generator) -> None:
    images = torch.rand(1, 3, 48, 64, generator=rng)
    own = trunk.layer1(trunk.stem(images))
    side = torch.tensor([1.0, 2.0, 1.0])
    window = torch.outer(side, side).expand(64, 1, 3, 3)
    expected = functional.normalize(functional.conv2d(own, window, stride=2, padding=1, groups=64), dim=1)
    torch.testing.assert_close(dense_features(trunk, images, layers=(1, 2))[:, :64], 0.5**0.5 * expected)


@pytest.mark.parametrize("shape", [(40, 48), (48, 17), (8, 8)])
def test_sides_that_do_not_fit_are_refused(trunk: Trunk, shape: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="multiples of 16 px"):
        dense_features(trunk, torch.rand(1, 3, *shape))


@pytest.mark.parametrize(("stride", "layers"), [(16, (3,)), (2, (3,)), (8, (0, 2)), (8, (4,)), (8, ())])
def test_strides_and_layers_that_are_not_offered_are_refused(
    trunk: Trunk, stride: int, layers: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError, match="stride 4 or 8 and layers among 1, 2 and 3"):
        dense_features(trunk, torch.rand(1, 3, 32, 32), stride=stride, layers=layers)


def test_patch_features_are_the_weighted_mean_of_layer3(trunk: Trunk, rng: torch.Generator) -> None:
    patches, weights = torch.rand(3, 3, 48, 64, generator=rng), gaussian((3, 4))
    maps = trunk(patches).numpy()
    expected = np.zeros((3, 256))
    for b, y, x in np.ndindex(3, 3, 4):
        expected[b] += weights[y, x].item() * maps[b, :, y, x]
    np.testing.assert_allclose(patch_features(trunk, patches, weights).numpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 7)])
def test_a_gaussian_window_sums_to_one_and_is_symmetric(shape: tuple[int, int]) -> None:
    window = gaussian(shape)
    assert window.shape == shape
    assert window.sum().item() == pytest.approx(1)
    torch.testing.assert_close(window, window.flip(0, 1))


def test_a_gaussian_window_has_the_width_that_is_asked_for() -> None:
    window = gaussian((1, 101), width=0.1)[0].double()
    positions = torch.arange(101) - 50.0
    assert ((window * positions**2).sum().sqrt() / 101).item() == pytest.approx(0.1, rel=1e-3)


def test_interpolated_features_are_the_trunks_own_on_its_grid_and_means_between(
    trunk: Trunk, rng: torch.Generator
) -> None:
    images = torch.rand(1, 3, 96, 112, generator=rng)
    own = trunk(images)
    between = functional.normalize((own[:, :, :, :-1] + own[:, :, :, 1:]) / 2, dim=1)

    found = dense_features(trunk, images, layers=(3,), is_exact=False)

    assert found.shape == (1, 256, 12, 14)
    assert torch.allclose(found[:, :, ::2, ::2], functional.normalize(own, dim=1), atol=1e-5)
    assert torch.allclose(found[:, :, ::2, 1:-1:2], between, atol=1e-5)


def test_a_fused_trunk_is_the_same_function(trunk: Trunk, rng: torch.Generator) -> None:
    images = torch.rand(1, 3, 96, 112, generator=rng)

    found = dense_features(fused(copy.deepcopy(trunk)), images)

    assert torch.allclose(found, dense_features(trunk, images), atol=1e-4)
