from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from simsearch.core.tiles import Region, pad_to, tile_cores
from simsearch.errors import ConfigError
from simsearch.nn.extractor import (
    METHODS,
    Extractor,
    make_extractor,
    needed_region,
    prototype_blocks,
    prototype_region,
    vectors,
)
from simsearch.nn.features import gaussian

if TYPE_CHECKING:
    from simsearch.nn.trunk import Trunk

Image = NDArray[np.float32]

PATCHES = [(48, 48), (40, 64), (53, 31)]
BY_METHOD = pytest.mark.parametrize("method", METHODS)
BY_PATCH = pytest.mark.parametrize("patch", PATCHES, ids=str)


@pytest.fixture(scope="module")
def image() -> Image:
    return np.random.default_rng(3).random((3, 230, 250), dtype=np.float32)


def cut(image: Image, region: Region) -> torch.Tensor:
    shape = image.shape[1], image.shape[2]
    inside = image[(..., *region.clipped(shape).slices)]
    return torch.from_numpy(np.ascontiguousarray(pad_to(inside, region, shape)))


def vectors_of(trunk: Trunk, image: Image, extractor: Extractor, window: Region) -> torch.Tensor:
    region = needed_region(extractor, window, (image.shape[1], image.shape[2]))
    return vectors(trunk, cut(image, region), extractor, window, region)


def blocks_of(trunk: Trunk, image: Image, extractor: Extractor, y: float, x: float) -> list[torch.Tensor]:
    return list(prototype_blocks(trunk, cut(image, prototype_region(extractor, y, x)), extractor))


def whole_grid(extractor: Extractor, image: Image) -> Region:
    _, height, width = image.shape
    return Region(0, extractor.grid.size(height), 0, extractor.grid.size(width))


