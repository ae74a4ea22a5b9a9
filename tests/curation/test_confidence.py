"""Estimates on judged places count what they say they count."""

from __future__ import annotations

import numpy as np
import pytest

from simsearch.core.peaks import Peak
from simsearch.core.ranked_peaks import ranked_peaks
from simsearch.curation.confidence import THRESHOLDS, Estimate, estimate_confidence
from simsearch.curation.state import Curation, Patch, RoiClass

SHAPE = (40.0, 40.0)
IMAGES = ("a", "b")


def peak(image: str, y: float, score: float) -> Peak:
    return Peak(image, "one", y, 50.0, SHAPE, score)


def at(estimate: Estimate, name: str, threshold: float) -> float:
    values: np.ndarray = getattr(estimate, name)
    return float(values[int(np.argmin(abs(THRESHOLDS - threshold)))])


@pytest.fixture
def curation() -> Curation:
    """Judge four objects of a class, one of another, one negative, which is of the other, and a background."""
    one = RoiClass(
        "one",
        "#000000",
        prototypes=(Patch.at("a", 50, 50),),
        positives=(Patch.at("a", 53, 50), Patch.at("a", 150, 50), Patch.at("b", 50, 50), Patch.at("c", 50, 50)),
        negatives=(Patch.at("a", 252, 50), Patch.at("b", 350, 50)),
    )
    other = RoiClass("other", "#ffffff", prototypes=(Patch.at("a", 250, 50),))
    return Curation(
        dict.fromkeys("abc", (500, 100)), ("DNA",), IMAGES, ("DNA",), (one, other), SHAPE,
        background=(Patch.at("b", 450, 50),),
    )  # fmt: skip


def test_precision_and_recall_are_shares_of_judged_places_on_the_images(curation: Curation) -> None:
    found = [peak("a", 52, 0.9), peak("a", 155, 0.6), peak("a", 250, 0.7), peak("b", 450, 0.2), peak("b", 250, 0.99)]
    estimates = estimate_confidence(
        curation, IMAGES, {"one": ranked_peaks(found, IMAGES), "gone": ranked_peaks([], IMAGES)}
    )
    (estimate,) = estimates.values()
    # The prototype was suggested too; the patch in c is on no image that was looked at.
    assert (estimate.n_objects, estimate.n_others) == (3, 3)
    assert at(estimate, "recall", 0.05) == pytest.approx(2 / 3)
    assert at(estimate, "precision", 0.05) == pytest.approx(2 / 4)
    assert at(estimate, "precision", 0.65) == pytest.approx(1 / 2)
    assert at(estimate, "recall", 0.65) == pytest.approx(1 / 3)
    assert at(estimate, "precision", 0.8) == 1
    assert np.isnan(at(estimate, "precision", 0.95))
    assert (at(estimate, "precision_low", 0.95), at(estimate, "precision_high", 0.95)) == (0, 1)
    for name in ("precision", "recall"):
        low, value, high = (getattr(estimate, f"{name}{end}") for end in ("_low", "", "_high"))
        known = ~np.isnan(value)
        assert np.all(low[known] <= value[known])
        assert np.all(value[known] <= high[known])


def test_what_lies_where_nobody_judged_is_counted_as_objects(curation: Curation) -> None:
    judged = [peak("a", 52, 0.9), peak("a", 252, 0.9), peak("b", 450, 0.9)]  # an object, a negative, background
    elsewhere = [peak("a", 400, 0.8), peak("a", 407, 0.7), peak("b", 200, 0.3)]  # two of them are one
    found = estimate_confidence(curation, IMAGES, {"one": ranked_peaks([*judged, *elsewhere], IMAGES)})["one"]
    assert [at(found, "n_unjudged", threshold) for threshold in (0.05, 0.5, 0.75, 0.85)] == [2, 1, 1, 0]


def test_without_judged_places_nothing_is_known() -> None:
    empty = Curation({"a": (500, 100)}, ("DNA",), ("a",), ("DNA",), (RoiClass("one", "#000000"),), SHAPE)
    estimate = estimate_confidence(empty, ("a",), {"one": ranked_peaks([peak("a", 50, 0.9)], ("a",))})["one"]
    assert np.isnan(estimate.recall).all()
    assert set(estimate.recall_high) == {1.0}
