"""Drawn micrographs: organelles are where it is said, and kinds that judge are not drawn for training."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judges import draw_micrographs
from benchmarks.micrographs import GRANULES, SIDES, UNSEEN, VESICLES, micrograph
from benchmarks.procedural import FAMILIES


def around(image: np.ndarray, centres: np.ndarray, low: float, high: float) -> float:
    """Return the mean intensity between two distances from centres."""
    rows, columns = np.mgrid[: len(image), : len(image)]
    found = [image[(d := np.hypot(rows - y, columns - x)) >= low][d[d >= low] < high].mean() for y, x in centres]
    return float(np.mean(found))


def test_organelles_are_where_it_is_said_and_look_like_their_kind() -> None:
    drawn = micrograph(np.random.default_rng(0), 384, noise=0.01)
    vesicles, granules = drawn.centres[VESICLES], drawn.centres[GRANULES]
    assert around(drawn.image, vesicles, 0, 4) > around(drawn.image, vesicles, 7, 9) + 20  # a lumen in a dark ring
    assert around(drawn.image, granules, 0, 3) < around(drawn.image, granules, 14, 20) - 40  # a dark core
    everything = np.concatenate(list(drawn.centres.values()))
    distances = np.hypot(*(everything[:, None] - everything).transpose(2, 0, 1)) + 1000 * np.eye(len(everything))
    assert distances.min() > 20


def test_faint_is_fainter_and_as_noisy() -> None:
    clear, faint = (micrograph(np.random.default_rng(0), 256, contrast=c, noise=0.0).image for c in (0.7, 0.2))
    assert 3 < clear.std() / faint.std() < 4


@pytest.mark.parametrize("kind", UNSEEN)
def test_kinds_that_judge_are_no_family_that_is_trained_on(kind: str) -> None:
    image, again = (UNSEEN[kind](np.random.default_rng(3), 128) for _ in range(2))
    assert image.shape == (128, 128)
    assert image.std() > 5
    assert np.array_equal(image, again)
    assert kind not in FAMILIES


def test_judges_of_both_splits_show_other_micrographs_and_draw_prototypes_from_others_than_they_judge() -> None:
    (val, *others), (test, *_) = list(draw_micrographs("val")), list(draw_micrographs("test"))
    assert len(others) == 2 * len(SIDES) - 1
    assert not np.array_equal(val.judged[0].pixels, test.judged[0].pixels)
    assert not {scene.name for scene in val.drawn} & {scene.name for scene in val.judged}
    assert sum(len(scene.centres) for scene in val.drawn) >= 20
