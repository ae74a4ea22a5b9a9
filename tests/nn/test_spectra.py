"""Comparison between spectra gives what the direct one gives."""

from __future__ import annotations

import pytest
import torch

from simsearch.errors import ShapeError
from simsearch.nn.similarity import make_query, prototype_maps
from simsearch.nn.spectra import Spectra, make_kernels

D = 40


@pytest.mark.parametrize("shape", [(5, 9), (58, 58), (70, 131)])
@pytest.mark.parametrize("block", [(7, 7), (3, 7), (13, 9), (1, 1)])
def test_spectra_give_what_the_direct_comparison_gives(shape: tuple[int, int], block: tuple[int, int]) -> None:
    rng = torch.Generator().manual_seed(1)
    margin = max(block) // 2
    vectors = torch.rand(D, shape[0] + 2 * margin, shape[1] + 2 * margin, generator=rng)
    centre = vectors.mean(dim=(1, 2))
    blocks = [torch.rand(D, *block, generator=rng) for _ in range(3)]
    query = make_query([[blocks]], centre)
    expected = prototype_maps(vectors, query)[0]
    found = Spectra(vectors, centre, margin).compare(make_kernels(query.blocks[0][0], margin))
    assert found.shape == expected.shape == (3, *shape)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


def test_a_place_without_features_is_similar_to_nothing() -> None:
    vectors = torch.rand(D, 30, 30)
    vectors[:, 5:25, 5:25] = 0.5
    found = Spectra(vectors, torch.full((D,), 0.5), 3).compare(make_kernels(torch.rand(1, D, 7, 7), 3))
    assert found[0, 10, 10] == 0
    assert found.abs().max() > 0


def test_memory_is_told_before_it_is_taken() -> None:
    spectra = Spectra(torch.rand(D, 100 + 6, 60 + 6), torch.zeros(D), 3)
    held = spectra._spectra
    assert Spectra.n_bytes((100, 60), D, 3) == held.numel() * held.element_size()


def test_vectors_that_are_all_margin_are_refused() -> None:
    with pytest.raises(ShapeError, match="margin of 3"):
        Spectra(torch.rand(D, 6, 20), torch.zeros(D), 3)
