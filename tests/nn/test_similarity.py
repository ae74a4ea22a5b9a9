from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from simsearch.errors import ConfigError, ShapeError
from simsearch.nn.features import gaussian
from simsearch.nn.similarity import (
    SOFTNESS,
    make_query,
    mean_similarity,
    mean_vector,
    prototype_maps,
    query_from_bytes,
    query_to_bytes,
    similarity_maps,
    soft_maximum,
    softness_of,
    without_prototypes,
)

D = 6
Block = NDArray[np.float64]


def weighted_cosine(first: Block, second: Block) -> float:
    weights = gaussian(first.shape[1:]).numpy().astype(float)
    products = lengths = other_lengths = 0.0
    for y, x in np.ndindex(*first.shape[1:]):
        products += weights[y, x] * first[:, y, x] @ second[:, y, x]
        lengths += weights[y, x] * first[:, y, x] @ first[:, y, x]
        other_lengths += weights[y, x] * second[:, y, x] @ second[:, y, x]
    return products / np.sqrt(lengths * other_lengths) if lengths * other_lengths > 0 else 0.0


def prototype_oracle(vectors: Block, blocks: list[list[Block]], centre: Block) -> list[Block]:
    """Compare every position with every prototype, those of a class by the shapes of their blocks."""
    margin = max(max(block.shape[1:]) for class_blocks in blocks for block in class_blocks) // 2
    height, width = (side - 2 * margin for side in vectors.shape[1:])
    maps = []
    for class_blocks in blocks:
        ordered = sorted(class_blocks, key=lambda block: block.shape[1:])
        found = np.zeros((len(ordered), height, width))
        for p, y, x in np.ndindex(*found.shape):
            kh, kw = ordered[p].shape[1:]
            top, left = y + margin - kh // 2, x + margin - kw // 2
            around = vectors[:, top : top + kh, left : left + kw]
            found[p, y, x] = weighted_cosine(around - centre[:, None, None], ordered[p] - centre[:, None, None])
        maps.append(found)
    return maps


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("is_centred", [False, True])
def test_similarity_equals_the_loop_written_weighted_cosine(is_centred: bool) -> None:
    blocks = [
        [drawn(D, 3, 5, seed=1), drawn(D, 5, 3, seed=2), drawn(D, 3, 5, seed=3)],
        [drawn(D, 1, 1, seed=4)],
        [drawn(D, 7, 1, seed=5), drawn(D, 3, 3, seed=6)],
    ]
    vectors = drawn(D, 17, 15) + 1
    centre = vectors.mean(dim=(1, 2)) if is_centred else torch.zeros(D)
    query = make_query([[[block] for block in class_blocks] for class_blocks in blocks], centre, 0.0)
    assert query.margin == 3
    expected = prototype_oracle(
        vectors.double().numpy(),
        [[block.double().numpy() for block in class_blocks] for class_blocks in blocks],
        centre.double().numpy(),
    )
    maps = prototype_maps(vectors, query)
    assert [tuple(found.shape) for found in maps] == [(3, 11, 9), (1, 11, 9), (2, 11, 9)]
    for found, wanted in zip(maps, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)
    highest = np.stack([wanted.max(axis=0) for wanted in expected])
    np.testing.assert_allclose(similarity_maps(maps, query).numpy(), highest, atol=1e-5)
    np.testing.assert_allclose(mean_similarity(maps).numpy(), paper_sum(expected) / 6, atol=1e-5)


def paper_sum(maps: list[Block]) -> Block:
    """Sum over the similarities to all prototypes, whatever their class (algorithm 1)."""
    total = np.zeros(maps[0].shape[1:])
    for class_maps in maps:
        for prototype_map in class_maps:
            total += prototype_map
    return total


def test_the_mean_similarity_puts_positions_in_the_papers_order() -> None:
    # One class has far more prototypes than the other: means of classes would give another order.
    maps = [drawn(1, 6, 7, seed=1).clamp(-1, 1), drawn(9, 6, 7, seed=2).clamp(-1, 1)]
    order = np.argsort(paper_sum([found.double().numpy() for found in maps]), axis=None)
    assert mean_similarity(maps).flatten().argsort().tolist() == order.tolist()
    of_classes = torch.stack([found.mean(dim=0) for found in maps]).mean(dim=0)
    assert of_classes.flatten().argsort().tolist() != order.tolist()


@pytest.mark.parametrize("combine", SOFTNESS)
def test_rotations_count_by_the_best_and_prototypes_together(combine: str) -> None:
    vectors, centre = drawn(D, 15, 15), torch.zeros(D)
    prototypes = [[drawn(D, 3, 5, seed=1), drawn(D, 5, 3, seed=2)], [drawn(D, 3, 5, seed=3)], [drawn(D, 5, 5, seed=4)]]
    query = make_query([prototypes], centre, softness_of(combine))
    best = []
    for turned in prototypes:
        alone = make_query([[turned]], centre, 0.0)
        grown = torch.nn.functional.pad(vectors, (alone.margin - query.margin,) * 4)
        best.append(similarity_maps(prototype_maps(grown, alone), alone)[0].double().numpy())
    exponentials = [np.exp(values / 0.2) for values in best]
    expected = {
        "max": np.max(best, axis=0),
        "mean": np.mean(best, axis=0),
        "soft": 0.2 * np.log(np.mean(exponentials, axis=0)),
    }
    (found,) = similarity_maps(prototype_maps(vectors, query), query)
    np.testing.assert_allclose(found.numpy(), expected[combine], atol=1e-5)


