"""A search that ranks answers better than what it became decides alone, and it is said in words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simsearch.io.tables.answered import AnsweredPlace
from simsearch.nn.carried_search import SearchShare
from simsearch.workflows.learn.comparison import compare, in_words

MIXED, ALONE, FINER = SearchShare(0.35, 8.0, 0.5), SearchShare(1.0, 12.0, 0.6), SearchShare(1.0, 9.0, 0.5, 2)


def answered(n_each: int, network: float, search: float, *, n_images: int = 4) -> list[AnsweredPlace]:
    """Plant places that network and search tell apart so far."""
    rng = np.random.default_rng(3)
    return [
        AnsweredPlace(
            str(row % n_images), "cell", 0.0, float(row), is_right,
            float(rng.normal(network * is_right, 1.0)), 0.5 + 0.05 * float(rng.normal(search * is_right, 1.0)),
        )
        for row, is_right in enumerate([True, False] * n_each)
    ]  # fmt: skip


def test_the_search_decides_alone_where_the_network_is_worse_on_answers() -> None:
    found = compare(answered(12, network=-1.0, search=3.0), MIXED)
    assert (found.n_right, found.n_wrong, found.n_images, found.better) == (12, 12, 4, "search")
    words = in_words(ALONE, found)
    assert words.startswith(
        "the search alone: of 24 places that you answered one by one, it ranks more of them right ("
    )
    assert "--no-search" in words


def test_a_search_that_looks_closer_keeps_a_class_of_which_a_network_ranks_more_answers_right() -> None:
    found = compare(answered(12, network=3.0, search=0.0), FINER)
    assert found.better == "model"
    words = in_words(FINER, found)
    assert words.startswith("the search alone, which sees it 2 times as large as the network would (of 24 places")
    assert "the network ranks more of them right" in words
    assert "least sure" in words


def test_what_is_mixed_is_compared_mixed() -> None:
    places = answered(12, network=1.5, search=1.5)
    both, network = compare(places, MIXED), compare(places, FINER)
    assert both.model is not None
    assert network.model is not None
    assert both.model > network.model  # errors of both are not the same
    assert both.search == network.search
    assert "neither ranks clearly more right" in in_words(FINER, network)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (answered(4, 0.0, 5.0), "4 right and 4 wrong places on 4 images"),
        (answered(12, 0.0, 5.0, n_images=1), "12 right and 12 wrong places on 1 image were"),
        ([], "0 right and 0 wrong places on 0 images"),
        ([AnsweredPlace("a", "cell", 0, 0, each, math.nan, 1.0) for each in [True, False] * 9], "0 right and 0 wrong"),
    ],
    ids=["few", "one image", "none", "a class that no other image has"],
)
def test_too_few_answers_are_not_compared_and_that_is_said(places: list[AnsweredPlace], words: str) -> None:
    found = compare(places, MIXED)
    assert (found.search, found.model, found.better) == (None, None, "")
    said = in_words(MIXED, found)
    assert said.startswith("the network, and by 35% the search (not compared: ")
    assert words in said


def test_a_model_of_before_says_what_it_said() -> None:
    assert in_words(MIXED, None) == "the network, and by 35% the search"
    assert in_words(FINER, None) == "the search alone, which sees it 2 times as large as the network would"
    assert in_words(None, None) == ""
