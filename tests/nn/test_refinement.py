"""Laws of what answers add to a search."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from simsearch.nn.refinement import Answers, refine
from simsearch.nn.similarity import (
    Query,
    class_maps,
    make_query,
    prototype_maps,
    query_from_bytes,
    query_to_bytes,
    similarity_maps,
)
from simsearch.nn.spectra import Spectra, make_kernels

D = 6
CENTRE = torch.zeros(D)


def blocks(n: int, channel: int, seed: int, shape: tuple[int, int] = (5, 5)) -> torch.Tensor:
    """Return noise, and one channel that stands out."""
    found = 0.3 * torch.randn(n, D, *shape, generator=torch.Generator().manual_seed(seed))
    found[:, channel] += 1
    found[:, 0] += 1
    return found


def turned(block: torch.Tensor) -> list[torch.Tensor]:
    return [torch.rot90(block, turns, (1, 2)) for turns in range(4)]


@pytest.fixture(params=[(5, 5), (5, 3)], ids=["square", "oblong"])
def shape(request: pytest.FixtureRequest) -> tuple[int, int]:
    found: tuple[int, int] = request.param
    return found


@pytest.fixture
def query(shape: tuple[int, int]) -> Query:
    return make_query([[turned(each) for each in blocks(3, 1, 0, shape)]], CENTRE)


@pytest.fixture
def background(shape: tuple[int, int]) -> torch.Tensor:
    return blocks(40, 3, 5, shape)


def test_no_answer_is_no_refinement_to_the_bit(query: Query, background: torch.Tensor) -> None:
    assert refine(query, 0, Answers([], []), background) is None
    vectors = torch.randn(D, 20, 20, generator=torch.Generator().manual_seed(3))
    maps = prototype_maps(vectors, query)
    assert torch.equal(class_maps(vectors, maps, query), similarity_maps(maps, query))


def test_answers_tell_apart_what_prototypes_do_not(
    query: Query, background: torch.Tensor, shape: tuple[int, int]
) -> None:
    """What was flagged looks like the class, but for a channel that the prototypes have by chance."""
    right, wrong = blocks(8, 1, 7, shape), blocks(8, 2, 8, shape)
    answers = Answers([turned(each) for each in right[:4]], list(wrong[:4]))
    learned = refine(query, 0, answers, background)
    assert learned is not None

    def gap(of: Query) -> float:
        margin = of.margin
        similar = []
        for block in (*right[4:], *wrong[4:]):
            vectors = torch.zeros(D, 2 * margin + 1, 2 * margin + 1)
            top, left = margin - shape[0] // 2, margin - shape[1] // 2
            vectors[:, top : top + shape[0], left : left + shape[1]] = block
            similar.append(class_maps(vectors, prototype_maps(vectors, of), of)[0, 0, 0].item())
        return min(similar[:4]) - max(similar[4:])

    assert gap(replace(query, refinements={0: learned})) > gap(query)


def test_the_order_of_answers_does_not_matter(query: Query, background: torch.Tensor, shape: tuple[int, int]) -> None:
    right, wrong = [turned(each) for each in blocks(3, 1, 1, shape)], list(blocks(3, 2, 2, shape))
    first = refine(query, 0, Answers(right, wrong), background)
    other = refine(query, 0, Answers(right[::-1], wrong[::-1]), background)
    assert first is not None
    assert other is not None
    torch.testing.assert_close(first.block, other.block, atol=1e-5, rtol=1e-5)
    assert (first.weight, first.shift) == pytest.approx((other.weight, other.shift))


def test_a_template_has_unit_length_and_counts_the_more_the_more_answers(
    query: Query, background: torch.Tensor, shape: tuple[int, int]
) -> None:
    weights = []
    for n in (1, 2, 8):
        learned = refine(query, 0, Answers([], list(blocks(n, 2, n, shape))), background)
        assert learned is not None
        weights.append(learned.weight)
        again = make_query([[[learned.block[0]]]], CENTRE).blocks[0][0]
        torch.testing.assert_close(again, learned.block)
    assert 0 < weights[0] < weights[1] < weights[2] < 0.5


def test_thresholds_keep_their_meaning(query: Query, background: torch.Tensor, shape: tuple[int, int]) -> None:
    """In the middle, random blocks are as similar as before."""
    learned = refine(query, 0, Answers([], list(blocks(4, 2, 4, shape))), background)
    assert learned is not None
    values = []
    for block in background:
        vectors = torch.zeros(D, 2 * query.margin + 1, 2 * query.margin + 1)
        top, left = query.margin - shape[0] // 2, query.margin - shape[1] // 2
        vectors[:, top : top + shape[0], left : left + shape[1]] = block
        maps = prototype_maps(vectors, query)
        both = [query, replace(query, refinements={0: replace(learned, weight=1.0)})]
        values.append([class_maps(vectors, maps, each)[0, 0, 0].item() for each in both])
    before, after = torch.tensor(values).median(dim=0).values.tolist()
    assert after == pytest.approx(before, abs=0.05 if shape[0] != shape[1] else 1e-4)


def test_a_refined_query_survives_bytes_and_compares_as_spectra_do(
    query: Query, background: torch.Tensor, shape: tuple[int, int]
) -> None:
    learned = refine(query, 0, Answers([], list(blocks(2, 2, 6, shape))), background)
    assert learned is not None
    refined = replace(query, refinements={0: learned})
    again = query_from_bytes(query_to_bytes(refined))
    assert torch.equal(again.refinements[0].block, learned.block)
    assert (again.refinements[0].scale, again.refinements[0].weight) == (learned.scale, learned.weight)
    assert query_from_bytes(query_to_bytes(query)).refinements == {}

    vectors = torch.randn(D, 30, 30, generator=torch.Generator().manual_seed(3))
    spectra = Spectra(vectors, CENTRE, query.margin)
    only = Query(CENTRE, ((learned.block,),), (torch.tensor([0]),), 0.0)
    margin = query.margin - only.margin
    inner = vectors[:, margin : 30 - margin, margin : 30 - margin]
    found = spectra.compare(make_kernels(learned.block, query.margin))
    torch.testing.assert_close(found, prototype_maps(inner, only)[0], atol=1e-4, rtol=1e-4)