def test_without_some_prototypes_a_query_is_that_of_the_others() -> None:
    vectors, centre = drawn(D, 15, 15), drawn(D)
    first = [[drawn(D, 3, 5, seed=1), drawn(D, 5, 3, seed=2)], [drawn(D, 3, 5, seed=3), drawn(D, 5, 3, seed=4)]]
    other = [[drawn(D, 5, 5, seed=5)], [drawn(D, 5, 5, seed=6)]]
    fewer = without_prototypes(make_query([first, other], centre), [{0}, {0, 1}])
    expected = make_query([first[1:], other], centre)  # the second class would lose all
    found, wanted = (similarity_maps(prototype_maps(vectors, each), each) for each in (fewer, expected))
    torch.testing.assert_close(found, wanted)


def test_one_prototype_is_the_same_however_it_is_combined() -> None:
    values = drawn(1, 4, 5)
    for softness in SOFTNESS.values():
        torch.testing.assert_close(soft_maximum(values, softness), values[0])


def test_a_prototype_more_that_is_like_nothing_costs_a_soft_maximum_little_and_a_mean_much() -> None:
    alike, other = torch.tensor([0.9, 0.9]), torch.tensor([0.9, 0.9, 0.1])
    soft, mean = SOFTNESS["soft"], SOFTNESS["mean"]
    assert soft_maximum(alike, soft) - soft_maximum(other, soft) < 0.1
    assert soft_maximum(alike, mean) - soft_maximum(other, mean) > 0.2


def test_an_unknown_way_to_combine_is_refused() -> None:
    with pytest.raises(ConfigError, match="among soft, max, mean, got 'median'"):
        softness_of("median")


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (3, 7)])
def test_a_prototype_is_similar_to_itself_and_to_nothing_more(shape: tuple[int, int]) -> None:
    vectors, margin = drawn(D, 21, 21), max(shape) // 2
    h, w = shape
    block = vectors[:, 10 - h // 2 : 11 + h // 2, 8 - w // 2 : 9 + w // 2]
    query = make_query([[[block]]], vectors.mean(dim=(1, 2)))
    (similarity,) = similarity_maps(prototype_maps(vectors, query), query)
    assert similarity[10 - margin, 8 - margin].item() == pytest.approx(1, abs=1e-6)
    assert similarity.max() == similarity[10 - margin, 8 - margin]


def test_brighter_and_dimmer_copies_are_as_similar() -> None:
    block = drawn(D, 3, 3)
    query = make_query([[[block]]], torch.zeros(D))
    torch.testing.assert_close(similarity_maps(prototype_maps(block * 7, query), query), torch.ones(1, 1, 1))
    torch.testing.assert_close(similarity_maps(prototype_maps(-block, query), query), -torch.ones(1, 1, 1))


def test_zero_vectors_are_similar_to_nothing() -> None:
    query = make_query([[[drawn(D, 3, 3)]], [[torch.zeros(D, 1, 1)]]], torch.zeros(D))
    vectors = torch.cat([torch.zeros(D, 5, 5), drawn(D, 5, 5)], dim=2)
    maps = similarity_maps(prototype_maps(vectors, query), query)
    assert maps.isfinite().all()
    assert (maps[0, :, :3] == 0).all()
    assert (maps[1] == 0).all()


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ShapeError, match=f"length {D} with a margin of 1"):
        prototype_maps(drawn(D + 1, 9, 9), make_query([[[drawn(D, 3, 3)]]], torch.zeros(D)))


def test_vectors_that_are_all_margin_are_refused() -> None:
    with pytest.raises(ShapeError, match="margin of 2"):
        prototype_maps(drawn(D, 4, 9), make_query([[[drawn(D, 5, 5)]]], torch.zeros(D)))


@pytest.mark.parametrize("softness", SOFTNESS.values())
def test_a_query_survives_as_bytes(softness: float) -> None:
    blocks = [[[drawn(D, 3, 5, seed=c), drawn(D, 5, 3, seed=c)], [drawn(D, 3, 5, seed=-c)]] for c in range(12)]
    query = make_query(blocks, drawn(D), softness)
    again = query_from_bytes(query_to_bytes(query))
    assert torch.equal(again.centre, query.centre)
    assert [len(groups) for groups in again.blocks] == [2] * 12
    for got, expected in zip(again.blocks, query.blocks, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert [owners.tolist() for owners in again.owners] == [[0, 1, 0]] * 12
    assert again.softness == softness
    assert query_to_bytes(again) == query_to_bytes(query)


def test_the_margin_is_that_of_the_largest_block() -> None:
    query = make_query([[[torch.zeros(D, 3, 9)]], [[torch.zeros(D, 5, 5)]]], torch.zeros(D))
    assert query.margin == 4


def test_merged_mean_vectors_are_that_of_the_whole() -> None:
    vectors = drawn(D, 100) * 1e3
    pieces = [(piece.sum(dim=1), piece.shape[1]) for piece in vectors.split([50, 1, 49], dim=1)]
    torch.testing.assert_close(mean_vector(pieces), vectors.mean(dim=1), rtol=1e-5, atol=1e-3)


def test_products_of_bfloat16_differ_by_rounding_alone() -> None:
    chance = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(128, 40, 44, generator=chance).relu(), dim=0)
    blocks = [torch.rot90(vectors[:, 10:17, 20:27], turns, (1, 2)) for turns in range(4)]
    query = make_query([[blocks]], vectors.mean(dim=(1, 2)))
    (exact,), (short,) = prototype_maps(vectors, query), prototype_maps(vectors, query, "bfloat16")
    assert short.dtype == torch.float32
    assert 0 < (exact - short).abs().max() < 2e-3
    assert exact[0].max() == pytest.approx(1.0, abs=1e-4)
