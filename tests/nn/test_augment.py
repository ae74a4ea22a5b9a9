"""Random views of batches."""

from __future__ import annotations

import pytest
import torch

from simsearch.nn.augment import crop_side, random_views


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_views_are_intensities_and_depend_on_the_seed_alone() -> None:
    crops = torch.rand(6, 3, crop_side(32), crop_side(32), generator=generator(9))
    views = random_views(crops, 32, generator(), erases=True)
    assert views.shape == (6, 3, 32, 32)
    assert views.min() >= 0
    assert views.max() <= 1
    assert torch.equal(views, random_views(crops, 32, generator(), erases=True))
    assert not torch.equal(views, random_views(crops, 32, generator(1), erases=True))


def test_what_is_in_the_middle_stays_and_what_is_beside_turns_with_it() -> None:
    """A bright bar through the middle keeps its length and its middle; its direction is any."""
    crops = torch.zeros(64, 3, 68, 68)
    crops[:, :, 30:38, :] = 1
    views = random_views(crops, 48, generator())
    spread = views.amax(dim=(1, 2, 3)) - views.amin(dim=(1, 2, 3))
    assert (spread > 0.3).float().mean() > 0.9
    tall = views.amax(dim=3).std(dim=(1, 2)) < views.amax(dim=2).std(dim=(1, 2))
    assert 0.2 < tall.float().mean() < 0.8


def test_views_show_no_more_than_the_crop() -> None:
    """A wide enough crop has no border that could be reflected into a view."""
    crops = torch.full((200, 3, crop_side(32), crop_side(32)), 0.5)
    crops[:, :, :1], crops[:, :, -1:], crops[..., :1], crops[..., -1:] = 1, 1, 1, 1
    views = random_views(crops, 32, generator())
    quiet = views.std(dim=(1, 2, 3)) < 1e-4  # without noise and colour, nothing is to be seen
    assert quiet.float().mean() > 0.25


@pytest.mark.parametrize(("erases", "share"), [(True, 0.5), (False, 0.0)])
def test_half_of_the_views_have_a_rectangle_erased(erases: bool, share: float) -> None:
    crops = torch.full((400, 3, 46, 46), 0.5)
    views = random_views(crops, 32, generator(), erases=erases)
    has_noise = views[:, :, :8].std(dim=(2, 3)).amin(dim=1) > 5e-3
    edges = views.mean(dim=1)
    has_hole = (edges.amax(dim=(1, 2)) - edges.amin(dim=(1, 2)) > 1e-4) & ~has_noise
    assert has_hole.float().mean() / (~has_noise).float().mean() == pytest.approx(share, abs=0.12)
