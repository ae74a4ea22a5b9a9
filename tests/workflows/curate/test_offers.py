"""Suggested thresholds: most of what lies above is of the class, as far as can be told."""

from __future__ import annotations

import numpy as np
import pytest

from simsearch.workflows.curate.offers import least_of_answers, least_similarity, most_open_level
from simsearch.workflows.find.peaks import split_similarities


def test_a_rare_class_is_not_where_peaks_split() -> None:
    """Of 200 peaks 5 are of the class: groups of peaks are groups of something else."""
    rng = np.random.default_rng(0)
    others = np.concatenate([rng.normal(0.25, 0.04, 100), rng.normal(0.45, 0.04, 95)])
    own = rng.normal(0.85, 0.02, 5)
    similarities = np.concatenate([others, own])
    assert (others >= split_similarities(similarities)).sum() > 80
    least = least_similarity(similarities, [0.86, 0.83, 0.87, 0.84, 0.85])
    assert (others >= least).sum() == 0
    assert (own >= least).sum() >= 3


def test_an_abundant_class_is_where_peaks_split() -> None:
    rng = np.random.default_rng(0)
    similarities = np.concatenate([rng.normal(0.3, 0.04, 100), rng.normal(0.8, 0.04, 100)])
    assert least_similarity(similarities, [0.38, 0.36, 0.4]) == split_similarities(similarities)


def test_one_prototype_tells_nothing_about_others() -> None:
    similarities = np.array([0.1, 0.2, 0.7, 0.8])
    assert least_similarity(similarities, []) == split_similarities(similarities)


@pytest.mark.parametrize(
    ("right", "wrong", "least", "expected"),
    [
        ([], [], 0.5, 0.5),
        ([0.4, 0.6], [], 0.5, 0.5),  # few answers lower nothing
        ([0.8], [0.6], 0.5, 0.8),
        ([], [0.6], 0.5, 0.6),  # above what is wrong
        ([0.8], [0.3], 0.5, 0.5),  # below it anyway
        ([0.9, 0.8, 0.7, 0.4, 0.35], [0.2], 0.5, 0.35),
        ([0.9, 0.8, 0.7, 0.4, 0.35], [0.45], 0.5, 0.7),
    ],
)
def test_answers_move_a_threshold(right: list[float], wrong: list[float], least: float, expected: float) -> None:
    found = least_of_answers(np.array(right), np.array(wrong), least, 0.3)
    assert found == pytest.approx(expected, abs=1e-6)
    if wrong and not right:
        assert found > max(wrong)


def test_many_answers_lower_it_only_to_where_it_is_open() -> None:
    right = np.array([0.9, 0.8, 0.7, 0.4, 0.35])
    assert least_of_answers(right, np.array([]), 0.5, 0.45) == 0.45


def test_it_is_most_open_between_what_is_right_and_what_is_wrong() -> None:
    peaks = np.array([0.1, 0.2, 0.3])
    nothing = np.array([])
    assert most_open_level(nothing, nothing, peaks, [0.7, 0.9]) == pytest.approx(0.5)
    assert most_open_level(np.array([0.6]), nothing, peaks, [0.7, 0.9]) < 0.5
    assert most_open_level(nothing, np.array([0.5]), peaks, [0.7, 0.9]) > 0.5
    assert most_open_level(nothing, nothing, nothing, []) == 0.0