@BY_PATCH
def test_patchwise_vectors_equal_those_of_patches_cut_one_by_one(
    trunk: Trunk, image: Image, patch: tuple[int, int]
) -> None:
    extractor, (h, w) = make_extractor("patchwise", patch), patch
    window = Region(0, 4, 3, 6)
    got = vectors_of(trunk, image, extractor, window).numpy()
    wide = np.pad(image, [(0, 0), (100, 100), (100, 100)], mode="edge")
    weights = gaussian((-(-h // 16), -(-w // 16))).numpy()
    for i, j in np.ndindex(*window.shape):
        y, x = (int(np.floor(0.1 * w * index + 0.5)) for index in (window.y0 + i, window.x0 + j))
        top, left = y - h // 2 + 100, x - w // 2 + 100
        layer3 = trunk(torch.from_numpy(wide[None, :, top : top + h, left : left + w].copy()))[0].numpy()
        expected = sum(weights[v, u] * layer3[:, v, u] for v, u in np.ndindex(*weights.shape))
        np.testing.assert_allclose(got[:, i, j], expected, rtol=1e-3, atol=1e-4)


@BY_METHOD
@BY_PATCH
def test_vectors_do_not_depend_on_tiles(trunk: Trunk, image: Image, method: str, patch: tuple[int, int]) -> None:
    extractor = make_extractor(method, patch)
    whole = whole_grid(extractor, image)
    # The paper's method is slow: some tiles of a part of the image.
    whole, tile = (Region(2, 9, 1, 8), 4) if method == "patchwise" else (whole, 12)
    untiled = vectors_of(trunk, image, extractor, whole)
    assert untiled.shape == (extractor.dim, *whole.shape)
    for core in tile_cores(whole.shape, tile):
        window = Region(core.y0 + whole.y0, core.y1 + whole.y0, core.x0 + whole.x0, core.x1 + whole.x0)
        tiled = vectors_of(trunk, image, extractor, window)
        torch.testing.assert_close(tiled, untiled[:, *core.slices], rtol=1e-4, atol=5e-6)


@BY_METHOD
def test_what_is_outside_the_needed_region_does_not_matter(trunk: Trunk, method: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.random((3, 420, 420), dtype=np.float32)
    extractor = make_extractor(method, (48, 40))
    middle = round(210 / extractor.grid.stride)
    window = Region(middle, middle + 2, middle, middle + 3)
    needed = needed_region(extractor, window, (420, 420))
    other = rng.random(image.shape, dtype=np.float32)
    assert needed.clipped((420, 420)) == needed
    other[(..., *needed.slices)] = image[(..., *needed.slices)]
    grown = window.grown(2)
    first, second = (vectors_of(trunk, pixels, extractor, grown)[:, 2:-2, 2:-2] for pixels in (image, other))
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(first, vectors_of(trunk, image, extractor, window), rtol=1e-3, atol=1e-4)


@BY_METHOD
@BY_PATCH
def test_the_first_block_of_a_prototype_is_what_the_image_has_there(
    trunk: Trunk, image: Image, method: str, patch: tuple[int, int]
) -> None:
    extractor = make_extractor(method, patch)
    # In the middle: at a border the image ends in a narrow frame, a prototype's pixels do not.
    i, j = round(112 / extractor.grid.stride), round(128 / extractor.grid.stride)
    kh, kw = extractor.block_shape
    window = Region(i - kh // 2, i + kh // 2 + 1, j - kw // 2, j + kw // 2 + 1)
    first = blocks_of(trunk, image, extractor, extractor.grid.stride * i, extractor.grid.stride * j)[0]
    expected = vectors_of(trunk, image, extractor, window)
    torch.testing.assert_close(first, expected, rtol=1e-3, atol=1e-4)


@BY_METHOD
@BY_PATCH
def test_turning_the_image_permutes_the_blocks(trunk: Trunk, image: Image, method: str, patch: tuple[int, int]) -> None:
    y, x = 61, 83
    blocks = blocks_of(trunk, image, make_extractor(method, patch), y, x)
    turned = np.rot90(image, axes=(1, 2))
    lying = make_extractor(method, (patch[1], patch[0]))
    again = blocks_of(trunk, turned, lying, image.shape[2] - 1 - x, y)
    for got, expected in zip(again, [*blocks[1:], blocks[0]], strict=True):
        torch.testing.assert_close(got, expected)


@BY_METHOD
def test_turned_blocks_exchange_their_sides(trunk: Trunk, image: Image, method: str) -> None:
    extractor = make_extractor(method, (40, 64))
    kh, kw = extractor.block_shape
    shapes = [tuple(block.shape) for block in blocks_of(trunk, image, extractor, 70.0, 80.0)]
    assert shapes == [(extractor.dim, kh, kw), (extractor.dim, kw, kh)] * 2


@pytest.mark.parametrize(("y", "x"), [(0.0, 0.0), (229.0, 249.0), (-0.4, 249.4)])
@BY_METHOD
def test_a_prototype_may_lie_at_the_border(trunk: Trunk, image: Image, method: str, y: float, x: float) -> None:
    extractor = make_extractor(method, (48, 48))
    for block in blocks_of(trunk, image, extractor, y, x):
        assert block.shape == (extractor.dim, *extractor.block_shape)
        assert block.isfinite().all()


def test_a_prototype_is_cut_around_its_nearest_pixel() -> None:
    extractor = make_extractor("template", (48, 48))
    assert prototype_region(extractor, 99.6, 50.4) == prototype_region(extractor, 100, 50)
    region = prototype_region(extractor, 100, 50)
    assert region.shape[0] == region.shape[1]
    assert (region.y0 + region.y1 - 1, region.x0 + region.x1 - 1) == (200, 100)


@BY_METHOD
@BY_PATCH
def test_needed_regions_lie_on_a_grid_anchored_at_the_image(method: str, patch: tuple[int, int]) -> None:
    extractor = make_extractor(method, patch)
    for window in (Region(0, 1, 0, 5), Region(-2, 8, 7, 9)):
        needed = needed_region(extractor, window, (150, 90))
        assert all(bound % 16 == 0 for bound in (needed.y0, needed.y1, needed.x0, needed.x1))


@pytest.mark.parametrize("method", ["template", "pooled"])
def test_a_small_image_costs_little_more_than_its_own_pixels(method: str) -> None:
    extractor = make_extractor(method, (48, 48))
    needed = needed_region(extractor, Region(-3, 11, -3, 11), (64, 64))
    assert max(needed.shape) <= 64 + 2 * 48


def test_the_papers_stride_is_a_tenth_of_the_width() -> None:
    assert make_extractor("patchwise", (48, 40)).grid.stride == pytest.approx(4.0)
    assert make_extractor("template", (48, 40)).grid.stride == 8


@pytest.mark.parametrize(("patch", "block"), [((48, 48), (7, 7)), ((40, 64), (5, 9)), ((16, 95), (3, 13))])
def test_a_templates_block_covers_its_patch_and_has_a_middle(patch: tuple[int, int], block: tuple[int, int]) -> None:
    assert make_extractor("template", patch).block_shape == block
    assert make_extractor("pooled", patch).block_shape == (1, 1)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="template, template-fine, template-deep, pooled, patchwise, got 'magic'"):
        make_extractor("magic", (48, 48))


@BY_METHOD
def test_patches_that_are_too_small_are_refused(method: str) -> None:
    with pytest.raises(ConfigError, match=r"at least 16 px, got \(15, 48\): draw larger boxes"):
        make_extractor(method, (15, 48))
