"""Views of patches, and the layers that do not learn."""

from __future__ import annotations

import torch

from simsearch.nn.augment import crop_side, supervised_view
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.training.views import Views, frozen_middle


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_patch_has_another_view_each_time_and_more_layers_see_it() -> None:
    crops = torch.rand(4, 1, crop_side(16), crop_side(16), generator=seeded(0))
    views = Views(crops, supervised_view((16, 16)), lambda x: -x)
    first, second = views.draw(torch.tensor([1, 1]))
    assert not torch.equal(first, second)
    assert (views.through(lambda x: x - 2).draw(torch.tensor([0, 3])) <= -2).all()


def test_fast_layers_give_what_the_trunk_gives_and_leave_it_alone() -> None:
    trunk = trunk_from_bytes(read_trunk("bundled"), 2).to(memory_format=torch.channels_last).eval()
    crops = torch.rand(3, 2, 48, 48, generator=seeded(0))
    with torch.no_grad():
        expected = trunk.middle(crops)
    exact, short = (frozen_middle(trunk, arithmetic)(crops) for arithmetic in ("float32", "bfloat16"))
    assert torch.equal(exact, expected)
    assert short.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(short.float(), expected, dim=1).min() > 0.99
    with torch.no_grad():
        assert torch.equal(trunk.middle(crops), expected)
    trunk.layer3.requires_grad_(True)
    trunk.layer3(short.float()).sum().backward()  # what is frozen can be learned from
