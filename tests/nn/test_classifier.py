"""A classifier over an image says what it says of the patches that it was trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simsearch.core.feature_grid import FeatureGrid
from simsearch.core.synthetic import cell_field
from simsearch.core.tiles import Region, pad_to
from simsearch.errors import ConfigError
from simsearch.nn import classifier
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.extractor import needed_region, vectors
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes

SIDE = 304


def make(kind: str, patch_shape: tuple[int, int], n_classes: int = 3) -> PatchClassifier:
    """Make a classifier whose head is random, on the trunk that ships."""
    torch.manual_seed(1)
    trunk = trunk_from_bytes(read_trunk("bundled"), 2)
    return PatchClassifier(trunk, classifier_extractor(kind, patch_shape), n_classes).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    """Draw cells, as (2, 304, 304) intensities in [0, 1]."""
    pixels = cell_field(np.random.default_rng(3), (SIDE, SIDE), n_cells=30).image.astype(np.float32)
    low, high = np.percentile(pixels, (1, 99.5), axis=(1, 2))[:, :, None, None]
    return torch.from_numpy(np.clip((pixels - low) / (high - low), 0, 1).astype(np.float32))


def crop(image: torch.Tensor, centre: tuple[int, int], shape: tuple[int, int]) -> torch.Tensor:
    """Cut out what training cuts out around a place; the border is replicated."""
    top, left = centre[0] - shape[0] // 2, centre[1] - shape[1] // 2
    region = Region(top, top + shape[0], left, left + shape[1])
    inside = image[(..., *region.clipped((SIDE, SIDE)).slices)].numpy()
    return torch.from_numpy(np.array(pad_to(inside, region, (SIDE, SIDE))))


def over_image(model: PatchClassifier, image: torch.Tensor, window: Region) -> torch.Tensor:
    """Compute the log odds at positions of the grid, all of the image at once."""
    grown = window.grown(max(model.extractor.block_shape) // 2)
    region = needed_region(model.extractor, grown, (SIDE, SIDE))
    inside = image[(..., *region.clipped((SIDE, SIDE)).slices)].numpy()
    pixels = torch.from_numpy(np.array(pad_to(inside, region, (SIDE, SIDE))))
    found = vectors(model.trunk, pixels, model.extractor, grown, region)
    return model.log_odds_maps(found)


def log_odds(logits: torch.Tensor) -> torch.Tensor:
    """Return log p / (1 - p) of the softmax p, in double precision."""
    shares = logits.double().softmax(dim=-1)
    return (shares / (1 - shares)).log()


def at_centres(model: PatchClassifier, image: torch.Tensor, centres: list[tuple[int, int]]) -> torch.Tensor:
    return log_odds(model(torch.stack([crop(image, centre, model.input_shape) for centre in centres])))


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("kind", ["dense", "patchwise"])
def test_the_logistic_function_of_the_log_odds_is_the_softmax(kind: str, n_classes: int) -> None:
    model = make(kind, (40, 24), n_classes)
    kh, kw = model.extractor.block_shape
    found = 3 * torch.randn(model.extractor.dim, kh + 3, kw + 4)
    maps = model.log_odds_maps(found)
    assert maps.shape == (n_classes, 4, 5)
    for y, x in np.ndindex(4, 5):
        logits = model.logits(found[None, :, y : y + kh, x : x + kw])[0]
        torch.testing.assert_close(torch.sigmoid(maps[:, y, x]), logits.softmax(dim=0), rtol=1e-4, atol=1e-6)


def test_log_odds_have_maxima_where_the_softmax_is_all_but_one() -> None:
    model = make("patchwise", (32, 32), 3)
    with torch.no_grad():
        model.head.weight.mul_(0)
        model.head.weight[1, 0] = 1.0
    found = torch.zeros(model.extractor.dim, 1, 4)
    found[0, 0] = torch.tensor([100.0, 120.0, 110.0, -1000.0])
    maps = model.log_odds_maps(found)
    assert torch.isfinite(maps).all()
    assert torch.sigmoid(maps[1, 0, :3]).tolist() == [1, 1, 1]
    assert maps[1, 0].argsort().tolist() == [3, 0, 2, 1]


@pytest.mark.parametrize("patch_shape", [(48, 48), (48, 24), (40, 40)])
def test_over_an_image_a_dense_classifier_says_nearly_what_it_says_of_patches(
    image: torch.Tensor, patch_shape: tuple[int, int]
) -> None:
    # A patch is seen with 24 px around it, a position of an image with 105 (half the receptive field); and layer3 is
    # interpolated at other places. So they differ, by two thirds of what places differ by where the head is random. But
    # 8 px beside the patch, at none of the neighbours on the grid, is anything as like.
    model = make("dense", patch_shape)
    places = [(i, j) for i in range(7, 21, 2) for j in range(6, 20, 3)]
    cut_out = at_centres(model, image, [(8 * i, 8 * j) for i, j in places])
    maps = over_image(model, image, Region(5, 23, 5, 23)).double()
    away = {}
    for dy, dx in np.ndindex(3, 3):
        shifted = torch.stack([maps[:, i - 6 + dy, j - 6 + dx] for i, j in places])
        away[dy - 1, dx - 1] = ((cut_out - shifted).square().mean() / shifted.var(dim=0).mean()).sqrt().item()
    there = away.pop((0, 0))
    assert there < 0.75
    assert there < min(away.values())


def test_with_all_that_it_sees_a_dense_classifier_says_exactly_the_same(
    image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Context wider than half of layer3's receptive field, and positions of layer3's own grid that see no border.
    monkeypatch.setattr(classifier, "_CONTEXT", 120)
    model = make("dense", (48, 48))
    places = [(18, 18), (18, 20), (20, 18), (20, 20)]
    maps = over_image(model, image, Region(18, 21, 18, 21))
    whole = torch.stack([maps[:, i - 18, j - 18] for i, j in places]).double()
    cut_out = at_centres(model, image, [(8 * i, 8 * j) for i, j in places])
    torch.testing.assert_close(cut_out, whole, rtol=0, atol=1e-5)
    assert whole.std(dim=0).min() > 1e-3


def test_over_an_image_a_patchwise_classifier_says_what_it_says_of_patches(image: torch.Tensor) -> None:
    model = make("patchwise", (48, 40))
    grid = model.extractor.grid
    assert grid == FeatureGrid(4.0)
    maps = over_image(model, image, Region(20, 24, 20, 25))
    centres = [(int(grid.stride * i + 0.5), int(grid.stride * j + 0.5)) for i in range(20, 24) for j in range(20, 25)]
    whole = maps.permute(1, 2, 0).reshape(len(centres), 3).double()
    torch.testing.assert_close(at_centres(model, image, centres), whole, rtol=0, atol=1e-4)


def test_what_cannot_be_classified_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least 16 px, got \(48, 15\): draw larger boxes"):
        classifier_extractor("dense", (48, 15))
    with pytest.raises(ConfigError, match="dense, patchwise, got 'sparse'"):
        classifier_extractor("sparse", (48, 48))


def make_two_sizes() -> PatchClassifier:
    """Make a classifier of a class of 16 x 16 px, of one of 40 x 72 px and of background, with a random head."""
    torch.manual_seed(1)
    trunk = trunk_from_bytes(read_trunk("bundled"), 2)
    model = PatchClassifier(trunk, classifier_extractor("dense", (40, 72)), 3, [(16, 16), (40, 72)])
    return model.eval().requires_grad_(False)


def test_a_class_is_told_by_what_lies_in_its_own_patch() -> None:
    model = make_two_sizes()
    kh, kw = model.extractor.block_shape
    assert (kh, kw) == (5, 9)
    blocks = torch.randn(2, model.extractor.dim, kh, kw)
    changed = blocks.clone()
    changed[:, :, 0], changed[:, :, :, :3] = 7, 7  # outside of 3 x 3 vectors in the middle
    before, after = model.logits(blocks), model.logits(changed)
    assert torch.equal(before[:, 1], after[:, 1])
    assert (before[:, [0, 2]] != after[:, [0, 2]]).all()
    labels = torch.tensor([1, 2])
    assert torch.equal(model.embed(blocks, labels)[0], model.embed(changed, labels)[0])
    assert not torch.equal(model.embed(blocks, labels)[1], model.embed(changed, labels)[1])
    maps = model.log_odds_maps(torch.cat([changed[0], changed[0, :, :, :2]], dim=2)[:, [0, 0, *range(5), 4, 4]])
    torch.testing.assert_close(maps[:, 0, 0].double(), log_odds(after[0]), rtol=1e-4, atol=1e-4)


def test_weights_that_are_never_looked_at_are_zero_and_stay_so() -> None:
    model = make_two_sizes()
    blocks = torch.randn(1, model.extractor.dim, 5, 9)
    before = model.logits(blocks)
    model.confine()
    torch.testing.assert_close(model.logits(blocks), before, rtol=0, atol=0)
    assert (model.head.weight != 0).any(dim=1).sum(dim=(1, 2)).tolist() == [45, 9, 45]
    model.head.requires_grad_(True)
    model.logits(blocks)[0, 1].backward()
    assert model.head.weight.grad is not None
    assert (model.head.weight.grad[1] != 0).any(dim=0).sum() == 9


def test_the_papers_classifier_has_one_patch() -> None:
    with pytest.raises(ConfigError, match="24 x 24 px, 48 x 48 px: train with --kind dense"):
        PatchClassifier(trunk_from_bytes(read_trunk("bundled"), 2), classifier_extractor("patchwise", (48, 48)), 3,
                        [(24, 24), (48, 48)])  # fmt: skip
