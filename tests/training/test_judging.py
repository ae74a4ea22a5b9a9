"""Average precision of a search in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simsearch.nn.extractor import make_extractor
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.training.judging import Annotated, average_precision, blocks_at, feature_map, find_like

SPOTS = ((40.0, 60.0), (100.0, 50.0), (70.0, 130.0))


def image(squares: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Draw soft spots where they are, and squares elsewhere."""
    y, x = np.mgrid[:150, :170]
    pixels = sum(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 60) for cy, cx in SPOTS)
    for top, left in squares:
        pixels[top : top + 20, left : left + 20] = 0.8
    return np.repeat(pixels[None].astype(np.float32).clip(0, 1), 3, axis=0)


def test_what_looks_like_the_prototype_is_found_first() -> None:
    trunk, extractor = trunk_from_bytes(read_trunk("bundled"), 3), make_extractor("template", (32, 32))
    annotated = Annotated(image(((10, 110), (110, 100))), np.array(SPOTS))
    with torch.inference_mode():
        maps = [feature_map(trunk, annotated.pixels, extractor)]
        blocks = blocks_at(trunk, annotated.pixels, extractor, *SPOTS[0])
        (found,) = find_like(maps, [blocks], extractor)
    assert len(blocks) == 4
    best = found[np.argsort(-found[:, 2])][:3]
    assert sorted(map(tuple, best[:, :2].round(-1))) == sorted((round(y, -1), round(x, -1)) for y, x in SPOTS)
    assert average_precision([found], [annotated], 9.0) == pytest.approx(1.0)
    elsewhere = Annotated(annotated.pixels, np.array([(140.0, 10.0)]))
    assert average_precision([found], [elsewhere], 5.0) < 0.5
