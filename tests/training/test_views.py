"""Views of patches that are computed once: different ones, the same each time, and no more than fit."""

from __future__ import annotations

import pytest
import torch

from simsearch.nn.augment import crop_side, supervised_view
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.training.views import DrawnAnew, Kept, affordable_views, compute_views, fast_middle

N_VIEWS, N_PATCHES = 3, 70


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def kept() -> Kept:
    """Make views whose values are 100 x patch + view."""
    return Kept(torch.arange(N_VIEWS)[:, None] + 100.0 * torch.arange(N_PATCHES))


def test_the_same_patch_has_another_view_each_time_as_far_as_there_are(kept: Kept) -> None:
    drawn = torch.stack(kept.draw(torch.tensor([5, 9]), seeded(0), n=N_VIEWS))
    assert sorted(drawn[:, 0].tolist()) == [500, 501, 502]
    assert sorted(drawn[:, 1].tolist()) == [900, 901, 902]
    (drawn_often,) = kept.draw(torch.tensor([5, 5, 5, 5]), seeded(0))
    assert sorted(set(drawn_often.tolist())) == [500, 501, 502]


def test_draws_differ_between_steps_and_not_between_runs(kept: Kept) -> None:
    generator, indices = seeded(1), torch.arange(N_PATCHES)
    (first,), (second,) = (kept.draw(indices, generator) for _ in range(2))
    (again,) = kept.draw(indices, seeded(1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(first // 100, indices.float())


def test_views_are_the_same_whenever_they_are_computed_and_are_told_batch_by_batch() -> None:
    crops, told = torch.rand(N_PATCHES, 2, crop_side(16), crop_side(16), generator=seeded(0)), []

    def compute(seed: int) -> torch.Tensor:
        return compute_views(
            crops, supervised_view((16, 16)), lambda x: x, N_VIEWS, seed, lambda *n: told.append(n)
        ).values

    first = compute(4)
    assert first.shape == (N_VIEWS, N_PATCHES, 2, 16, 16)
    assert told == [(n, 6) for n in range(1, 7)]  # two batches for each view
    torch.rand(3)  # whatever else draws
    assert torch.equal(first, compute(4))
    assert not torch.equal(first, compute(8))
    assert not torch.equal(first[0], first[1])


def test_what_a_listener_raises_ends_the_computation() -> None:
    def cancel(n_done: int, n_batches: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_views(torch.rand(2, 1, 24, 24), supervised_view((16, 16)), lambda x: x, 2, 0, cancel)


def test_more_layers_see_what_was_kept_and_what_is_drawn_anew(kept: Kept) -> None:
    (deeper,) = kept.through(lambda x: -x).draw(torch.tensor([0, 1]), seeded(3))
    (drawn,) = kept.draw(torch.tensor([0, 1]), seeded(3))
    assert torch.equal(deeper.float(), -drawn)
    anew = DrawnAnew(torch.ones(4, 1, 24, 24), supervised_view((16, 16)), lambda x: 0 * x + 2)
    (drawn,) = anew.through(lambda x: x + 1).draw(torch.tensor([1, 1]), seeded(0))
    assert drawn.unique().tolist() == [3]


def test_fast_layers_give_what_the_trunk_gives_and_leave_it_alone() -> None:
    trunk = trunk_from_bytes(read_trunk("bundled"), 2).to(memory_format=torch.channels_last).eval()
    crops = torch.rand(3, 2, 48, 48, generator=seeded(0))
    with torch.no_grad():
        expected = trunk.middle(crops)
    exact, short = (fast_middle(trunk, arithmetic)(crops) for arithmetic in ("float32", "bfloat16"))
    torch.testing.assert_close(exact, expected, rtol=1e-4, atol=1e-4)
    assert short.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(short.float(), expected, dim=1).min() > 0.99
    with torch.no_grad():
        assert torch.equal(trunk.middle(crops), expected)
    trunk.layer3.requires_grad_(True)
    trunk.layer3(exact).sum().backward()  # what is kept can be learned from


@pytest.mark.parametrize(
    ("n_patches", "n_drawn", "n_views"),
    [(10, 1000, 8), (100, 1000, 8), (200, 10_000, 5), (500, 10_000, 2), (501, 10_000, 0), (100, 300, 3), (100, 199, 0)],
)
def test_as_many_views_as_fit_and_are_drawn(n_patches: int, n_drawn: int, n_views: int) -> None:
    assert affordable_views(8, n_patches, n_drawn, bytes_each=10, budget_bytes=10_000) == n_views
