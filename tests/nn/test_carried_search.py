"""A model mixes what its network says with what the search says that it carries."""

from __future__ import annotations

import torch

from simsearch.nn.carried_search import CarriedSearch, SearchShare, search_of_tensors
from simsearch.nn.similarity import class_maps, make_query, prototype_maps

MARGIN = 4


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def made(weight: float, finer: int = 1) -> CarriedSearch:
    """Carry queries for class 2 with blocks of 5 x 5, and for class 1 with some of 3 x 3."""
    large, small = (make_query([[[drawn(128, side, side)]]], drawn(128)) for side in (5, 3))
    shares = {2: SearchShare(weight, 6.0, 0.25), 1: SearchShare(1.0, 2.0, 0.5, finer)}
    return CarriedSearch((large, small), ((2,), (1,)), shares)


def test_log_odds_are_mixed_where_both_look_at_the_same_place() -> None:
    search, vectors, own = made(0.25), drawn(384, 6 + 2 * MARGIN, 5 + 2 * MARGIN), drawn(3, 6, 5)
    found = search.mixed(own, vectors, MARGIN)
    for label, query, weight, slope, even in ((2, search.queries[0], 0.25, 6, 0.25), (1, search.queries[1], 1, 2, 0.5)):
        less = MARGIN - query.margin
        around = vectors[:128, less : vectors.shape[1] - less, less : vectors.shape[2] - less]
        similarity = class_maps(around, prototype_maps(around, query), query)[0]
        expected = (1 - weight) * own[label] + weight * slope * (similarity - even)
        assert torch.allclose(found[label], expected, atol=1e-5)
    assert torch.equal(found[0], own[0])


def test_a_search_that_looks_closer_is_not_mixed() -> None:
    search, vectors, own = made(0.5, finer=2), drawn(384, 6 + 2 * MARGIN, 5 + 2 * MARGIN), drawn(3, 6, 5)
    found = search.mixed(own, vectors, MARGIN)
    assert torch.equal(found[1], own[1])
    assert not torch.allclose(found[2], own[2])
    assert [classes for _, classes in search.alone()] == [(1,)]


def test_a_search_comes_back_from_its_tensors() -> None:
    search, vectors, own = made(0.5), drawn(384, 6 + 2 * MARGIN, 5 + 2 * MARGIN), drawn(3, 6, 5)
    again = search_of_tensors(search.tensors(), search.shares)
    assert again.classes == search.classes
    assert torch.equal(again.mixed(own, vectors, MARGIN), search.mixed(own, vectors, MARGIN))
