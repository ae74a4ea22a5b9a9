"""What is asked next lies around the threshold, is not judged yet, and differs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AddPrototypes, ConfirmPatches, FlagNegatives
from simsearch.curation.questions import open_questions
from simsearch.curation.state import Curation, Patch
from simsearch.errors import CurationError

IMAGES = tuple("abcdef")
N = 600


def peaks(n_images: int = len(IMAGES), n: int = N) -> RankedPeaks:
    """Rank peaks that are apart, a step of 0.0015 between them, on images in turn."""
    row = np.arange(n)
    return RankedPeaks(
        (row % n_images).astype(np.int32), 30.0 + 10 * (row // n_images), np.full(n, 40.0),
        (0.95 - 0.0015 * row).astype(np.float32),
    )  # fmt: skip


@pytest.fixture
def curation() -> Curation:
    """Draw one box."""
    nothing = Curation(dict.fromkeys(IMAGES, (8000, 80)), ("GFP",), IMAGES, ("GFP",))
    curation = AddClass("cell", "#e69f00").apply(nothing)
    return AddPrototypes("cell", (Patch.at("a", 30.0, 40.0),), (20.0, 20.0)).apply(curation)


def test_as_many_are_above_the_threshold_as_below_and_near_it(curation: Curation) -> None:
    found = peaks()
    scores = found.score[open_questions(curation, "cell", IMAGES, found, 0.5)]
    assert ((scores >= 0.5).sum(), (scores < 0.5).sum()) == (6, 6)
    assert list(np.abs(scores - 0.5)) == sorted(np.abs(scores - 0.5))
    assert np.abs(scores - 0.5).max() < 0.1


def test_they_differ_in_image_and_score(curation: Curation) -> None:
    found = peaks()
    rows = open_questions(curation, "cell", IMAGES, found, 0.5)
    assert set(Counter(found.image[rows].tolist()).values()) == {2}
    for side in (found.score[rows] >= 0.5, found.score[rows] < 0.5):
        assert np.diff(np.sort(found.score[rows][side])).min() >= 0.0099


def test_where_there_is_little_choice_all_are_asked(curation: Curation) -> None:
    assert len(open_questions(curation, "cell", IMAGES, peaks(n_images=1), 0.5)) == 12
    few = peaks(n=8)
    assert sorted(open_questions(curation, "cell", IMAGES, few, 0.2)) == [1, 2, 3, 4, 5, 6, 7]  # 0 is the box itself
    assert len(open_questions(curation, "cell", IMAGES, peaks(), 0.94)) == 12  # few are above
    assert len(open_questions(curation, "cell", IMAGES, peaks(), 0.0)) == 12  # none is below
    assert open_questions(curation, "cell", IMAGES, peaks(n=0), 0.5) == []


def test_what_was_judged_one_by_one_is_not_asked_again(curation: Curation) -> None:
    found = peaks()
    for _ in range(4):
        rows = open_questions(curation, "cell", IMAGES, found, 0.5)
        places = [Patch.at(IMAGES[found.image[row]], float(found.y[row]), float(found.x[row])) for row in rows]
        curation = ConfirmPatches("cell", tuple(places[:5])).apply(curation)
        curation = FlagNegatives("cell", tuple(places[5:])).apply(curation)  # were one asked twice, this would refuse
    cell = curation.roi_class("cell")
    assert len(cell.confirmed) + len(cell.negatives) == 48


def test_an_unknown_class_is_refused(curation: Curation) -> None:
    with pytest.raises(CurationError, match="got 'other'"):
        open_questions(curation, "other", IMAGES, peaks(), 0.5)
